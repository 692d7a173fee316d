"""`cotasks annotate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import DATA, MODEL, OUTPUT, PROMPT, SPEED, ModelOptions, takes_model_options

LOOKING = "Detector and tracker"


@takes_model_options
def annotate(
    videos: Annotated[Path, typer.Argument(metavar="VIDEOS", help="Folder of the videos.", show_default=False)],
    options: ModelOptions,
    questions: Annotated[
        str | None,
        typer.Option(
            help="questions.jsonl of own data, a folder with one, or a built folder or Hub id.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Folder to write; an interrupted run goes on there.", rich_help_panel=OUTPUT),
    ] = Path("annotated"),
    detector: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hub id: a detector that is told words (Grounding DINO, OWLv2, ...), or one with labels of "
            "its own (RT-DETRv2, D-FINE, ...).",
            rich_help_panel=LOOKING,
            show_default="IDEA-Research/grounding-dino-tiny",
        ),
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(
            help="In place of a detector: what one has found, own data or CSV or JSON of supervision; a file, or a "
            "folder with one for each video.",
            rich_help_panel=LOOKING,
        ),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            help="More to look for, beside the words of the questions: a file with one a line, or words parted by "
            "commas. Of a detector with labels of its own, and of detections from a file, all that is kept.",
            rich_help_panel=LOOKING,
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Least score of a box that begins a thing.", rich_help_panel=LOOKING)
    ] = 0.3,
    low_threshold: Annotated[
        float | None,
        typer.Option(
            help="Least score of a box that carries a thing on.", rich_help_panel=LOOKING, show_default="half of it"
        ),
    ] = None,
    num_frames: Annotated[
        int, typer.Option(help="Frames of a grid, as of the build to come.", min=1, rich_help_panel=LOOKING)
    ] = 64,
    track_fps: Annotated[
        float,
        typer.Option(help="Frames a second that are looked at beside the grids, to track by.", rich_help_panel=LOOKING),
    ] = 5.0,
    tracker: Annotated[
        str,
        typer.Option(
            help="bytetrack, or filed: the entities or tracks of the detections as they are.", rich_help_panel=LOOKING
        ),
    ] = "bytetrack",
    least_boxes: Annotated[
        int, typer.Option(help="Leave out things that were found on fewer frames.", min=1, rich_help_panel=LOOKING)
    ] = 2,
    return_seconds: Annotated[
        float,
        typer.Option(
            help="A thing that is gone for up to so long and comes back to its place is the same; for videos in which "
            "no two of a kind take turns.",
            min=0,
            rich_help_panel=LOOKING,
        ),
    ] = 0.0,
    depth: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hub id of a depth model, for in_front_of and behind; none by default.",
            rich_help_panel=LOOKING,
        ),
    ] = None,
    frames_at_once: Annotated[
        int, typer.Option(help="Most frames that the detector gets at once.", min=1, rich_help_panel=SPEED)
    ] = 16,
    model: Annotated[
        str | None,
        typer.Option(
            help="Video language model that is asked what the things do: folder, Hub id, `tiny`, or its name at a "
            "server; none by default.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    action_frames: Annotated[
        int, typer.Option(help="Frames that it is shown at once.", min=1, rich_help_panel=PROMPT)
    ] = 16,
    action_seconds: Annotated[
        float, typer.Option(help="Most seconds that it is shown at once.", rich_help_panel=PROMPT)
    ] = 30.0,
    predicates: Annotated[
        str | None,
        typer.Option(help="Actions that it is to choose from, as of --words; any by default.", rich_help_panel=PROMPT),
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest answer about actions, in tokens.", min=1, rich_help_panel=PROMPT)
    ] = 512,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Score OUT against true annotation instead: a built folder of the same videos, or own data.",
            rich_help_panel=DATA,
        ),
    ] = None,
) -> None:
    """Annotate videos that nobody annotated: boxes, spatial relations and actions, as data for `cotasks build own`.

    Reads VIDEOS and the questions. Frames of the grids, and enough between them, go to the detector; its boxes become
    tracks, tracks become spatial relations by geometry, and a video language model says what the things do. Writes
    OUT/questions.jsonl, OUT/annotation.jsonl, and OUT/work, from where the same command goes on after an interruption,
    on any number of processes (`accelerate launch -m cotasks annotate ...`). Ends with exit code 1 if a video failed.

    With --against nothing is annotated: OUT is scored against the truth, and OUT/against.json written.
    """
    from cotasks.errors import InputError

    if against is not None:
        require("annotate")
        from cotasks.annotate.against import describe, score_against

        print(describe(score_against(out, against)))
        print(f"Scores {out / 'against.json'}")
        return
    looks = () if detections is not None else ("models",)
    require("annotate", "video", *looks, *(options.extras() if model is not None else ()))
    if questions is None:
        raise InputError("questions: not given; expected --questions, a questions.jsonl or a built folder")
    from cotasks.annotate.detect import DETECTOR
    from cotasks.annotate.run import annotate as annotate_videos
    from cotasks.annotate.scenes import Looking
    from cotasks.annotate.stretches import ActionOptions
    from cotasks.annotate.words import read_words

    arguments = options.arguments()
    if arguments["vllm"] is not None:
        raise InputError("backend vllm: not of `annotate`; expected transformers or server")
    result = annotate_videos(
        videos,
        questions,
        out,
        detector=detector or (DETECTOR if detections is None else None),
        detections=detections,
        depth=depth,
        looking=Looking(
            threshold=threshold,
            low_threshold=low_threshold,
            num_frames=num_frames,
            track_fps=track_fps,
            words=() if words is None else read_words(words),
            tracker=tracker,
            least_boxes=least_boxes,
            return_seconds=return_seconds,
        ),
        frames_at_once=frames_at_once,
        model=model,
        asking=ActionOptions(
            action_frames, action_seconds, () if predicates is None else read_words(predicates), max_new_tokens
        ),
        **{name: arguments[name] for name in ("loading", "batching", "server", "retry_failures")},
    )
    if not result.main:  # another process of the same launch says how it went
        return
    for reason, count in result.failures.items():
        print(f"{count} failed: {reason}, such as {result.examples[reason]}")
    said = result.said
    if said.asked:
        failed = "".join(f", {count} failed: {reason}" for reason, count in sorted(said.failures.items()))
        print(
            f"Actions: {said.relations} of {said.asked} stretches, {said.unread} lines unread, {said.spatial} spatial "
            f"and left out{failed}" + (f", {said.left} left to ask" if said.left else "")
        )
    if result.empty:
        print(f"{result.empty} of {result.done} videos are empty: nothing was found in them")
    print(
        f"Annotated {result.done} of {result.videos} videos ({result.new} now): {result.entities} entities, "
        f"{result.boxes} boxes, {result.relations} relations: {out}"
    )
    if not result.complete:
        raise typer.Exit(1)
