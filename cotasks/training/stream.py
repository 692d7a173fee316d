"""Stream records, with their frames where the rows hold them, as batches to learn from.

    stream = Stream(Source("shards", "train"), make, collator, batch_size=2, process=0, processes=8, workers=4)
    for batch in stream: ...
    stream.state_dict()         # where it is, small enough for JSON; `load_state_dict` goes on there

Reading, shuffling of shards and the place within them are those of `datasets`' IterableDataset; decoding runs in the
workers of torch's DataLoader. What is added here is what they do not promise together:

- Each process reads its own shards, also where the shards do not divide evenly. (`split_dataset_by_node` then has every
  process read all of them.) Shards are dealt anew each epoch: worker w of process r takes those whose place in the
  shuffled order is r + processes * w, and so on by processes * workers.
- Workers read ahead. What a checkpoint holds is the place of the last batch that was *used*, by worker, which comes
  with each batch, and whose turn it is; so what was read ahead is read again, and nothing is lost or seen twice.
- Rows are shuffled within a window of a worker's rows (`WINDOW`), not by the buffer of `IterableDataset.shuffle`, whose
  content is lost when it goes on.

In an epoch each example is met exactly once (or as its weight says) over all processes. A process begins its next epoch
when its own shards are through, so that none waits for another: a stream never ends.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import load_dataset
from datasets.exceptions import DatasetsError
from torch.utils.data import DataLoader, IterableDataset

from cotasks.errors import InputError
from cotasks.records.schema import FEATURES
from cotasks.training.events import Event, log_event
from cotasks.training.examples import examples_of, instructions
from cotasks.training.loading import ignore_interrupts
from cotasks.training.mixing import Told, repeats
from cotasks.training.shards import IMAGES

WINDOW = 32
"""Rows that are shuffled together. Where a stream goes on, so many are read again at most."""
VIDEO = "video"
"""The column of a copy that `cotasks push --embed-videos` made: whole files."""
EMPTY_EPOCHS = 10
"""So many in a row of which nothing came to a worker end the run: a single one may be an empty shard."""
AHEAD = 2
"""Batches that each worker has ready."""

Row = dict[str, Any]
State = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Rows to stream: a folder of parquet files or a Hub id, with or without frames."""

    data: str
    split: str = "train"
    config: str | None = None
    tasks: tuple[str, ...] = ("cotasks",)
    """Of `cotasks.training.examples`; each record is met once for each."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Task -> how often an epoch, where it is not 1; see `cotasks.training.mixing.repeats`."""
    seed: int = 0

    def open(self) -> Any:
        """The rows as a `datasets.IterableDataset`, nothing decoded.

        Raises InputError where they cannot be opened, or lack a column of a record.
        """
        try:
            rows = load_dataset(self.data, self.config, split=self.split, streaming=True)
        except (DatasetsError, OSError, ValueError, KeyError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{self.data}: {self.split}: cannot be streamed: {said}") from None
        names = set(rows.column_names or ())
        missing = [name for name in FEATURES if name not in names]
        if missing:
            raise InputError(
                f"{self.data}: columns missing: {', '.join(missing)}; expected records, as built or sharded"
            )
        media = [name for name in (IMAGES, VIDEO) if name in names][:1]
        return rows.select_columns([*FEATURES, *media]).decode(False)

    def shards_of(self, shards: int, epoch: int, lane: int, lanes: int) -> list[int]:
        """The shards that one worker reads in an epoch, in order."""
        return np.random.default_rng((self.seed, epoch)).permutation(shards)[lane::lanes].tolist()

    def of_shard(self, rows: Any, epoch: int, shard: int) -> Any:
        """What is read of a shard in an epoch: {row of a record, `task`}, as an IterableDataset."""
        asks = partial(_asked, epoch=epoch, source=self)
        return rows.shard(rows.num_shards, shard).map(asks, batched=True, batch_size=WINDOW)


def _asked(columns: Mapping[str, Sequence[Any]], epoch: int, source: Source) -> dict[str, list[Any]]:
    """A window of rows, each as often as its tasks say, shuffled."""
    ids = columns["id"]
    asked = [
        (place, task)
        for place, id_ in enumerate(ids)
        for task in source.tasks
        for _ in range(repeats(source.weights.get(task, 1.0), source.seed, id_, task))
    ]
    digest = hashlib.sha256(f"{source.seed}\0{epoch}\0{ids[0]}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(len(asked))
    asked = [asked[number] for number in order]
    return {
        **{name: [values[place] for place, _ in asked] for name, values in columns.items()},
        "task": [task for _, task in asked],
    }


Make = Callable[[Row, str, int], "Row | None"]
"""(record's row, task, step) -> the example; None where there is nothing to learn, or it was reported as skipped."""


@dataclass(frozen=True)
class Examples:
    """Makes examples of streamed rows, with the frames that came with them; it can be pickled."""

    options: Mapping[str, Any]
    """Further arguments of `cotasks.training.examples.instructions`."""
    told: Told | None = None
    """What they are told, where it is not the true steps alone."""
    report: Callable[[Event], None] = log_event

    def __call__(self, row: Row, task: str, step: int) -> Row | None:
        """See `Make`."""
        record = {name: row[name] for name in FEATURES}

        def true() -> Row | None:
            return next(examples_of(instructions(record, (task,), **self.options)), None)

        try:
            example = true() if self.told is None else self.told(record, task, step, true)
            if example is None or not example["frames"]:
                return example
            if IMAGES in row:
                grid = [frame["index"] for frame in row["frames"]]
                files = dict(zip(grid, (image["bytes"] for image in row[IMAGES]), strict=True))
                return {**example, IMAGES: [files[index] for index in example["frames"]]}
            return {**example, VIDEO: row[VIDEO]["bytes"]} if VIDEO in row else example
        except (InputError, ValueError) as error:
            reason = error.reason if isinstance(error, InputError) else "frames"
            self.report({"event": "skipped", "id": row["id"], "task": task, "reason": reason, "detail": str(error)})
            return None


class _Lane(IterableDataset[Any]):
    """What one worker reads, epoch after epoch: (batch or None at the end of an epoch, the state after it)."""

    def __init__(self, stream: Stream, place: int) -> None:
        self.source, self.rows, self.make, self.collate = stream.source, stream.rows, stream.make, stream.collate
        self.batch_size, self.accumulate = stream.batch_size, stream.accumulate
        self.place, self.of_process = place, len(stream.lanes)
        state = stream.state_dict()
        self.lane, self.lanes, self.state = stream.lanes[place], state["of"], state["states"][place]

    def step_of(self, batches: int) -> int:
        """The step that takes the next batch after so many of this lane, while all lanes of the process have shards
        left in the epoch."""
        return (batches * self.of_process + self.place) // self.accumulate

    def __iter__(self) -> Iterator[tuple[Any, State]]:
        epoch, batches = self.state["epoch"], self.state["batches"]
        begin, place = self.state["shard"], self.state["rows"]
        empty = 0  # epochs of which nothing came
        while True:
            batch: list[Row] = []
            shards = self.source.shards_of(self.rows.num_shards, epoch, self.lane, self.lanes)
            for number in range(begin, len(shards)):
                rows = self.source.of_shard(self.rows, epoch, shards[number])
                if place is not None:
                    rows.load_state_dict(place)
                    place = None
                for row in rows:
                    task = row.pop("task")
                    if (example := self.make(row, task, self.step_of(batches))) is not None:
                        batch.append(example)
                    if len(batch) == self.batch_size:
                        batches, empty = batches + 1, -1
                        state = {"shard": number, "rows": _plain(rows.state_dict())}
                        yield self.collate(batch), {"epoch": epoch, "batches": batches, **state}
                        batch = []
            if batch:
                batches, empty = batches + 1, -1
                state = {"shard": len(shards), "rows": None}
                yield self.collate(batch), {"epoch": epoch, "batches": batches, **state}
            empty += 1
            if empty == EMPTY_EPOCHS:
                raise InputError(f"{self.source.data}: nothing to learn in {empty} epochs of worker {self.lane}")
            epoch, begin = epoch + 1, 0
            yield None, {"epoch": epoch, "batches": batches, "shard": 0, "rows": None}


def _plain(state: Any) -> Any:
    """A state with numbers as Python has them."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_plain(value) for value in state]
    return state.item() if isinstance(state, np.generic) else state


class Stream:
    """Batches of one process, without end."""

    def __init__(
        self,
        source: Source,
        make: Make,
        collate: Callable[[list[Row]], Any],
        *,
        batch_size: int = 1,
        accumulate: int = 1,
        process: int = 0,
        processes: int = 1,
        workers: int = 0,
        rows: Any = None,
    ) -> None:
        """Args:
        source: what to read.
        make: makes the example of a row; runs in the workers, as `collate` does, so both can be pickled.
        collate: examples -> a batch; such as a `TrainingCollator`.
        batch_size: examples of a batch; the last one of a worker's epoch may have fewer.
        accumulate: batches of a process before a step; tells `make` the step.
        process, processes: which of how many.
        workers: that read, decode and collate, in processes of their own; 0 for this process.
        rows: what `source.open()` gave, where it was opened before.

        Raises InputError where the rows cannot be opened, and where there are fewer shards than processes.
        """
        self.source, self.make, self.collate = source, make, collate
        self.batch_size, self.accumulate, self.workers = batch_size, accumulate, workers
        self.processes = processes
        self.rows = source.open() if rows is None else rows
        shards = self.rows.num_shards
        if shards < processes:
            raise InputError(
                f"{source.data}: {shards} shards for {processes} processes; expected one for each at least: write "
                "shards of fewer rows"
            )
        lanes = processes * max(1, workers)
        # where there are fewer shards than workers, some have nothing to do
        self.lanes = [lane for lane in range(process, lanes, processes) if lane < shards]
        start = {"epoch": 0, "batches": 0, "shard": 0, "rows": None}
        self._state: State = {"lanes": len(self.lanes), "of": lanes, "turn": 0, "epoch": 0}
        self._state["states"] = [dict(start) for _ in self.lanes]

    @property
    def epoch(self) -> int:
        """The epoch that this process is in, from 0."""
        return int(self._state["epoch"])

    def state_dict(self) -> State:
        """Where the stream is, after the last batch that it gave; fit for JSON."""
        return copy.deepcopy(self._state)

    def load_state_dict(self, state: State) -> None:
        """Go on there. Raises InputError where it is of another number of processes or workers."""
        for name, what in (("of", "processes times workers"), ("lanes", "workers with shards")):
            if state[name] != self._state[name]:
                raise InputError(f"a stream of {state[name]} {what}; expected {self._state[name]}: go on with as many")
        self._state = copy.deepcopy(state)

    def __iter__(self) -> Iterator[Any]:
        loaders = [
            iter(
                DataLoader(
                    _Lane(self, place),
                    batch_size=None,
                    num_workers=min(1, self.workers),
                    multiprocessing_context="spawn" if self.workers else None,  # decoders do not survive a fork
                    prefetch_factor=AHEAD if self.workers else None,
                    generator=torch.Generator(),
                    worker_init_fn=ignore_interrupts,
                )
            )
            for place in range(len(self.lanes))
        ]
        states = self._state["states"]
        while True:
            turn = self._state["turn"]
            if states[turn]["epoch"] > self._state["epoch"]:  # through with this epoch
                batch = None
            else:
                batch, states[turn] = next(loaders[turn])
            if batch is None and all(state["epoch"] > self._state["epoch"] for state in states):
                self._state["epoch"] += 1
                self._state["turn"] = 0
                continue
            self._state["turn"] = (turn + 1) % len(loaders)
            if batch is not None:
                yield batch
