"""The rewards, one row each: what is measured of a text, from 0 to 1.

None means that a reward cannot be measured: that the record defines no truth for it, that it was not asked for, that
the record has no frame size (boxes), or that a judge gave no verdict. Silence of the model is never None: which rewards
are measured follows from the record and from what was asked, so that no text can choose by what it is judged.

What gaming earns (`tests/test_rewards.py` holds each to it, against `cotasks.step_scores.baselines`):

    none        "none" everywhere: 0 of frames, entities, boxes, triples; of `format` the steps that hold nothing in
                truth; of `silence` 1, which is what it says; no answer, so nothing of the rest
    everything  all frames, entities and pairs: of each step what the baseline *everything* earns, which F1 and IoU keep
                low where little is true; of the answer what a guess earns, or naming all options (nothing)
    copy        the question again: nothing, as no step stands in it, and an answer of nothing but words of the prompt
                is worth nothing; beside others, the question's words are taken off first (`f1-new`)

`format` pays for form and not for truth, so it takes a small weight. `consistency` and `length` are paid out of what
the text earns by its content, so that neither a coherent invention nor a short nothing gains by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from cotasks.records.timeline import overlaps
from cotasks.rewards.asked import LEAST_WORDS, true_text
from cotasks.rewards.reading import Read, answers
from cotasks.steps.table import STEPS
from cotasks.words.lexicon import match_categories

Measure = Callable[[Read], float | None]
MAIN_SCORES = ((1, "frame_f1"), (1, "entity_f1"), (2, "mean_iou"), (3, "triple_f1"), (4, "span_f1"))
"""(step, score): what a text earns by its steps where no answer is asked for."""


@dataclass(frozen=True)
class Part:
    """One row."""

    reward: str
    """The reward that it is a part of; a reward is the mean of its parts that are measured."""
    name: str
    title: str
    measure: Measure


def step_score(step: int, score: str) -> Measure:
    """One of the scores of a step, see `score` of its module."""
    return lambda read: read.scores.get(step, {}).get(score)


def form(read: Read) -> float | None:
    """Share of what was asked for that stands there as it was asked for.

    A step counts where it stands, nothing of it is unread, and it says something where there is something to be said;
    the answer counts where it names an option, or says something that is neither a refusal nor the question again. Half
    of it where titles are missing, out of order or said twice, or something stands outside of them.
    """
    found = [
        read.steps.has(step)
        and step not in read.unread_steps
        and (bool(_items(read.steps, step)) or not _items(read.truth.record, step))
        for step in read.asked.steps
    ]
    if read.asked.answer:
        found.append(answers(read.truth.record, read.said))
    return fmean(found) * (1.0 if read.in_form else 0.5)


def _items(steps: object, step: int) -> object:
    value = getattr(steps, STEPS[step].field)
    return (value.frames or value.entities) if step == 1 else value


def consistency(read: Read) -> float | None:
    """What the answer earns, times the share of the text's own statements that hang together.

    Statements: each box, on a frame and of an entity that step 1 names; each triple, of entities that step 1 names, on
    its frames or at its time; each thing of the scene that the answer names (by its category), as one that the steps
    name. Without a statement, 0. So a right answer earns it, as far as the text's steps lead to it.
    """
    if read.answer is None or not read.asked.steps:
        return None
    links = _links(read)
    return read.answer * fmean(links) if links else 0.0


def _links(read: Read) -> list[bool]:
    steps, record = read.steps, read.truth.record
    links: list[bool] = []
    a1 = steps.frame_localization
    if a1 is not None:
        frames, tids = set(a1.frames), {entity.tid for entity in a1.entities}
        links += [t.tid in tids and b.frame in frames for t in steps.entity_tracking or () for b in t.boxes]
        links += [
            {r.subject_tid, r.object_tid} <= tids and bool(frames.intersection(r.frames))
            for r in steps.spatial_relations or ()
        ]
        links += [
            {r.subject_tid, r.object_tid} <= tids and overlaps(r.begin_frame, r.end_frame, record.fps, a1.spans)
            for r in steps.temporal_relations or ()
        ]
    # the answer speaks of what the steps speak of
    spoken = steps.tids()
    named = {entity.category for entity in (*steps.entities, *record.scene.entities) if entity.tid in spoken}
    answer = read.said
    if record.choices and read.answer:
        answer = record.choices[record.answer_index]
    links += [category in named for category in match_categories(answer, {e.category for e in record.scene.entities})]
    if a1 is not None and not links and steps.tids():
        links.append(True)  # step 1 alone, with nothing to contradict it
    return links


def length(read: Read) -> float | None:
    """What the text earns by its content, times 1 up to `asked.longest` words and less by a straight line, down to 0
    at twice as many: the answer's reward, or where none was asked for the mean of the steps' main scores."""
    content = read.answer
    if not read.asked.answer:
        scores = [value for step, name in MAIN_SCORES if (value := step_score(step, name)(read)) is not None]
        content = fmean(scores) if scores else None
    if content is None:
        return None
    words = len(read.text.split())
    longest = read.asked.longest
    if longest is None:
        longest = max(LEAST_WORDS, 2 * len(true_text(read.truth.record, read.asked).split()))
    return content * min(1.0, max(0.0, 2 - words / longest))


PARTS: tuple[Part, ...] = (
    Part("format", "format", "form of the text", form),
    Part("frames", "frame_f1", "F1 of the frames of step 1", step_score(1, "frame_f1")),
    Part("frames", "time_iou", "IoU in time of step 1 (tIoU)", step_score(1, "span_iou")),
    Part("entities", "entity_f1", "F1 of the entities of step 1", step_score(1, "entity_f1")),
    Part("boxes", "box_iou", "mean IoU of the boxes of step 2", step_score(2, "mean_iou")),
    Part("boxes", "viou", "vIoU of the tracks of step 2", step_score(2, "viou")),
    Part("triples", "spatial_f1", "F1 of the triples of step 3", step_score(3, "triple_f1")),
    Part("triples", "temporal_f1", "F1 of the triples of step 4, with their spans", step_score(4, "span_f1")),
    Part("silence", "no_spatial", '"none" in step 3 where there is none', step_score(3, "none_when_there_is_none")),
    Part("silence", "no_temporal", '"none" in step 4 where there is none', step_score(4, "none_when_there_is_none")),
    Part("answer", "answer", "the answer, by its judge", lambda read: read.answer),
    Part("consistency", "consistency", "whether steps and answer hang together", consistency),
    Part("length", "length", "no longer than it need be", length),
)
"""In the order of a chain."""

REWARDS: dict[str, tuple[Part, ...]] = {
    reward: tuple(part for part in PARTS if part.reward == reward) for reward in dict.fromkeys(p.reward for p in PARTS)
}
"""Reward -> its parts."""
