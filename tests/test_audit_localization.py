"""What step 1 keeps, and whether spans are nearer to people's than the whole clip is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cotasks.audit import _localizes
from cotasks.audit.counts import SplitCounts, add_video
from cotasks.audit.localization import beats_whole, by_spans, by_words, compare
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.records.schema import Record, Span, records_to_table
from cotasks.steps import entity_tracking
from tests.audit_records import FRAMES, make_record, write_folder


def test_what_step_1_keeps_is_counted() -> None:
    """Of 12 frames and two things: one record keeps all, one half of the frames and one thing."""
    half = make_record(number=1, chosen=[0])
    a1 = dataclasses.replace(half.frame_localization, frames=FRAMES[:6])
    counts = SplitCounts()
    add_video(counts, records_to_table([make_record(), dataclasses.replace(half, frame_localization=a1)]))
    [row] = _localizes(counts)
    assert (row["span_origin"], row["entity_origin"], row["records"], row["everything"]) == ("whole", "lexical", 2, 1)
    assert (row["grid_share"]["mean"], row["grid_share"]["min"]) == (0.75, 0.5)
    assert (row["entity_share"]["mean"], row["entity_share"]["min"]) == (0.75, 0.5)


def human(record: Record, *frames: int, category: str = "causal") -> Record:
    a1 = dataclasses.replace(record.frame_localization, frames=frames, span_origin="human", used_answer=True)
    steps = {"frame_localization": a1, "entity_tracking": entity_tracking.construct(record.scene, a1)}
    return dataclasses.replace(record, id=f"h/{frames}/{category}", category=category, **steps)


def test_spans_are_held_against_those_of_people() -> None:
    """12 frames at 0 to 11 s. People: 0, 10; proposed: 0 to 3. F1 4/6 against 4/14 of the whole clip."""
    record = human(make_record(), 0, 10)
    other = human(make_record(video="v2"), 110, category="temporal")
    spans = {record.id: (Span(-2.0, 3.5),), other.id: (Span(0.0, 1.0),), "stranger": (Span(0.0, 1.0),)}
    found = compare([make_record(), record, other, human(make_record(), 0)], by_spans(spans))
    assert (found["marked"], found["proposed"], found["marked_with_answer"]) == (3, 2, 3)
    rows = {(row["category"], row["measure"]): row for row in found["rows"]}
    assert set(rows) == {(c, m) for c in ("all", "causal", "temporal") for m in ("f1", "iou", "iop")}
    causal = rows["causal", "f1"]
    assert (causal["questions"], causal["low"]) == (1, None)
    assert causal["proposal"] == pytest.approx(4 / 6)
    assert causal["whole"] == pytest.approx(4 / 14)
    assert rows["causal", "iou"]["proposal"] == rows["causal", "iop"]["proposal"] == pytest.approx(2 / 4)
    assert rows["temporal", "f1"]["proposal"] == 0
    assert rows["all", "f1"]["difference"] == pytest.approx((4 / 6 - 4 / 14 - 2 / 13) / 2)
    assert not beats_whole(found)


def test_good_spans_beat_the_whole_clip_and_words_are_tried_too() -> None:
    marked = [human(make_record(video=f"v{n}", temporal=[(0, "chase", 1)]), 0, 10 * (n % 4 + 1)) for n in range(8)]
    marked = [dataclasses.replace(r, id=f"{r.id}{n}") for n, r in enumerate(marked)]
    spans = {r.id: (Span(0.0, r.frame_localization.frames[-1] / 10),) for r in marked}
    assert beats_whole(compare(marked, by_spans(spans)))
    with pytest.raises(InputError, match="nothing is proposed for any of the 8 questions"):
        compare(marked, by_words)  # "run" is no chase
    with pytest.raises(InputError, match="no record has spans that people marked"):
        compare([make_record()], by_words)


def test_the_comparison_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotasks.audit.plots.draw", lambda *_: ())  # of which test_audit.py has its tests
    records = [human(make_record(video=f"v{n}"), 0, 10) for n in range(12)]
    records = [dataclasses.replace(r, id=f"nextqa/validation/v{n}/0") for n, r in enumerate(records)]
    write_folder(tmp_path / "data", {"validation": records})
    lines = [{"id": r.id, "model": "M", "used_answer": False, "spans": [[0, 1]], "entities": [1]} for r in records]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["audit", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--localization"]
    assert main([*command, str(tmp_path / "p.jsonl")]) == 0
    page = (tmp_path / "out/audit.md").read_text("utf-8")
    assert "spans of the proposals are nearer to people's than the whole clip is" in page
    assert json.loads((tmp_path / "out/audit.json").read_text())["localization"]["validation"]["proposed"] == 12
    assert main([*command, "lexical"]) == 2
    assert main([*command, str(tmp_path / "none.jsonl")]) == 2
