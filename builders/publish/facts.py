"""What a build says of itself that whoever uses it must know: sentences for the card and for `croissant.json`, from the
counts of `build.json`. Counts that an older build does not have give no sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]
Fact = Callable[[Row], str | None]
"""A split of `build.json` -> a sentence, or None where it does not apply."""


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.1%})"


def _origins(split: Row) -> str | None:
    if len(split["span_origins"]) < 2:
        return None
    listed = ", ".join(f"{count} {name}" for name, count in split["span_origins"].items())
    return f"step 1 has several origins ({listed}); where they go with categories, compare within an origin."


def _saw_answer(split: Row) -> str | None:
    saw = split.get("used_answer", 0)
    return (
        f"for {_of(saw, split['records'])} records, whoever made step 1 had seen the answer: steps may give it away."
        if saw
        else None
    )


def _everything(split: Row) -> str | None:
    kept = sum(row["everything"] for row in split.get("localizes") or ())
    return (
        f"step 1 of {_of(kept, split['records'])} records chooses nothing: all frames, all entities." if kept else None
    )


def _skipped(split: Row) -> str | None:
    skipped = sum(split["skipped"].values())
    return f"{_of(skipped, split['questions'])} questions became no record, see skipped.jsonl." if skipped else None


def _left_out(split: Row) -> str | None:
    found = split.get("left_out_of_annotation") or {}
    listed = ", ".join(f"{count} {name}" for name, count in found.items())
    return f"the annotation goes without what its source writes wrong: {listed}." if found else None


def _own_clock(split: Row) -> str | None:
    count = split.get("own_clock", 0)
    return (
        f"{_of(count, split['records'])} records count seconds, as nobody states their frame rate." if count else None
    )


def _unmatched(split: Row) -> str | None:
    count = split.get("unmatched_proposals", 0)
    return f"{count} names that a model proposed for step 1 match nothing annotated." if count else None


FACTS: Mapping[str, tuple[Fact, ...]] = {
    "biases": (_origins, _saw_answer),
    "limits": (_everything, _skipped, _left_out, _own_clock, _unmatched),
}
"""What about -> a function a sentence."""


def facts(build: Row, about: str) -> list[str]:
    """`validation: SENTENCE` of each split that has records."""
    return list(_facts(build, about))


def _facts(build: Row, about: str) -> Iterator[str]:
    for name, split in build["splits"].items():
        if split["records"]:
            found = (fact(split) for fact in FACTS[about])
            yield from (f"{name}: {sentence}" for sentence in found if sentence is not None)
