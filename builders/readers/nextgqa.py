"""NExT-GQA: when the answer to a NExT-QA question can be seen, as marked by people.

Xiao et al., "Can I Trust Your Answer? Visually Grounded Video Question Answering", CVPR 2024; files
`gsub_{val,test}.json` of github.com/doc-doc/NExT-GQA. Causal and temporal questions only. The annotators saw
the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cotasks.builders.readers.checks import expect_list, expect_object, is_number
from cotasks.errors import InputError, shorten
from cotasks.records.schema import Span
from cotasks.tools.files import read_json

SLACK_SECONDS = 1.0
"""How far a span may lie outside its video and still be cut to it. Seen: starts of -0.1 and -0.2, ends up to
0.1 s past the last frame; the files round the duration to whole seconds."""


def read_spans(path: str) -> dict[tuple[str, str], tuple[Span, ...]]:
    """Human spans by (video id, qid), in seconds of file time as the file states them, in order of start.

    Some reach outside the video by a fraction of a second: cut them with `clamp`. Questions and videos
    without a span are left out.

    Raises InputError naming file, video, qid and value where the file is missing or is not
    `{video: {"duration": number, "location": {qid: [[start, end], ...]}, "fps": number}}` with start <= end.
    """
    spans: dict[tuple[str, str], tuple[Span, ...]] = {}
    for video, entry in expect_object(read_json(Path(path)), path).items():
        place = f"{path}: {shorten(video)}"
        fields = expect_object(entry, place)
        for name in ("duration", "fps"):
            number = fields.get(name)
            if not is_number(number) or number <= 0:
                raise InputError(f"{place}: {name} is {shorten(number)}; expected a number > 0")
        for qid, pairs in expect_object(fields.get("location"), f"{place}: location").items():
            found = [_span(pair, f"{place}: {shorten(qid)}") for pair in expect_list(pairs, f"{place}: {shorten(qid)}")]
            if found:
                spans[video, qid] = tuple(sorted(found, key=lambda s: (s.start_seconds, s.end_seconds)))
    return spans


def clamp(spans: Sequence[Span], duration_seconds: float, place: str) -> tuple[Span, ...]:
    """Cut spans to [0, duration_seconds]: starts from -1 s on, ends less than 1 s past the end
    (`SLACK_SECONDS`).

    `duration_seconds` is `frame_count / fps`; the file's own duration is rounded. `place` is for the message.

    Raises InputError where a span reaches out further.
    """
    for span in spans:
        if span.start_seconds < -SLACK_SECONDS or span.end_seconds - duration_seconds >= SLACK_SECONDS:
            raise InputError(
                f"{place}: span {span.start_seconds} to {span.end_seconds} s; expected within 0 to "
                f"{duration_seconds:.3f} s",
                "span outside the video",
            )
    return tuple(
        Span(
            min(max(span.start_seconds, 0.0), duration_seconds),
            min(max(span.end_seconds, 0.0), duration_seconds),
        )
        for span in spans
    )


def _span(pair: object, place: str) -> Span:
    if not isinstance(pair, list) or len(pair) != 2 or not all(is_number(v) for v in pair) or pair[0] > pair[1]:
        raise InputError(f"{place}: {shorten(pair)}; expected [start, end] in seconds, start <= end")
    return Span(float(pair[0]), float(pair[1]))
