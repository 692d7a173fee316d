"""Write the embedded sample: clips and annotation in the sources' own formats.

    python -m cotasks.sample.world DIR

The annotation is the same bytes every time. The clips show the same frames; their bytes depend on the encoder's
version.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

from cotasks.sample import situations
from cotasks.sample.film import Clip, boxes, draw
from cotasks.sample.stories import Story, stories

SPLITS = {"train": "train", "validation": "val", "test": "test"}
OE_COLUMNS = ("video", "frame_count", "width", "height", "question", "answer", "qid", "type")
KEYFRAME_EVERY = 12


def group(video_id: str) -> str:
    """The folder of a clip, four digits as VidOR names them."""
    return f"{int(video_id) % 1200:04d}"


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _arrange(right: str, wrong: tuple[str, ...], place: int) -> list[str]:
    return [*wrong[:place], right, *wrong[place:]]


def nextqa_files() -> dict[str, str]:
    """Relative path -> text of every NExT-QA, NExT-GQA and VidOR file."""
    files: dict[str, str] = {}
    video_map: dict[str, str] = {}
    for split, short in SPLITS.items():
        rows: dict[str, list[dict[str, Any]]] = {"oe": [], "mc": []}
        spans: dict[str, Any] = {}
        references: dict[str, dict[str, str]] = {}
        for index, story in enumerate(stories(split)):
            clip = story.clip
            video_map[clip.video_id] = f"{group(clip.video_id)}/{clip.video_id}"
            marked = {}
            for qid, asked in enumerate(story.asked):
                row = {
                    "video": clip.video_id,
                    "frame_count": clip.frames,
                    "width": clip.width,
                    "height": clip.height,
                    "question": asked.question,
                    "answer": asked.answer,
                    "qid": qid,
                    "type": asked.type,
                }
                if asked.others:
                    place = (index + qid) % 5
                    options = _arrange(asked.answer, asked.others, place)
                    row |= {"answer": place, **{f"a{i}": text for i, text in enumerate(options)}}
                elif asked.second:
                    references.setdefault(clip.video_id, {})[str(qid)] = asked.second
                rows["mc" if asked.others else "oe"].append(row)
                # some evidence is left unmarked, so that other origins of step 1 occur as well
                if asked.when is not None and (index + qid) % 4 != 3:
                    begin, end = asked.when
                    marked[str(qid)] = [[round(begin / clip.rate, 1), round(min(end, clip.frames) / clip.rate, 1)]]
            duration = clip.frames / clip.rate
            spans[clip.video_id] = {"duration": round(duration), "location": marked, "fps": clip.rate}
            part = "training" if split == "train" else "validation"
            files[f"vidor/{part}/{video_map[clip.video_id]}.json"] = _dump(vidor_annotation(story))
        files[f"nextqa/oe/{short}.csv"] = _csv(OE_COLUMNS, rows["oe"])
        files[f"nextqa/mc/{short}.csv"] = _csv((*OE_COLUMNS, "a0", "a1", "a2", "a3", "a4"), rows["mc"])
        if split != "train":
            files[f"nextgqa/gsub_{short}.json"] = _dump(spans)
        if split == "test":
            files["nextqa/add_reference_answer_test.json"] = _dump(references)
    files["nextqa/map_vid_vidorID.json"] = _dump(video_map)
    return files


def vidor_annotation(story: Story) -> dict[str, Any]:
    """A clip in VidOR's format: inclusive pixels, [begin_fid, end_fid), every tenth frame drawn by hand."""
    clip = story.clip
    trajectories = [
        [
            {
                "tid": tid,
                "bbox": {"xmin": x0, "ymin": y0, "xmax": x1 - 1, "ymax": y1 - 1},
                "generated": 0 if frame % 10 == 0 else 1,
                "tracker": "none" if frame % 10 == 0 else "synthetic",
            }
            for tid, (x0, y0, x1, y1) in boxes(clip, frame).items()
        ]
        for frame in range(clip.frames)
    ]
    return {
        "version": "SYNTHETIC",
        "video_id": clip.video_id,
        "video_hash": "",
        "video_path": f"{group(clip.video_id)}/{clip.video_id}.mp4",
        "frame_count": clip.frames,
        "fps": clip.rate,
        "width": clip.width,
        "height": clip.height,
        "subject/objects": [{"tid": actor.tid, "category": actor.category} for actor in clip.actors],
        "trajectories": trajectories,
        "relation_instances": [
            {
                "subject_tid": r.subject,
                "object_tid": r.object,
                "predicate": r.predicate,
                "begin_fid": r.begin,
                "end_fid": r.end,
            }
            for r in clip.relations
        ],
    }


def star_files() -> dict[str, str | bytes]:
    """Relative path -> content of every STAR file."""
    codes = situations.actions()
    verbs, things = situations.VERBS, situations.OBJECTS
    lists = {
        "object_classes": [f"o{i:03d} {name}" for i, name in enumerate(things)],
        "relationship_classes": [f"r{i:03d} {name}" for i, name in enumerate(situations.RELATIONS)],
        "verb_classes": [f"v{i:03d} {name}" for i, name in enumerate(verbs)],
        "action_classes": [f"a{i:03d} {verb} a {thing}" for i, (verb, thing) in enumerate(codes)],
        "action_mapping": [
            f"a{i:03d} v{verbs.index(verb):03d} o{things.index(thing):03d}" for i, (verb, thing) in enumerate(codes)
        ],
    }
    files: dict[str, str | bytes] = {f"star/STAR_classes/{name}.txt": "\n".join(rows) for name, rows in lists.items()}
    rates = {f"{plot.video_id}.mp4": situations.clip_of(plot).rate for plot in situations.PLOTS}
    files["star/STAR_classes/video_fps"] = pickle.dumps(rates, protocol=2)
    sizes = {f"{plot.video_id}.mp4": [plot.frames, plot.width, plot.height] for plot in situations.PLOTS}
    files["star/video_sizes.json"] = _dump(sizes)
    numbers: dict[str, int] = {}
    for split, short in SPLITS.items():
        files[f"star/STAR_{short}.json"] = _dump(situations.questions(split, numbers))
    return files


def clips() -> dict[str, Clip]:
    """Path below `videos/` -> clip."""
    found = {}
    for split in SPLITS:
        for story in stories(split):
            found[f"{group(story.clip.video_id)}/{story.clip.video_id}.mp4"] = story.clip
    return found | {f"{plot.video_id}.mp4": situations.clip_of(plot) for plot in situations.PLOTS}


def encode(clip: Clip, path: Path) -> None:
    """Write a clip as H.264 in an mp4 file, a keyframe every KEYFRAME_EVERY frames and no frame shown out of order."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(clip.fps))
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.options = {
            "crf": "26",
            "preset": "veryslow",
            "bf": "0",
            "g": str(KEYFRAME_EVERY),
            "threads": "1",
            "x264-params": "no-info=1",
        }
        for index in range(clip.frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(clip, index), format="rgb24")))
        container.mux(stream.encode())


def write_annotation(folder: Path) -> None:
    """Write every file but the clips."""
    for name, content in {**nextqa_files(), **star_files()}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_world(folder: Path) -> None:
    """Write the whole sample below a folder."""
    write_annotation(folder)
    for name, clip in clips().items():
        encode(clip, folder / "videos" / name)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Write the embedded sample: clips, and annotation in the sources' formats."
    )
    parser.add_argument("folder", type=Path, help="where to write")
    write_world(parser.parse_args().folder)


if __name__ == "__main__":
    main()
