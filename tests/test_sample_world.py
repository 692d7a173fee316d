"""The embedded sample: what the script writes is what is shipped, and the annotation fits the pixels."""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cotasks.sample import DATA_DIR
from cotasks.sample.drawing import background
from cotasks.sample.figures import colours_of
from cotasks.sample.film import Clip, boxes, draw, place, runs
from cotasks.sample.situations import PLOTS
from cotasks.sample.stories import stories
from cotasks.sample.world import SPLITS, clips, encode, write_annotation
from cotasks.video.reading import probe, read_frames
from cotasks.words.types import NEXTQA, STAR

DATA = Path(DATA_DIR)
CLIPS = clips()
NEXTQA_TYPES = set(NEXTQA.categories)
STAR_TYPES = set(STAR.categories)


def test_the_script_writes_what_is_shipped(tmp_path: Path) -> None:
    write_annotation(tmp_path)
    written = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    shipped = {p.relative_to(DATA): p.read_bytes() for p in DATA.rglob("*") if p.is_file() and p.suffix != ".mp4"}
    assert written == shipped
    assert {p.relative_to(DATA / "videos").as_posix() for p in DATA.rglob("*.mp4")} == set(CLIPS)


def test_it_is_small_enough_for_a_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in DATA.rglob("*"):
            archive.write(path)
    assert (tmp_path / "data.zip").stat().st_size < 1_300_000


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_each_clip_shows_what_was_drawn(name: str) -> None:
    clip, path = CLIPS[name], DATA / "videos" / name
    info = probe(path)
    assert (info.frame_count, info.width, info.height) == (clip.frames, clip.width, clip.height)
    assert info.fps == pytest.approx(clip.rate)
    shown = read_frames(path, range(clip.frames)).astype(int)
    drawn = np.stack([draw(clip, frame) for frame in range(clip.frames)])
    assert np.abs(shown - drawn).mean() < 4
    # frame by frame: where something moves, the frame before is further off than the frame itself
    for frame in range(1, clip.frames):
        if np.abs(drawn[frame].astype(int) - drawn[frame - 1]).mean() > 3:
            assert np.abs(shown[frame] - drawn[frame]).mean() < np.abs(shown[frame] - drawn[frame - 1]).mean()


def test_encoding_again_gives_the_same_pictures(tmp_path: Path) -> None:
    for name in ("AB1CD.mp4", next(iter(CLIPS))):
        encode(CLIPS[name], tmp_path / name)
        again = read_frames(tmp_path / name, range(CLIPS[name].frames)).astype(int)
        assert np.abs(again - read_frames(DATA / "videos" / name, range(CLIPS[name].frames))).mean() < 2


def pixels_of(clip: Clip, tid: int, frame: int, image: np.ndarray) -> np.ndarray:
    """Where a thing's own colours are on a picture, as (y, x): nearer to one of them than to the empty place."""
    actor = next(a for a in clip.actors if a.tid == tid)
    at = place(clip, actor, frame)
    colours = np.array(sorted(colours_of(actor.kind, actor.colour, at.pose, at.phase)))
    to_thing = np.abs(image[:, :, None, :].astype(int) - colours).sum(axis=-1).min(axis=-1)
    to_place = np.abs(image - background(clip.place, clip.width, clip.height)).sum(axis=-1)
    return np.argwhere((to_thing < to_place) & (to_place > 60))


def test_boxes_are_tight() -> None:
    """A thing apart from all others has pixels of its colours at every side of its box and none outside: seen in the
    frames of the shipped clips, not in the code that made the boxes."""
    checked = 0
    for name, clip in CLIPS.items():
        frames = list(range(0, clip.frames, 9))
        for frame, image in zip(frames, read_frames(DATA / "videos" / name, frames), strict=True):
            found = boxes(clip, frame)
            for tid, (x0, y0, x1, y1) in found.items():
                others = [b for t, b in found.items() if t != tid]
                apart = all(b[2] < x0 - 2 or b[0] > x1 + 2 or b[3] < y0 - 2 or b[1] > y1 + 2 for b in others)
                if not apart or x0 == 0 or x1 == clip.width or y1 - y0 < 8:
                    continue
                own = pixels_of(clip, tid, frame, image)
                inside = own[
                    (own[:, 0] >= y0 - 3) & (own[:, 0] < y1 + 3) & (own[:, 1] >= x0 - 3) & (own[:, 1] < x1 + 3)
                ]
                spanned = (inside[:, 1].min(), inside[:, 0].min(), inside[:, 1].max() + 1, inside[:, 0].max() + 1)
                assert np.abs(np.subtract(spanned, (x0, y0, x1, y1))).max() <= 2, (clip.video_id, frame, tid)
                checked += 1
    assert checked > 50


