"""Annotation that no person made: `cotasks annotate` writes the format of own data for videos that have none.

    asked       the questions whose videos are annotated
    words       which words a detector looks for in a video
    frames      which frames are looked at: the grids of the questions, and enough between them to track by
    detect      a detector of transformers on frames; `filed` takes what another one has found from a file
    depth       how near things are, by a depth model
    track       boxes of single frames -> things that keep their number
    relations   boxes -> spatial relations, by geometry
    stretches   parts of a video as a video language model is shown them, with the boxes drawn
    actions     what the things do, as it says
    kept        what was found so far, line by line
    run         all of it, video by video, on any number of processes
    against     a machine's annotation against true annotation

The folder of a run:

    questions.jsonl    as given
    annotation.jsonl   one video a line, its boxes `generated`; for `cotasks build own`
    work/              what was found of each video, in the order in which it was: a run folder of `cotasks.runs`
"""
