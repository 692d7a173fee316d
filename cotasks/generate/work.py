"""What is left to ask: the keys of a run folder, and who of the processes asks what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from cotasks.generate.processes import Tally
from cotasks.prompts.condition import Condition
from cotasks.records.dataset import Records
from cotasks.runs.folder import Key, read_keyed
from cotasks.runs.run import Row


@dataclass
class Work:
    """What a process knows of the run as it begins, and what it has done since."""

    wanted: Set[Key]
    done: Set[Key]
    failed: Mapping[Key, str]
    """Key -> reason, of what is not asked again."""
    videos: list[list[int]]
    """Positions in the records, by video."""
    plan: list[int]
    """Which of the videos have something left to ask."""
    left: Counter[str]
    """Video id -> answers still to come."""
    tally: Tally = field(default_factory=Tally)

    def count(self, answers: Sequence[Row], failures: Sequence[Row]) -> None:
        """Add what has come to the tally."""
        for row in (*answers, *failures):
            self.left[row["video_id"]] -= 1
            self.tally.videos += self.left[row["video_id"]] == 0
        self.tally.answers += len(answers)
        self.tally.failures.update(row["reason"] for row in failures)


def read_work(
    run_folder: Path,
    records: Records,
    conditions: Sequence[Condition],
    num_samples: int,
    retry_failures: bool,
    plan: list[int] | None,
) -> Work:
    """What a run folder holds and what is left.

    Args:
        run_folder: need not hold anything yet.
        records: of the run.
        conditions: to ask now.
        num_samples: answers a prompt.
        retry_failures: count what failed before as left.
        plan: which of the videos have something left; None to find out.
    """
    # keys: what is to be there, what is, and what failed
    wanted = {(i, c.name, n) for i in records.ids for c in conditions for n in range(num_samples)}
    done = wanted & {key for key, _ in read_keyed(run_folder / "generations")}
    failed: dict[Key, str] = {}
    if not retry_failures:
        rows = {key: row["reason"] for key, row in read_keyed(run_folder / "failures", "reason")}
        failed = {key: reason for key, reason in rows.items() if key in wanted and key not in done}
    # videos: all of them, and those that have something left
    videos = [list(rows) for _, rows in groupby(range(len(records)), key=records.video_ids.__getitem__)]
    if plan is None:
        ids = {record_id for record_id, _, _ in wanted - done - failed.keys()}
        plan = [i for i, rows in enumerate(videos) if any(records.ids[row] in ids for row in rows)]
    video_of = dict(zip(records.ids, records.video_ids, strict=True))
    left = Counter(video_of[record_id] for record_id, _, _ in wanted - done - failed.keys())
    return Work(wanted, done, failed, videos, plan, left)
