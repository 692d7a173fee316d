"""Records as CVAT for video 1.1: an XML file a video, to be uploaded to a task of that video.

    <video path>.xml

A track is an entity; every box is a key frame. CVAT draws boxes between key frames, which nobody annotated; so a track
is `outside` from the frame after a box on, until its next one. Boxes keep their attribute `generated`, and tracks their
`tid`. Relations have no place in this format.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as xml

from cotasks.export.formats import Written
from cotasks.export.scenes import Subject, VideoScene, notes_of, scenes_of
from cotasks.records.schema import Box
from cotasks.tools.files import write_text
from cotasks.video.files import video_file
from cotasks.words.plain import printable

ATTRIBUTES = (("tid", "number", "0"), ("generated", "checkbox", "false"))
"""(name, CVAT's input type, default value) of each label's attributes."""


def write(subject: Subject, folder: Path) -> Written:
    """Write a file a video, and relations into none: they are counted."""
    left_out: Counter[str] = Counter()
    scenes = scenes_of(subject, left_out)
    boxes = 0
    for scene in scenes:
        place = video_file(folder, scene.path)
        write_text(place.with_name(f"{place.name}.xml"), text_of(scene))
        boxes += sum(map(len, scene.boxes.values()))
    return Written(f"{len(scenes)} videos, {boxes} boxes", tuple(notes_of(left_out)))


def text_of(scene: VideoScene) -> str:
    """The XML of a video."""
    root = xml.Element("annotations")
    _text(root, "version", "1.1")
    task = xml.SubElement(xml.SubElement(root, "meta"), "task")
    for name, value in (
        ("name", scene.path),
        ("size", scene.frame_count),
        ("mode", "interpolation"),
        ("overlap", 0),
        ("start_frame", 0),
        ("stop_frame", scene.frame_count - 1),
        ("frame_filter", ""),
    ):
        _text(task, name, value)
    labels = xml.SubElement(task, "labels")
    for category in sorted(set(scene.categories.values())):
        label = xml.SubElement(labels, "label")
        _text(label, "name", category)
        attributes = xml.SubElement(label, "attributes")
        for name, kind, default in ATTRIBUTES:
            attribute = xml.SubElement(attributes, "attribute")
            for key, value in (
                ("name", name),
                ("mutable", "True" if name == "generated" else "False"),
                ("input_type", kind),
                ("default_value", default),
                ("values", "0;2147483647;1" if kind == "number" else default),
            ):
                _text(attribute, key, value)
    size = xml.SubElement(task, "original_size")
    _text(size, "width", scene.size[0])
    _text(size, "height", scene.size[1])
    _text(task, "source", scene.path)
    for number, (tid, boxes) in enumerate(sorted(scene.boxes.items())):
        track = xml.SubElement(root, "track", id=str(number), label=_clean(scene.categories[tid]), source="manual")
        for frame in sorted(boxes):
            _box(track, frame, boxes[frame], tid, outside=False)
            if frame + 1 not in boxes and frame + 1 < scene.frame_count:
                _box(track, frame + 1, boxes[frame], tid, outside=True)
    xml.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{xml.tostring(root, encoding="unicode")}\n'


def _box(track: xml.Element, frame: int, box: Box, tid: int, *, outside: bool) -> None:
    corners = zip(("xtl", "ytl", "xbr", "ybr"), map(repr, map(float, box.xyxy)), strict=True)
    told = {"frame": str(frame), "keyframe": "1", "outside": str(int(outside)), "occluded": "0"}
    element = xml.SubElement(track, "box", {**told, **dict(corners), "z_order": "0"})
    _text(element, "attribute", tid, name="tid")
    _text(element, "attribute", str(box.generated).lower(), name="generated")


def _text(parent: xml.Element, tag: str, value: object, **attributes: str) -> None:
    xml.SubElement(parent, tag, dict(attributes)).text = _clean(str(value))


def _clean(text: str) -> str:
    """Without the characters that XML has none for: they stand as their escapes."""
    return printable(text)
