"""One record of one question and the annotation of its video, without files: `cotasks.make_record`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from cotasks.builders.assemble import record_of
from cotasks.builders.localize import MODES, localize
from cotasks.builders.readers.own import NAME, as_question, reach_of
from cotasks.builders.readers.own_scene import clock_of, evidence_of, on_grid, tids_of
from cotasks.builders.sources import check_source_name
from cotasks.errors import InputError
from cotasks.records.own import OwnAnnotation, OwnQuestion, parse_annotation, parse_question
from cotasks.records.schema import Record
from cotasks.records.timeline import NUM_FRAMES


def make_record(
    question: OwnQuestion | Mapping[str, Any],
    annotation: OwnAnnotation | Mapping[str, Any],
    *,
    source: str = NAME,
    num_frames: int = NUM_FRAMES,
    grid: Literal["snapped", "uniform"] = "snapped",
    localization: str = "auto",
    use_answer: bool = False,
) -> Record:
    """The record of a question, as `cotasks build own` would build it without `--videos`.

    Args:
        question: a line of `questions.jsonl`, see `cotasks.records.own`; it may lack an answer, which is empty then.
        annotation: a line of `annotation.jsonl`, of the same video. Without `fps`, and in seconds alone, the record has
            a clock of one frame a second, and its video cannot be shown.
        source: what the record says in `source`, and its id begins with.
        num_frames: frames of the grid.
        grid: put annotated frames on the grid, or leave it uniform.
        localization: origin of step 1: `auto`, `human`, `lexical` or `whole`.
        use_answer: let lexical step 1 match words of the answer too.

    Raises InputError that names field, value and what was expected, and where `localization` finds nothing.
    """
    check_source_name(source, "source")
    if localization not in MODES or localization == "model":
        known = ", ".join(mode for mode in MODES if mode != "model")
        raise InputError(f"localization is {localization!r}; expected one of {known}")
    asked = question if isinstance(question, OwnQuestion) else parse_question(question)
    seen = annotation if isinstance(annotation, OwnAnnotation) else parse_annotation(annotation)
    if asked.video != seen.video:
        raise InputError(
            f"question {asked.id!r}: video is {asked.video!r}; expected that of the annotation, {seen.video!r}"
        )
    made = as_question(asked, source)
    scene = on_grid(
        seen,
        clock_of(seen, None),
        place=made.place,
        clip=asked.clip,
        reach=reach_of([asked]).get(asked.video, 0.0),
        num_frames=num_frames,
        grid=grid,
    )
    evidence = evidence_of(asked.evidence, tids_of(seen), scene, made.place)
    found = localize(made, scene, mode=localization, evidence=evidence, proposal=None, use_answer=use_answer)
    return record_of(made, scene, found.frame_localization)
