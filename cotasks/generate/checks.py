"""What can be known to be wrong with a run before a model is loaded or a server asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cotasks.errors import InputError, MissingExtra
from cotasks.generate.server.model import ServerOptions
from cotasks.prompts.condition import Condition
from cotasks.records.dataset import Records


def check_work(records: Records, conditions: Sequence[Condition], folder: Path | None) -> None:
    """Raises InputError where records, conditions and video folder do not go together, MissingExtra where no video can
    be read."""
    names = [c.name for c in conditions]
    if not names or len(set(names)) < len(names):
        raise InputError(f"conditions {names}; expected at least one, each with a name of its own")
    if len(set(records.ids)) < len(records.ids):
        twice = next(record_id for record_id, n in Counter(records.ids).items() if n > 1)
        raise InputError(f"{records.dataset}: {twice!r} stands for several records; expected one")
    lengths, whole = records.grids
    for c in conditions:
        most = max(c.num_frames or 0, c.context_frames or 0)
        small = np.flatnonzero((lengths < most) & ~whole)
        if len(small):
            raise InputError(
                f"condition {c.name}: {most} frames asked for, the grid of {records.ids[small[0]]} has "
                f"{lengths[small[0]]}; ask for fewer, or use `cotasks build --num-frames {most}`",
                "grid too small",
            )
    shows_video = next((c.name for c in conditions if c.video), None)
    if shows_video and folder is None:
        raise InputError(f"condition {shows_video} shows the video; name the folder of the videos with --videos")
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of the videos")
    if shows_video and find_spec("av") is None:
        raise MissingExtra("av", "video")


def check_server(
    server: ServerOptions, conditions: Sequence[Condition], processes: int, local: Mapping[str, object]
) -> None:
    """Raises InputError for what a server cannot do.

    Args:
        server: how it is asked.
        conditions: of the run.
        processes: in this launch.
        local: arguments of `generate` that concern a model in this process only; those that were given are true.
    """
    if processes > 1:
        raise InputError(
            f"{processes} processes for one server; expected one, with as many calls at once as --concurrency says"
        )
    if given := [name for name, value in local.items() if value]:
        raise InputError(f"{', '.join(given)}: for a model in this process; a server decides for itself")
    counted = next((c.name for c in conditions if c.context_tokens is not None), None)
    if counted and server.tokenizer is None:
        raise InputError(
            f"condition {counted} has a token budget, and a server counts no tokens beforehand; name the model's "
            "tokenizer with --tokenizer"
        )
