"""Moments as models write them, beside the plain `3.94s`.

    clocks              0:03, 00:03.94, 00:00:03, 00:00:03.940, 00:00:03,940 (as in subtitles)
    units               1m 5s, 1 min 5 sec, 1h2m3s, 500 ms
    Chinese             0.5秒, 第0.5秒, 1分5秒, 第2帧, 从0.0秒到1.0秒, 0.0秒至1.0秒
    starts and ends     starts at 0.10s and ends at 1.60s; start: 0.10s, end: 1.60s; between 0.10s and 1.60s

A clock of three parts is hours, minutes, seconds. A comma is a decimal point only behind such a clock, where three
digits follow; elsewhere it may as well part two numbers.
"""

from __future__ import annotations

import re

_SUBTITLE = re.compile(r"(?<![\d:])(\d{1,2}:[0-5]\d:[0-5]\d),(\d{3})(?![\d:])")
_CLOCK = re.compile(
    r"(?:(\d{1,2}):(?=[0-5]\d:))?(\d{1,3}):([0-5]\d(?:\.\d{1,9})?)\s*(?:s|secs?|seconds?|mins?|minutes?)?", re.I
)
_UNITS = re.compile(
    r"(?:(\d{1,2})\s*h(?:ours?|rs?)?[\s,]*)?(?:(\d{1,3})\s*(?:m|mins?|minutes?)[\s,]*)(?:and\s+)?"
    r"(\d{1,2}(?:\.\d{1,9})?)\s*(?:s|secs?|seconds?)",
    re.I,
)
_MILLISECONDS = re.compile(r"(\d{1,9})\s*(?:ms|msecs?|milliseconds?)", re.I)
CLOCK = (
    r"(?:(?:\d{1,2}:)?\d{1,3}:[0-5]\d(?:\.\d{1,9})?(?!\d|:\d)"
    r"|\d{1,3}\s*m(?:in(?:ute)?s?)?\s*\d{1,2}(?:\.\d{1,9})?\s*s(?:ec(?:ond)?s?)?\b|\d{1,9}\s*ms\b)"
)
"""A clock, or minutes and seconds, within a text."""

_CHINESE = (
    (re.compile(r"第\s*(\d+(?:\.\d+)?)\s*帧"), r"frame \1 "),
    (re.compile(r"帧\s*(?=\d)"), "frame "),
    (re.compile(r"(?:第\s*)?(\d+)\s*分(?:钟)?\s*(\d+(?:\.\d+)?)\s*秒"), r"\1m \2s"),
    (re.compile(r"(?:第\s*)?(\d+(?:\.\d+)?)\s*秒钟?"), r"\1s"),
    (re.compile(r"(?<=[\ds])\s*[到至]\s*(?=[\df])"), " to "),
    (re.compile(r"从\s*(?=[\df])"), "from "),
    (re.compile(r"(?<=[\dsf])\s*[和与及]\s*(?=[\df])"), " and "),
    (re.compile(r"在\s*(?=[\df])"), "at "),
)
_MOMENT = r"([^;,]{1,40}?)"
_START_END = re.compile(
    rf"\b(?:start|begin|from)(?:s|ning|ting|ing)?(?:[ _](?:time|at|from)){{0,3}}\s*[:=]?\s*{_MOMENT}\s*[,;]?\s*"
    r"(?:and\s+)?\b(?:end|stop|finish)(?:s|es|ping|ing)?(?:[ _](?:time|at)){0,2}\b\s*[:=]?\s*",
    re.I,
)
_BETWEEN = re.compile(rf"\bbetween\s+{_MOMENT}\s+and\s+", re.I)


def read_clock(text: str) -> float | None:
    """A clock, or minutes and seconds, or milliseconds -> seconds; None where the text is none of these."""
    text = _SUBTITLE.sub(r"\1.\2", text.strip())
    match = _CLOCK.fullmatch(text) or _UNITS.fullmatch(text)
    if match is not None:
        return 3600.0 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])
    match = _MILLISECONDS.fullmatch(text)
    return None if match is None else int(match[1]) / 1000


def plain_times(text: str) -> str:
    """A text whose clocks and Chinese words of time are in the words that are read elsewhere; all else as it stands."""
    text = _SUBTITLE.sub(r"\1.\2", text)
    if not text.isascii():
        for pattern, words in _CHINESE:
            text = pattern.sub(words, text)
    return text


def plain_runs(text: str) -> str:
    """A text in which `between A and B` and `starts at A and ends at B` are `A to B`."""
    return _BETWEEN.sub(r"\1 to ", _START_END.sub(r"\1 to ", text))
