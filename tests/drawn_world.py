"""The drawn world as own data: questions, and detections that a good detector would have made, from the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, OwnQuestion
from cotasks.records.own_files import write_annotation, write_questions
from cotasks.sample.drawn import drawn_stories
from cotasks.sample.film import Clip, boxes
from cotasks.sample.stories import Story
from cotasks.sample.world import encode, group

SEED = 11


def video_of(clip: Clip) -> str:
    return f"{group(clip.video_id)}/{clip.video_id}.mp4"


def drawn_questions(stories: list[Story]) -> list[OwnQuestion]:
    return [
        OwnQuestion(f"{s.clip.video_id}_{n}", video_of(s.clip), asked.question, (asked.answer,), type=asked.type)
        for s in stories
        for n, asked in enumerate(s.asked)
    ]


def detections(clip: Clip, missed: float = 0.1, noise: float = 1.0) -> OwnAnnotation:
    """What a detector finds: each box of the truth but for a share that is missed, its corners off by some pixels, and
    each as an entity of its own, as a detector knows no tracks."""
    chance = np.random.default_rng(int(clip.video_id[-5:]))
    categories = {actor.tid: actor.category for actor in clip.actors}
    entities, found = [], []
    for frame in range(clip.frames):
        for tid, box in boxes(clip, frame).items():
            if chance.random() < missed:
                continue
            moved = np.clip(np.array(box) + chance.normal(0, noise, 4), 0, [clip.width, clip.height] * 2)
            x1, y1, x2, y2 = moved.tolist()
            entities.append(OwnEntity(len(entities), categories[tid]))
            score = float(chance.uniform(0.5, 1))
            found.append(OwnBox(len(found), (x1, y1, x2, y2), frame=frame, generated=True, score=score))
    made_by = {"model": "the truth, spoilt"}
    size = (clip.rate, clip.frames, clip.width, clip.height)
    return OwnAnnotation(video_of(clip), tuple(entities), tuple(found), (), *size, made_by)


def true_annotation(clip: Clip) -> OwnAnnotation:
    """The truth itself."""
    found = [
        OwnBox(tid, (float(x1), float(y1), float(x2), float(y2)), frame=frame)
        for frame in range(clip.frames)
        for tid, (x1, y1, x2, y2) in boxes(clip, frame).items()
    ]
    entities = tuple(OwnEntity(actor.tid, actor.category) for actor in clip.actors)
    return OwnAnnotation(video_of(clip), entities, tuple(found), (), clip.rate, clip.frames, clip.width, clip.height)


def write_drawn_world(folder: Path, count: int, videos: bool = True) -> list[Story]:
    """`questions.jsonl`, `detections.jsonl`, `truth/annotation.jsonl` and `videos/` below a folder."""
    stories = drawn_stories(count, SEED, "test")
    folder.mkdir(parents=True, exist_ok=True)
    write_questions(folder / "questions.jsonl", drawn_questions(stories))
    write_annotation(folder / "detections.jsonl", (detections(story.clip) for story in stories))
    write_annotation(folder / "truth" / "annotation.jsonl", (true_annotation(story.clip) for story in stories))
    for story in stories if videos else ():
        encode(story.clip, folder / "videos" / video_of(story.clip))
    return stories
