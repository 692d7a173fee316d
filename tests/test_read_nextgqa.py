"""NExT-GQA's human spans: reading, and cutting them to the video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.readers.nextgqa import clamp, read_spans
from cotasks.builders.readers.nextqa import read_questions, read_video_map
from cotasks.errors import InputError
from cotasks.records.schema import Span


def write(folder: Path, value: Any) -> str:
    path = folder / "gsub_val.json"
    path.write_text(json.dumps(value))
    return str(path)


def entry(location: Any, **change: Any) -> dict[str, Any]:
    return {"duration": 30, "location": location, "fps": 29.97, **change}


def test_spans(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "11": entry({"4": [[1.5, 3]], "0": [[20, 30.4], [-0.2, 5], [5, 7.5]], "7": []}),
            "22": entry({}, fps=30),
            "33": entry({"4": [[2.0, 2.0]]}),
        },
    )
    assert read_spans(path) == {
        ("11", "4"): (Span(1.5, 3.0),),
        ("11", "0"): (Span(-0.2, 5.0), Span(5.0, 7.5), Span(20.0, 30.4)),  # as the file states them, in order
        ("33", "4"): (Span(2.0, 2.0),),
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "[]; expected an object"),
        ({"11": []}, "'11': []"),
        ({"11": entry([])}, "location: []"),
        ({"11": {"duration": 3, "fps": 25}}, "location: None"),
        ({"11": {"location": {}, "fps": 25}}, "duration is None"),
        ({"11": entry({}, duration="30")}, "duration is '30'"),
        ({"11": entry({}, duration=0)}, "duration is 0"),
        ({"11": entry({}, fps=True)}, "fps is True"),
        ({"11": entry({"4": 3})}, "'11': '4': 3"),
        ({"11": entry({"4": [3, 4]})}, "'11': '4': 3"),
        ({"11": entry({"4": [[3, 4, 5]]})}, "[3, 4, 5]"),
        ({"11": entry({"4": [["3", 4]]})}, "['3', 4]"),
        ({"11": entry({"4": [[None, 4]]})}, "[None, 4]"),
        ({"11": entry({"4": [[False, 4]]})}, "[False, 4]"),
        ({"11": entry({"4": [[5, 4]]})}, "'11': '4': [5, 4]; expected [start, end] in seconds, start <= end"),
    ],
)
def test_bad_spans(tmp_path: Path, value: Any, words: str) -> None:
    path = write(tmp_path, value)
    with pytest.raises(InputError) as caught:
        read_spans(path)
    assert str(caught.value).startswith(path)
    assert words in str(caught.value)


def test_damaged_and_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "gsub_val.json"
    with pytest.raises(InputError, match="no such file"):
        read_spans(str(path))
    path.write_text('{"11": ')
    with pytest.raises(InputError, match="not JSON"):
        read_spans(str(path))


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(0.0, 30.0), Span(0.0, 30.0)),
        (Span(-0.1, 4.0), Span(0.0, 4.0)),
        (Span(-1.0, 4.0), Span(0.0, 4.0)),
        (Span(-0.5, -0.2), Span(0.0, 0.0)),
        (Span(3.0, 30.99), Span(3.0, 30.0)),
        (Span(30.2, 30.4), Span(30.0, 30.0)),
        (Span(-1.01, 4.0), None),
        (Span(3.0, 31.0), None),
        (Span(40.0, 41.0), None),
    ],
)
def test_clamp(span: Span, expected: Span | None) -> None:
    if expected is not None:
        assert clamp((span, Span(1.0, 2.0)), 30.0, "here") == (expected, Span(1.0, 2.0))
        return
    with pytest.raises(InputError, match=r"here: span .* expected within 0 to 30\.000 s") as caught:
        clamp((Span(1.0, 2.0), span), 30.0, "here")
    assert caught.value.reason == "span outside the video"


seconds = st.floats(-0.99, 10.99)


@given(st.lists(st.tuples(seconds, seconds).map(lambda ends: Span(*sorted(ends))), max_size=4))
def test_clamped_spans_lie_inside(spans: list[Span]) -> None:
    for before, after in zip(spans, clamp(spans, 10.0, "here"), strict=True):
        assert 0 <= after.start_seconds <= after.end_seconds <= 10
        assert abs(after.start_seconds - before.start_seconds) <= 1
        if before.start_seconds >= 0 and before.end_seconds <= 10:
            assert after == before


def test_real_file(realdata: Path) -> None:
    path = str(realdata / "nextgqa/gsub_val.json")
    spans = read_spans(path)
    assert len(spans) == 3_358
    assert len({video for video, _ in spans}) == 567  # 3 of the 570 videos have an empty location
    assert spans["10001787725", "3"] == (Span(12.1, 17.1), Span(20.0, 23.5), Span(29.7, 33.2))
    assert max(len(s) for s in spans.values()) == 11
    assert 0.89 < sum(len(s) == 1 for s in spans.values()) / len(spans) < 0.91

    # each fits its video, whether its length is the exact one or the file's rounded one
    video_map = read_video_map(str(realdata / "nextqa/map_vid_vidorID.json"))
    questions, _ = read_questions(str(realdata / "nextqa/oe/val.csv"), "validation", video_map, multiple_choice=False)
    frame_count = {q.video_id: q.size[0] for q in questions if q.size}
    kinds = {(q.video_id, q.qid): q.question_type[0] for q in questions}
    assert {kinds[key] for key in spans} == {"C", "T"}
    raw = json.loads(Path(path).read_text())
    for (video, qid), found in spans.items():
        for duration in (frame_count[video] / raw[video]["fps"], raw[video]["duration"]):
            for before, after in zip(found, clamp(found, duration, f"{video} {qid}"), strict=True):
                assert after.start_seconds == before.start_seconds  # no start is negative in this file
                assert 0 <= before.end_seconds - after.end_seconds < 0.51
