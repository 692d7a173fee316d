"""Several processes that work on one run folder: who does what, and who has ended.

`accelerate launch`, `torchrun` and MPI start processes with a rank each, and say where these find a key-value store.
That store is all that is used here: a counter deals out the videos, and each process says when it has joined, what it
has done and when it has finished. Nothing is collective, so a process that fails or has nothing to do never makes
another wait in a call; whether a process still lives is told by its lock in the run folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError
from cotasks.runs.folder import locked
from cotasks.tools.launch import LOCAL_SIZE, RANK, SIZE, environment_number
from cotasks.tools.locks import is_held

POLL_SECONDS = 0.1
LIVENESS_SECONDS = 5.0
"""How often a process that waits for others looks whether they still live."""
LAST_WORDS_SECONDS = 2.0
"""How long a process that failed lets the main one speak, before its end makes the launcher end all."""
LAST_LOOK_SECONDS = 0.5
"""How long the main process, which may hold the store, lets the others look into it before it ends."""
MEETING_SECONDS = 900.0
"""How long processes wait for one another to begin; on a cluster some start minutes after others."""
LOCK = "generate"


@dataclass
class Tally:
    """What a process has done in this call."""

    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Reason -> how many."""
    videos: int = 0
    """Videos of which nothing is left to ask."""
    waited: float = 0.0
    """Seconds that the model waited for videos."""
    worked: float = 0.0
    """Seconds, the waiting included."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))


class LauncherGone(InputError):
    """The key-value store of the launch cannot be reached any more."""

    def __init__(self) -> None:
        super().__init__("whoever started these processes has gone; run the same command again to go on")


@dataclass
class Processes:
    """This process among those of its launch."""

    rank: int = 0
    """From 0, the main process: the one that writes run.json and speaks to the user."""
    size: int = 1
    local_size: int = 1
    """Processes on this machine."""
    store: Any = None
    """The key-value store; None where there is only this process."""
    run_folder: Path = Path()
    """Once this process is a member of it."""
    launcher: int = field(default_factory=os.getppid)
    """The process that started this one; where it dies, the system gives this one another parent."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def main(self) -> bool:
        """Whether this is the main process."""
        return self.rank == 0

    @property
    def shard(self) -> str:
        """Name of the files that this process alone appends to: of its rank and of the machine."""
        return f"{self.rank:05}-{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}.jsonl"

    def claim(self) -> int:
        """A number from 0 on that no other process gets. Raises LauncherGone, as all that reaches for the store."""
        if self.store is None:
            return next(self._numbers)
        with _reaching():
            return int(self.store.add("claimed", 1)) - 1

    def say(self, name: str, value: Any) -> None:
        """Put a JSON value where the other processes can read it."""
        if self.store is not None:
            with _reaching():
                self.store.set(name, orjson.dumps(value))

    def heard(self, name: str) -> Any:
        """The value that a process has said under a name, or None."""
        if self.store is None:
            return None
        with _reaching():
            return orjson.loads(self.store.get(name)) if self.store.check([name]) else None

    def report(self, own: Tally) -> None:
        """Tell the others what this process has done."""
        self.say(f"tally/{self.rank}", dataclasses.asdict(own))

    def total(self, own: Tally) -> Tally:
        """This process's tally and those that the others have reported."""
        total = own
        with suppress(LauncherGone):
            for rank in set(range(self.size)) - {self.rank}:
                other = self.heard(f"tally/{rank}")
                if other is not None:
                    total = total + Tally(**{**other, "failures": Counter(other["failures"])})
        return total

    @contextmanager
    def membership(self, run_folder: Path) -> Iterator[None]:
        """Hold this process's lock on a run folder; tell the others where this is left by an error.

        Raises InputError where another run holds it, or a process of an earlier one that lives on without its launcher.
        """
        self.run_folder = run_folder
        try:
            with locked(run_folder, _lock_name(self.rank)):
                if self.main:
                    for path in sorted(run_folder.glob(f".{LOCK}-*.lock")):
                        if int(path.stem.rpartition("-")[2]) >= self.size and is_held(path):
                            raise InputError(
                                f"{run_folder}: another process is writing to this run folder ({path.name})"
                            )
                self.say(f"joined/{self.rank}", True)
                yield
        except BaseException as error:
            with suppress(LauncherGone):
                self.say(f"finished/{self.rank}", str(error) or type(error).__name__)
            raise
        finally:
            if self.main and self.store is not None:
                time.sleep(LAST_LOOK_SECONDS)

    @contextmanager
    def failing_alone(self, stopped: Callable[[], bool]) -> Iterator[None]:
        """For the work itself: where it fails in this process, the others go on, and the error waits until they have
        finished. Else this process has finished at the end."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except LauncherGone:
            if stopped():  # by a signal to the main process also, which may hold the store and has ended first
                raise KeyboardInterrupt from None
            raise
        except Exception as error:
            if self.store is not None:
                why = f"{type(error).__name__}: {error}"
                print(f"process {self.rank} failed, the others go on: {why}", file=sys.stderr, flush=True)
                with suppress(LauncherGone):
                    self.say(f"finished/{self.rank}", why)
                self.wait_for_all(stopped)
                time.sleep(0 if self.main else LAST_WORDS_SECONDS)
            raise
        self.say(f"finished/{self.rank}", "")

    def wait_until_joined(self) -> None:
        """Wait until every process holds its lock.

        Raises InputError where one gives up before or does not come, LauncherGone where the launcher has died.
        """
        latest = time.monotonic() + MEETING_SECONDS
        for rank in range(self.size if self.store is not None else 0):
            while not self.heard(f"joined/{rank}"):
                failure = self.heard(f"finished/{rank}")
                if failure is not None:
                    raise InputError(f"process {rank} of {self.size} gave up: {failure}")
                self._expect_launcher()
                if time.monotonic() > latest:
                    raise InputError(
                        f"process {rank} of {self.size} did not begin within {MEETING_SECONDS / 60:g} minutes; "
                        "run the same command again"
                    )
                time.sleep(POLL_SECONDS)

    def wait_for_main(self, name: str) -> Any:
        """What the main process says under `name`. Raises InputError where it ends before."""
        looked = time.monotonic()
        failure = None
        while True:
            try:
                value = self.heard(name)
                if value is not None:
                    return value
                failure = self.heard("finished/0")
                self._expect_launcher()
                if failure is None and time.monotonic() - looked > LIVENESS_SECONDS:
                    looked = time.monotonic()
                    failure = "it is gone" if self._gone(0) else None
            except LauncherGone:
                failure = "it is gone"
            if failure is not None:
                raise InputError(f"process {self.rank}: the main process gave up: {failure}")
            time.sleep(POLL_SECONDS)

    def wait_for_all(
        self, stopped: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None
    ) -> dict[int, str]:
        """Wait until every other process has finished or is gone; {rank: why} of those that failed.

        Raises KeyboardInterrupt where this process is told to stop meanwhile.
        """
        failures: dict[int, str] = {}
        left = set(range(self.size)) - {self.rank}
        looked = time.monotonic()
        while left:
            look = time.monotonic() - looked > LIVENESS_SECONDS
            looked = time.monotonic() if look else looked
            try:
                for rank in sorted(left):
                    failure = self.heard(f"finished/{rank}")
                    if failure is None and look and self._gone(rank):
                        failure = self.heard(f"finished/{rank}") or "it is gone"
                    if failure is not None:
                        left.discard(rank)
                        failures |= {rank: failure} if failure else {}
                meanwhile()
            except LauncherGone:
                return failures
            if stopped():
                raise KeyboardInterrupt
            if left:
                time.sleep(POLL_SECONDS)
        return failures

    def _expect_launcher(self) -> None:
        if os.getppid() != self.launcher:
            raise LauncherGone()

    def _gone(self, rank: int) -> bool:
        """Whether a process that had joined holds its lock no more."""
        return bool(self.heard(f"joined/{rank}")) and not is_held(self.run_folder / f".{_lock_name(rank)}.lock")


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except RuntimeError:  # what torch raises where the connection is lost
        raise LauncherGone() from None


def _lock_name(rank: int) -> str:
    return f"{LOCK}-{rank}" if rank else LOCK


_calls = itertools.count()


def join() -> Processes:
    """This process among those of its launch, as the environment tells.

    Every process of a launch must call this equally often; what is said after one call is not heard after another.

    Raises InputError where there are several processes and they cannot reach one another.
    """
    rank, size = environment_number(RANK, 0), environment_number(SIZE, 1)
    if size == 1:
        if "MASTER_PORT" in os.environ and "ACCELERATE_USE_CPU" in os.environ and "RANK" not in os.environ:
            print(
                "one process only: with --cpu, accelerate needs MPI to start several; "
                "`torchrun --nproc-per-node N -m -- cotasks ...` does not",
                file=sys.stderr,
            )
        return Processes()
    store = import_module("torch.distributed").PrefixStore(f"cotasks/{next(_calls)}", _store(rank, size))
    return Processes(rank, size, environment_number(LOCAL_SIZE, 1), store)


@cache
def _store(rank: int, size: int) -> Any:
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"process {rank} of {size}: {' and '.join(missing)} not set; start with `accelerate launch` or `torchrun`"
        )
    try:
        store, _, _ = next(
            import_module("torch.distributed").rendezvous(
                "env://", rank=rank, world_size=size, timeout=timedelta(seconds=MEETING_SECONDS)
            )
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"process {rank} of {size}: the others cannot be reached: {error}") from None
    return store
