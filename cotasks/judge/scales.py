"""The scales that a rubric may ask for: what a rating is, and which score it makes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cotasks.errors import InputError, shorten

GREATEST = 100
"""The highest rating that a scale may have."""


@dataclass(frozen=True)
class Scale:
    """Integers from `lowest` to `highest`, both included; a yes or no is given beside them, or alone."""

    name: str
    """As the header of a rubric says it: `0-5`, `0-100`, `yes/no`."""
    lowest: int
    highest: int
    rates: bool = True
    """Whether there is a rating beside the yes or no; else yes counts as `highest`, no as `lowest`."""

    def score(self, rating: int) -> float:
        """0 to 100."""
        return 100.0 * (rating - self.lowest) / (self.highest - self.lowest)

    def rating_of(self, correct: bool) -> int:
        """What a yes or no alone counts as."""
        return self.highest if correct else self.lowest

    def holds(self, rating: object) -> bool:
        """Whether this is a rating of the scale."""
        return type(rating) is int and self.lowest <= rating <= self.highest

    def contradicts(self, match: bool | None, rating: int) -> bool:
        """Whether a verdict says both that the answer means the same as a reference and that it is wrong, or that it
        does not and is worth all: the highest rating without a match, or the lowest with one, whatever the rubric."""
        return (rating == self.highest and match is False) or (rating == self.lowest and match is True)


YES_NO = Scale("yes/no", 0, 1, rates=False)
DEFAULT_SCALE = Scale("0-5", 0, 5)


def parse_scale(text: str, place: str) -> Scale:
    """`0-5`, `0-100`, `1-10`, `yes/no` -> the scale. Raises InputError naming the place for anything else."""
    name = re.sub(r"\s+", "", text.lower()).replace("\u2013", "-")
    if name == YES_NO.name:
        return YES_NO
    found = re.fullmatch(r"(\d{1,3})-(\d{1,3})", name)
    if not found or not int(found[1]) < int(found[2]) <= GREATEST:
        raise InputError(f"{place}: scale {shorten(text)}; expected 0-5, 0-100, other numbers up to {GREATEST}, yes/no")
    return Scale(f"{int(found[1])}-{int(found[2])}", int(found[1]), int(found[2]))
