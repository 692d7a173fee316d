"""What is reported of chat examples that cannot be used, or not whole."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cotasks.tools.files import read_jsonl

Event = dict[str, Any]
"""What is reported of an example: `event` (`skipped`, with `reason` and `detail`, or `shortened`, with `left_out` items
`of` all that may be left out), `id` and `task`."""


@dataclass(frozen=True)
class ReportFile:
    """A collator's report that appends each event as a line of JSON; workers and processes may share the file."""

    path: Path

    def __call__(self, event: Event) -> None:
        """Append one event."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))


def log_event(event: Event) -> None:
    """The report by default: a warning for what is skipped, a note for what is shortened."""
    log = logging.getLogger("cotasks.training.events")
    if event["event"] == "skipped":
        log.warning("%s (%s): skipped: %s", event["id"], event["task"], event["detail"])
    else:
        log.info("%s (%s): %d of %d items left out", event["id"], event["task"], event["left_out"], event["of"])


def describe_report(path: Path) -> str:
    """One line on what a `ReportFile` says, examples counted once however often they were seen."""
    if not path.exists():
        return "all examples were used whole"
    events = {(e["id"], e["task"], e["event"]): e for e in read_jsonl(path)}.values()
    skipped = Counter(event["reason"] for event in events if event["event"] == "skipped")
    shortened = [event for event in events if event["event"] == "shortened"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    parts = [f"{skipped.total()} examples skipped ({reasons})"] if skipped else []
    if shortened:
        left_out, of = (sum(event[name] for event in shortened) for name in ("left_out", "of"))
        parts.append(f"{len(shortened)} shortened by {left_out} of {of} items")
    return f"{'; '.join(parts)}; see {path}"
