"""What all readers of steps share: a text as blocks, a line without Markdown, and what was left of both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.blocks import Line, Value, split_blocks
from cotasks.steps.context import NOTHING, StepContext
from cotasks.steps.wording import WORD_NUMBER

_FENCE = re.compile(r"(?:```|~~~)\s*\w*")
_EMPHASIS = re.compile(r"(?<!\w)(?:\*\*|__|`)|(?:\*\*|__|`)(?!\w)")  # within a word it is a slip, not Markdown
_BULLET = re.compile(
    r"(?:(?:[-*+•·●▪◦>|]|#+)\s+|\(?\d{1,3}[.)]\s+|[①-⑳]\s*|\(\d{1,2}\)(?=[^\W\d])|\d{1,2},(?=[^\W\d]|\())+"
)
_TITLE = re.compile(r"step [1-4]\b[^\d:]*:?", re.IGNORECASE)
CUT = "\x01"
"""Put behind a time that may have lost digits, so that nothing reads it."""


class Rest:
    """What was not read, as it stood, and how much was repaired."""

    def __init__(self) -> None:
        self.unread: list[str] = []
        self.repaired = 0

    def leave(self, parts: Iterable[str], stood: str) -> None:
        """Parts of a line or value; where reading has changed them, the whole of it."""
        for part in (part.replace(CUT, "") for part in parts):
            if part in stood:
                self.unread.append(part)
            elif stood not in self.unread[-1:]:
                self.unread.append(stood)


def blocks_of(step: int, text: str, context: StepContext) -> list[Line | Value]:
    """The blocks of a text, without lines that say `none`; a text that `parse` reads whole is nothing but lines."""
    parse = (frame_localization, entity_tracking, spatial_relations, temporal_relations)[step - 1].parse
    if not parse(text, context).unread:
        lines = (" ".join(line.split()) for line in text.splitlines())
        blocks: Iterator[Line | Value] = (Line(line, line) for line in lines if line)
    else:
        blocks = iter(split_blocks(text, step, context))
    return [block for block in blocks if isinstance(block, Value) or block.text.lower() != NOTHING]


def ends_in_cut_time(text: str, context: StepContext) -> bool:
    """Whether the very end of a text is a number without a unit and without all of a time's decimals, or in words."""
    last = re.search(rf"(?<![\d:.])\d+(?:\.(\d*))?$|{WORD_NUMBER}$", text, re.IGNORECASE)
    if last is None or len(last[1] or "") == context.decimals:
        return False
    # "0.0 to 1.0": the number before it is written alike
    before = re.search(r"\d\.(\d+)[^\d.s]{1,12}$", text[: last.start()])
    return before is None or len(before[1]) != len(last[1] or "")


def without_bullet(line: str) -> str:
    """A line without Markdown's emphasis, and without a bullet or number in front."""
    if _FENCE.fullmatch(line):
        return line
    line = _EMPHASIS.sub("", line)
    return _BULLET.sub("", line, count=1) if _BULLET.match(line) else line


def plain_line(line: str) -> str:
    """A line without Markdown; empty where it holds nothing but that, or the title of a step."""
    line = "" if _FENCE.fullmatch(line) else without_bullet(line).strip().rstrip(".;,*| ")
    return "" if _TITLE.fullmatch(line) or not re.search(r"\w", line) else line
