"""Three clips whose frames carry their numbers, records with boxes that move, two judged runs, and predicted steps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cotasks.judge.run import judge_run
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import (
    Box,
    Entity,
    FrameLocalization,
    Record,
    Scene,
    Span,
    SpatialRelation,
    TemporalRelation,
    Track,
)
from cotasks.records.timeline import grid_frames, uniform_grid
from cotasks.runs.predictions import prediction_row, write_predictions
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations
from cotasks.steps.predicted import PredictedSteps
from cotasks.tools.files import dump_json, dump_jsonl
from tests.judge_server import JudgeServer, verdict
from tests.report_runs import question_row, write_run
from tests.synthetic import FPS, make_record, write_folder, write_video

COUNT = 60
ENTITIES = (Entity(0, "dog"), Entity(1, "ball/sports_ball"), Entity(2, "dog"))
UNEVEN = [n * 40 + (n % 3) * 10 for n in range(COUNT)]
"""Milliseconds at which the frames of the third clip are shown."""
HOSTILE = "</script><script>window.broken=1</script><img src=x onerror=window.broken=1>"


@dataclass(frozen=True)
class World:
    records: Records
    data: Path
    videos: Path
    one: Path
    two: Path
    predictions: Path

    @property
    def paths(self) -> list[str]:
        return [str(path) for path in (self.data, self.one, self.two, self.predictions)]


def box_of(tid: int, frame: int) -> tuple[float, float, float, float]:
    """In the lower half, below the number of the frame: each entity at a height of its own, going its own way."""
    x = (frame * (3, 2, 1)[tid] + 30 * tid) % 90
    y = 52.0 + 12 * tid
    return float(x), y, float(x + 26 + tid), y + 10


def moving_record(video: int, number: int, ending: str = ".mp4") -> Record:
    frames = grid_frames(uniform_grid(0, COUNT - 1, 12), FPS)
    tracks = tuple(
        Track(e.tid, e.category, tuple(Box(f.index, box_of(e.tid, f.index), False) for f in frames)) for e in ENTITIES
    )
    spatial = (
        SpatialRelation(0, "next_to", 1, tuple(f.index for f in frames[2:7])),
        SpatialRelation(2, "behind", 0, tuple(f.index for f in frames[5:])),
    )
    scene = Scene(
        ENTITIES, tracks, spatial, (TemporalRelation(0, "chase", 1, 13, 41), TemporalRelation(1, "hit", 2, 30, 55))
    )
    marked = frames[3:9]
    a1 = FrameLocalization(
        frames=tuple(f.index for f in marked),
        spans=(Span(marked[0].seconds, marked[-1].seconds),),
        entities=ENTITIES[: 2 + number % 2],
        span_origin="human" if number % 2 else "lexical",
        entity_origin="lexical",
        used_answer=False,
    )
    kind = {
        "choices": ("to play", "to sleep", "to eat"),
        "answer_index": 0,
        "question_type": "TN",
        "category": "temporal",
    }
    steps = {
        "scene": scene,
        "frames": frames,
        "frame_localization": a1,
        "entity_tracking": entity_tracking.construct(scene, a1),
        "spatial_relations": spatial_relations.construct(scene, a1),
        "temporal_relations": temporal_relations.construct(scene, a1, float(FPS)),
        "video_path": f"v{video}{ending}",
    }
    return make_record(f"v{video}", number, frame_count=COUNT, **{**(kind if number % 2 else {}), **steps})


def said(record: Record, condition: str) -> str | None:
    number = int(record.id.rsplit("/", 1)[1])
    if condition == "baseline":
        return None if record.video_id == "v2" and number == 1 else HOSTILE if number == 0 else "to eat"
    return "A. to play" if record.choices else "To play."


def predicted(record: Record, shift: float) -> PredictedSteps:
    """The true steps with boxes that are moved, and without a step 4."""
    a1 = record.frame_localization
    tracks = tuple(
        dataclasses.replace(
            track,
            boxes=tuple(
                dataclasses.replace(b, xyxy=(b.xyxy[0] + shift, b.xyxy[1], b.xyxy[2] + shift, b.xyxy[3]))
                for b in track.boxes
            ),
        )
        for track in record.entity_tracking
    )
    names = tuple((entity.tid, f"the {entity.category} {entity.tid}") for entity in record.scene.entities)
    steps = (a1, tracks, record.spatial_relations, None)
    return PredictedSteps(*steps, record.scene.entities, names, {4: "cut off"})


def write_predicted(folder: Path, records: Records) -> Path:
    """A predictions folder: good boxes for the questions of the first clip, bad ones for the others."""
    dataset = {"name": records.dataset, "config": records.config, "split": records.split, "limit": None}
    asked = {f"step-{n}": dataclasses.asdict(dataclasses.replace(parse_condition("baseline"), asks=n)) for n in (1, 2)}
    settings = {"predict": {"steps": [1, 2, 3, 4]}, "model": {"name": "org/steps"}, "conditions": asked}
    folder.mkdir(parents=True)
    dump_json(folder / "run.json", {**settings, "dataset": {**dataset, "fingerprint": records.fingerprint}})
    dump_jsonl(folder / "questions.jsonl", map(question_row, records))
    (folder / "generations").mkdir()
    answers = [
        {"id": record.id, "condition": name, "sample": 0, "answer": f"{name} of {record.id}", "finish_reason": "stop"}
        for record in records
        for name in asked
    ]
    dump_jsonl(folder / "generations" / "0.jsonl", answers)
    rows = []
    for record in records:
        steps = predicted(record, 2.0 if record.video_id == "v0" else 24.0)
        rows.append(prediction_row(record.id, "org/steps", "own", steps, {}, (), {}))
    write_predictions(folder, records.split, rows)
    return folder


def make_world(folder: Path) -> World:
    videos = folder / "videos"
    videos.mkdir(parents=True)
    write_video(videos / "v0.mp4", COUNT, gop=12)
    write_video(videos / "v1.mp4", COUNT, gop=250, b_frames=3)
    write_video(videos / "v2.webm", COUNT, codec="libvpx-vp9", times=UNEVEN)
    made = [moving_record(v, n, ".webm" if v == 2 else ".mp4") for v in range(3) for n in range(2)]
    data = write_folder(folder / "data", made)
    records = load_records(str(data))
    one = write_run(folder / "one", records, said, ("baseline", "cotasks"), model=HOSTILE, judges=("exact", "f1"))
    with JudgeServer(lambda number, request: verdict(5, "yes")) as server:  # and so says other than the rules
        judge_run(one, "openai:m", base_url=server.url, progress=False)
    two = write_run(folder / "two", records, lambda r, c: said(r, "cotasks"), ("baseline",), model="org/two")
    return World(records, data, videos, one, two, write_predicted(folder / "predicted", records))
