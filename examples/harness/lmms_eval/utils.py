"""What the lmms-eval tasks of this folder call: our prompts, and the verdicts of our rules.

COTASKS_VIDEOS names the folder of the videos, COTASKS_FAMILY the model's family (`cotasks info` lists them),
COTASKS_JUDGE a local judge (`exact` by default).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from cotasks import Record
from cotasks.errors import InputError
from cotasks.export.harness import Harness, harness, score


@cache
def asking(condition: str) -> Harness:
    """Of a condition; what else it takes is in the environment."""
    family = os.environ.get("COTASKS_FAMILY")
    if not family:
        raise InputError("COTASKS_FAMILY is not set; expected the family of the model, such as qwen2_5_vl")
    return harness(condition, family, os.environ.get("COTASKS_VIDEOS"))


def condition_of(options: Mapping[str, Any] | None) -> str:
    """What the task's YAML says under `lmms_eval_specific_kwargs`."""
    return str((options or {})["condition"])


def doc_to_messages(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> list[Any]:
    """The user's turn, for models of `lmms_eval/models/chat`: each frame behind its name."""
    from PIL import Image

    parts = asking(condition_of(lmms_eval_specific_kwargs)).parts(Record.from_row(doc))
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "url": Image.fromarray(part)}
        for part in parts
    ]
    return [{"role": "user", "content": content}]


def doc_to_visual(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> list[Any]:
    """None: models of `lmms_eval/models/simple` cannot place a frame behind its name, and are not meant."""
    raise InputError("this task is for models that take messages; expected one of these, without --force_simple")


def doc_to_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """What logs name a sample by: the question."""
    return str(doc["question"])


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """The verdict, 0 to 1; None where unscored, which means and errors leave out."""
    verdict = score(Record.from_row(doc), results[0], os.environ.get("COTASKS_JUDGE", "exact"))
    points = None if verdict.score is None else verdict.score / 100
    by_video = None if points is None else {"score": points, "video_id": doc["video_id"]}
    return {
        "score": points,
        "score_by_video": by_video,
        "unscored": points is None,
        "unreadable": verdict.unreadable,
    }


def mean(scores: Sequence[float | None]) -> float:
    """Of those that are scored; NaN where none is."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else float("nan")


def mean_by_video(scores: Sequence[Mapping[str, Any] | None]) -> float:
    """The same mean; the rows name the video that they belong to, for lmms-eval's clustered error."""
    return mean([None if row is None else row["score"] for row in scores])


def total(flags: Sequence[bool]) -> int:
    """How many."""
    return sum(map(bool, flags))
