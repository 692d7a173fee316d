"""Batches of examples in an order that follows from the seed and the step alone, for the fine-tuning examples."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


class Rows:
    """Rows read one at a time, so that a batch may be empty."""

    def __init__(self, rows: Any) -> None:
        """Args:
        rows: a `datasets.Dataset`, or `cotasks.training.mixing.MixedRows`.
        """
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        return self.rows[key]


class Order:
    """The batches of one process, from a step on.

    All examples follow each other in one shuffled order after another, one an epoch. A step takes the next ones,
    micro-batch by micro-batch, in each of them process by process: so a step holds the same examples whatever the
    number of processes, as long as processes x accumulate stays.
    """

    def __init__(
        self,
        count: int,
        args: argparse.Namespace,
        process: int,
        processes: int,
        start: int,
        end: int,
        mixed: bool = False,
    ) -> None:
        """Args:
        count: of the examples.
        args: with `seed`, `batch_size` and `accumulate`.
        process, processes: which of how many.
        start, end: steps, [start, end).
        mixed: give (position, step) in place of a position, for `MixedRows`.
        """
        self.count, self.seed, self.start, self.end = count, args.seed, start, end
        self.batch, self.micro = args.batch_size, args.accumulate
        self.process, self.processes, self.mixed = process, processes, mixed

    def __len__(self) -> int:
        return (self.end - self.start) * self.micro

    def __iter__(self) -> Iterator[list[Any]]:
        import torch

        epoch, order = -1, list[int]()
        for number in range(self.start * self.micro, self.end * self.micro):
            first = (number * self.processes + self.process) * self.batch
            keys: list[Any] = []
            for place in range(first, first + self.batch):
                if place // self.count != epoch:
                    epoch = place // self.count
                    generator = torch.Generator().manual_seed(self.seed + epoch)
                    order = torch.randperm(self.count, generator=generator).tolist()
                position = order[place % self.count]
                keys.append((position, number // self.micro) if self.mixed else position)
            yield keys


def loader_of(rows: Any, batches: Any, collator: Any, workers: int) -> DataLoader[Any]:
    """A loader that leaves torch's random state alone, which a resumed run has to meet again."""
    import torch
    from torch.utils.data import DataLoader

    return DataLoader(
        Rows(rows),  # type: ignore[arg-type]  # whatever has a length and gives items
        batch_sampler=batches,
        collate_fn=collator,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,  # decoders do not survive a fork
        generator=torch.Generator(),
        worker_init_fn=ignore_interrupts,
    )


def ignore_interrupts(_: int) -> None:
    """Ctrl-C reaches workers too; the main process tells them when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
