"""The forms that evidence is read from and written in, one row each.

Reading needs no form: tags are read where there are any with a moment, else JSON. Thoughts are left out where something
readable stands outside of them, for they hold drafts; Open-o3's evidence stands within them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from cotasks.errors import InputError
from cotasks.evidence.evidence import Evidence, TimedBox, in_convention, in_pixels
from cotasks.evidence.json_reading import read_json
from cotasks.evidence.tags import read_tags
from cotasks.records.boxes import Size
from cotasks.steps.conventions import Convention
from cotasks.words.packaging import clean

_ANSWER = re.compile(r"<answer>\s*([^<]{1,200}?)\s*</answer>", re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """A way to write evidence."""

    name: str
    title: str
    write: Callable[[Evidence], str]


def read_evidence(text: str) -> Evidence:
    """The evidence in an answer; none, without anything unread, where the answer gives none."""
    match = _ANSWER.search(text)
    answer = None if match is None else match[1]
    for reader in (read_tags, read_json):
        for part in dict.fromkeys((clean(text), text)):
            found = reader(part)
            if found is not None and (found.instances or found.unread or found.answer is not None):
                return found if found.answer is not None else Evidence(found.instances, answer, found.unread)
    return Evidence(answer=answer)


def write_evidence(evidence: Evidence, form: str) -> str:
    """The evidence in a form of `FORMS`. `castbench` holds whole seconds, the nearest; what is unread goes.

    Raises InputError for an unknown form.
    """
    if form not in FORMS:
        raise InputError(f"form {form!r} of evidence; expected one of {', '.join(FORMS)}")
    return FORMS[form].write(evidence)


def convert(
    text: str,
    form: str,
    *,
    boxes: Convention | None = None,
    to: Convention | None = None,
    size: Size | None = None,
) -> str:
    """An answer's evidence in another form.

    Args:
        form: of `FORMS`.
        boxes: the convention that the boxes are written in; None leaves them as they stand.
        to: the convention to write them in; pixels of the frame, x first, by default.
        size: (width, height) of the frame in pixels.

    Raises InputError for an unknown form, and where a size is needed and not given.
    """
    found = read_evidence(text)
    if boxes is not None:
        pixels = in_pixels(found, boxes, size)
        if pixels is None or (to is not None and size is None):
            raise InputError(f"boxes in {boxes.name}: the size of the frame is not given; expected (width, height)")
        found = pixels if to is None or size is None else in_convention(pixels, to, size)
    elif to is not None:
        raise InputError(f"boxes to {to.name}: expected the convention that they are written in too")
    return write_evidence(found, form)


def _castbench(evidence: Evidence) -> str:
    instances = [
        {
            "instance_name": instance.name,
            "evidences": [
                {
                    "evidence_start_time": _clock(piece.start),
                    "evidence_end_time": _clock(piece.end),
                    "bboxes_in_time_range": {_clock(box.second): _numbers(box) for box in piece.boxes},
                }
                for piece in instance.pieces
            ],
        }
        for instance in evidence.instances
    ]
    answer = {} if evidence.answer is None else {"answer_choice": evidence.answer}
    return orjson.dumps({"instances": instances, **answer}).decode()


def _open_o3(evidence: Evidence) -> str:
    sentences = []
    for instance in evidence.instances:
        named = f"<obj>{instance.name}</obj>" if instance.name else ""
        for piece in instance.pieces:
            if piece.start < piece.end or not piece.boxes:
                sentences.append(f"{named} from <t>{piece.start:g}</t>s to <t>{piece.end:g}</t>s".strip())
            sentences += [f"{named}<box>{_numbers(box)}</box>at<t>{box.second:g}</t>s" for box in piece.boxes]
    answer = "" if evidence.answer is None else f"<answer>{evidence.answer}</answer>"
    return f"<think>{'. '.join(sentences)}</think>{answer}"


def _qwen(evidence: Evidence) -> str:
    rows: list[dict[str, object]] = []
    for instance in evidence.instances:
        label = {"label": instance.name} if instance.name else {}
        for piece in instance.pieces:
            if piece.start < piece.end or not piece.boxes:
                rows.append({"start_time": piece.start, "end_time": piece.end, **label})
            rows += [{"time": box.second, "bbox_2d": _numbers(box), **label} for box in piece.boxes]
    if evidence.answer is not None:
        rows.append({"answer": evidence.answer})
    return orjson.dumps(rows).decode()


def _numbers(box: TimedBox) -> list[float]:
    """Whole numbers without a point."""
    return [int(v) if v == int(v) else v for v in box.numbers]


def _clock(seconds: float) -> str:
    whole = int(seconds + 0.5)
    return f"{whole // 60:02d}:{whole % 60:02d}"


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("castbench", "CaST-Bench's JSON: things, each with spans and a box a second", _castbench),
        Form("open-o3", "Open-o3 Video's tags within a thought", _open_o3),
        Form("qwen", "Qwen's JSON: a list of boxes with label and time", _qwen),
    )
}
"""Name -> row."""
