"""A made-up source, as one would be added: a reader, its row in the catalog, and what its files look like.

`fables/<split>.json`   [{id, video, kind, about, question, answer, options, seen: [start, end], who: [tid]}]
`fables/boxes.json`     {video: {fps, frames, width, height, things: {tid: category}, boxes: {tid: {frame: xyxy}}}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotasks.builders.readers.source import Annotator, Asked, Plan, Source
from cotasks.errors import InputError
from cotasks.records.annotation import Evidence, Question, Skipped, VideoAnnotation
from cotasks.records.schema import Box, Entity, Scene, Span, TemporalRelation, Track
from cotasks.records.timeline import grid_frames, uniform_grid


@dataclass(frozen=True)
class Fables(Annotator):
    """Boxes by video, evidence by question."""

    videos: Mapping[str, Any]
    num_frames: int

    def missing(self, question: Question) -> str | None:
        return None if question.video_id in self.videos else f"{question.place}: {question.video_id} has no boxes"

    def annotate(self, question: Question) -> VideoAnnotation:
        raw = self.videos[question.video_id]
        if raw["frames"] < 1:
            raise InputError(f"{question.place}: {question.video_id} has {raw['frames']} frames", "empty video")
        frames = uniform_grid(0, raw["frames"] - 1, self.num_frames)
        things = tuple(Entity(int(tid), name) for tid, name in raw["things"].items())
        tracks = tuple(
            Track(e.tid, e.category, tuple(Box(f, tuple(raw["boxes"][str(e.tid)]), False) for f in frames))
            for e in things
        )
        scene = Scene(things, tracks, (), (TemporalRelation(0, "chase", 1, 0, raw["frames"]),))
        return VideoAnnotation(
            fps=raw["fps"],
            frame_count=raw["frames"],
            width=raw["width"],
            height=raw["height"],
            clip=Span(0.0, raw["frames"] / raw["fps"]),
            frames=grid_frames(frames, raw["fps"]),
            scene=scene,
        )

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        seen, who = question.own_annotation
        entities = tuple(entity for entity in annotation.scene.entities if entity.tid in who)
        return Evidence((Span(*seen),), "annotation", used_answer=True, entities=entities) if seen else None


def plan(asked: Asked) -> Plan:
    """The questions of `fables/<split>.json`."""
    path = asked.require(f"fables/{asked.short}.json")
    videos = json.loads(asked.require("fables/boxes.json").read_text())
    questions, skipped = [], []
    for number, row in enumerate(json.loads(path.read_text())):
        id_, place = f"fables/{asked.split}/{row['id']}", f"{path}: entry {number}"
        if not row["question"]:
            skipped.append(Skipped(id_, "empty text", f"{place}: question is empty"))
            continue
        questions.append(
            Question(
                id=id_,
                source="fables",
                question_type=row["kind"],
                category=row["about"],
                video_id=row["video"],
                video_path=f"{row['video']}.mp4",
                question=row["question"],
                answer=row["answer"],
                additional_answers=(),
                choices=tuple(row["options"]),
                answer_index=row["options"].index(row["answer"]) if row["options"] else -1,
                place=place,
                own_annotation=(row["seen"], row["who"]),
            )
        )
    return Plan(questions, skipped, Fables(videos, asked.num_frames))


ROW = Source(
    config="fables",
    description="Made-up questions about made-up videos.",
    title="Fables",
    types=None,
    licences=("cc-by-4.0",),
    parts=(plan,),
    questions=("fables/{split}.json",),
    reads=("fables/boxes.json",),
    pages={"fables": "https://example.org/fables"},
)

KINDS = (
    ("who", "causal", "who runs", "the dog", [], [0.0, 0.5], [0]),
    ("moral", "moral", "what is learned", "patience", ["haste", "patience"], [1.0, 2.0], [0, 1]),
    ("moral", "causal", "why is it learned", "to win", [], None, []),
    ("a|b $x$ <i>", "odd & ends", "what else", "a ball", [], [0.0, 1.0], [1]),
)


def write_source(folder: Path, videos: int = 2, frames: int = 60) -> Path:
    """A data folder of the source: one question of each of `KINDS` a video, one that cannot be used, one without a
    video; in two splits, the third is missing."""
    (folder / "fables").mkdir(parents=True)
    size = {"fps": 25.0, "frames": frames, "width": 128, "height": 96}
    things = {"things": {"0": "dog", "1": "ball"}, "boxes": {"0": [1, 2, 30, 40], "1": [50, 60, 70, 80]}}
    (folder / "fables/boxes.json").write_text(json.dumps({f"v{n}": {**size, **things} for n in range(videos)}))
    names = ("id", "video", "kind", "about", "question", "answer", "options", "seen", "who")
    for split in ("train", "val"):
        rows = [
            dict(zip(names, (f"{n}-{k}", f"v{n}", *kind), strict=True))
            for n in range(videos)
            for k, kind in enumerate(KINDS)
        ]
        rows.append({**rows[0], "id": "blank", "question": ""})
        rows.append({**rows[0], "id": "lost", "video": "v99"})
        (folder / f"fables/{split}.json").write_text(json.dumps(rows))
    return folder
