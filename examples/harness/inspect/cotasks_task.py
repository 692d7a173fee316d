"""An Inspect task of our conditions: our prompts with the annotated frames, and the verdicts of our rules.

    inspect eval examples/harness/inspect/cotasks_task.py --model openai-api/local/NAME \
        -T data=built -T videos=NExTVideo -T condition=cotasks -T family=qwen2_5_vl -T limit=200

Scores are 0 to 100; the standard error is clustered by video, as the questions of one are not independent.
"""

from __future__ import annotations

import base64
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig
from inspect_ai.scorer import Score, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, TaskState, generate, solver

from cotasks.export.harness import Harness, harness
from cotasks.export.harness import score as verdict_of
from cotasks.look.frames import jpeg
from cotasks.records.dataset import Records, load_records

QUALITY = 95
"""Of the frames as JPEG."""


@task
def cotasks(
    data: str = "sample",
    condition: str = "baseline",
    family: str = "qwen2_5_vl",
    videos: str | None = None,
    split: str | None = None,
    config: str | None = None,
    limit: int | None = None,
    judge: str = "exact",
) -> Task:
    """Questions of a built folder, a Hub id or `sample`, under a condition of `cotasks generate`."""
    records = load_records(data, split, config, limit)
    asking = harness(condition, family, records.video_folder(videos))
    samples = [
        Sample(
            input=record.question,
            target=record.answer,
            id=record.id,
            metadata={"video_id": record.video_id, "category": record.category, "place": place},
        )
        for place, record in enumerate(records)
    ]
    return Task(
        dataset=MemoryDataset(samples, name=f"{records.config}/{records.split}"),
        solver=[cotasks_prompt(records, asking), generate()],
        scorer=cotasks_score(records, judge),
        config=GenerateConfig(temperature=0.0, max_tokens=64),
        name=f"cotasks_{condition}",
    )


@solver
def cotasks_prompt(records: Records, asking: Harness) -> Any:
    """Puts our prompt in the place of the question; frames are read when their question's turn comes."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        parts = asking.parts(records.at(state.metadata["place"]))
        state.messages = [ChatMessageUser(content=[content_of(part) for part in parts])]
        return state

    return solve


def content_of(part: Any) -> ContentText | ContentImage:
    """A text, or a picture (height, width, 3) as a `data:` address."""
    if isinstance(part, str):
        return ContentText(text=part)
    return ContentImage(image=f"data:image/jpeg;base64,{base64.b64encode(jpeg(part, QUALITY)).decode()}")


@scorer(metrics=[mean(), stderr(cluster="video_id")])
def cotasks_score(records: Records, judge: str) -> Any:
    """What a local judge says; NaN, which Inspect leaves out of its means, where it cannot."""

    async def score(state: TaskState, target: Target) -> Score:
        verdict = verdict_of(records.at(state.metadata["place"]), state.output.completion, judge)
        return Score(
            value=float("nan") if verdict.score is None else verdict.score,
            answer=state.output.completion,
            explanation=verdict.reason,
            metadata={"correct": verdict.correct, "unreadable": verdict.unreadable},
        )

    return score