def rows(part: str, short: str) -> list[dict[str, str]]:
    with open(DATA / f"nextqa/{part}/{short}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_question_type_is_in_every_split() -> None:
    for short in SPLITS.values():
        oe = Counter(row["type"] for row in rows("oe", short))
        assert set(oe) == NEXTQA_TYPES
        star = Counter(
            item["question_id"].split("_")[0] for item in json.loads((DATA / f"star/STAR_{short}.json").read_text())
        )
        assert set(star) == STAR_TYPES
    assert min(Counter(row["type"] for row in rows("oe", "train")).values()) >= 3
    assert len(CLIPS) >= 24
    assert {row["type"] for row in rows("mc", "val")} == NEXTQA_TYPES - {"DB"}


def test_some_clips_are_longer_than_a_grid() -> None:
    """Else a grid position and a frame number would be the same everywhere, and mixing them up would not show."""
    for split in ("train", "validation"):
        assert any(story.clip.frames > 64 for story in stories(split))
        assert any(CLIPS[f"{plot.video_id}.mp4"].frames > 64 for plot in PLOTS if plot.split == split)


def test_what_is_said_to_be_hidden_is_hidden() -> None:
    """In the middle of the clip nothing of the animal's colour is left where its box is."""
    checked = 0
    for split in SPLITS:
        for story in stories(split):
            if not any("not be seen" in asked.question for asked in story.asked):
                continue
            clip, frame = story.clip, story.clip.frames // 2
            animal, without = clip.actors[0], replace(clip, actors=clip.actors[1:])
            x0, y0, x1, y1 = boxes(clip, frame)[animal.tid]
            assert np.array_equal(draw(clip, frame)[y0:y1, x0:x1], draw(without, frame)[y0:y1, x0:x1]), clip.video_id
            checked += 1
    assert checked == 2


def test_who_touches_is_near() -> None:
    """The boxes of two things in contact come within 3 pixels of each other, at some frame of the relation at least;
    who goes towards a thing is nearer to it at the end."""
    contact = {"hold", "touch", "grab", "carry", "bite", "push", "kick", "hug", "caress", "lift", "shake_hand_with"}
    seen = Counter[str]()
    for clip in CLIPS.values():
        for relation in clip.relations:
            found = [boxes(clip, frame) for frame in range(relation.begin, relation.end)]
            pairs = [
                (at[relation.subject], at[relation.object])
                for at in found
                if {relation.subject, relation.object} <= set(at)
            ]
            assert pairs, (clip.video_id, relation)
            gaps = [max(a[0], b[0]) - min(a[2], b[2]) for a, b in pairs]
            if relation.predicate in contact:
                assert min(gaps) <= 3, (clip.video_id, relation)
                seen[relation.predicate] += 1
            if relation.predicate in ("towards", "away"):
                apart = [abs(a[0] + a[2] - b[0] - b[2]) for a, b in (pairs[0], pairs[-1])]
                assert (apart[1] < apart[0]) == (relation.predicate == "towards"), (clip.video_id, relation)
    assert set(seen) == contact


def test_questions_are_sound() -> None:
    ids: set[str] = set()
    for split, short in SPLITS.items():
        keys = [(row["video"], row["qid"]) for part in ("oe", "mc") for row in rows(part, short)]
        assert len(set(keys)) == len(keys)
        for story in stories(split):
            for asked in story.asked:
                assert len(set(asked.others)) in (0, 4)
                assert asked.answer not in asked.others
        for item in json.loads((DATA / f"star/STAR_{short}.json").read_text()):
            texts = [choice["choice"] for choice in item["choices"]]
            assert len(set(texts)) == 4
            assert item["answer"] in texts
            assert item["question_id"] not in ids
            ids.add(item["question_id"])


def test_relations_are_sound_and_the_quirks_are_there() -> None:
    seen = Counter[str]()
    for path in (DATA / "vidor").rglob("*.json"):
        raw = json.loads(path.read_text())
        tids = {entity["tid"] for entity in raw["subject/objects"]}
        seen["gap in tids"] += tids != set(range(len(tids)))
        seen["empty frame"] += [] in raw["trajectories"]
        seen["two of a kind"] += len({e["category"] for e in raw["subject/objects"]}) < len(tids)
        for relation in raw["relation_instances"]:
            begin, end = relation["begin_fid"], relation["end_fid"]
            assert 0 <= begin < end <= raw["frame_count"]
            assert {relation["subject_tid"], relation["object_tid"]} <= tids
            seen["to the end"] += end == raw["frame_count"]
            there = [{box["tid"] for box in row} for row in raw["trajectories"][begin:end]]
            seen["box missing"] += any(relation["subject_tid"] not in at for at in there)
    for short in SPLITS.values():
        for item in json.loads((DATA / f"star/STAR_{short}.json").read_text()):
            keys = [int(key) for key in item["situations"]]
            seen["unsorted keys"] += keys != sorted(keys)
            seen["whole second"] += isinstance(item["start"], int)
            for situation in item["situations"].values():
                seen["null box"] += None in situation["bbox"]
                seen["no person"] += "o000" not in situation["bbox_labels"]
    quirks = (
        "gap in tids,empty frame,two of a kind,to the end,box missing,unsorted keys,whole second,null box,no person"
    )
    assert all(seen[quirk] for quirk in quirks.split(",")), seen


def test_a_prediction_clip_ends_before_what_it_asks_about() -> None:
    ends = {plot.video_id: plot for plot in PLOTS}
    for short in SPLITS.values():
        for item in json.loads((DATA / f"star/STAR_{short}.json").read_text()):
            if item["question_id"].startswith("Prediction"):
                plot = ends[item["video_id"]]
                clip = CLIPS[f"{plot.video_id}.mp4"]
                person = next(actor for actor in clip.actors if actor.tid == 0)
                assert item["end"] * clip.rate < person.poses[-1][0]  # the pose of the second act


def test_runs() -> None:
    assert runs([True, False, True, True]) == [(0, 1), (2, 4)]
    assert runs([]) == []
