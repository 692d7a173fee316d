"""What can be known to be wrong with a run before a model is loaded or a server asked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cotasks.errors import InputError, MissingExtra
from cotasks.generate.local.batching import Batching
from cotasks.generate.server.model import ServerOptions
from cotasks.generate.vllm.engine import VllmOptions
from cotasks.models.load import Loading
from cotasks.prompts.condition import Condition
from cotasks.records.dataset import Records


def check_work(records: Records, conditions: Sequence[Condition], video_folder: Path | None) -> None:
    """Raises InputError where records, conditions and video folder do not go together, MissingExtra where no video can
    be read."""
    # names and ids, which make the keys of answers
    names = [c.name for c in conditions]
    if not names or len(set(names)) < len(names):
        raise InputError(f"conditions {names}; expected at least one, each with a name of its own")
    if len(set(records.ids)) < len(records.ids):
        twice = next(record_id for record_id, n in Counter(records.ids).items() if n > 1)
        raise InputError(f"{records.dataset}: {twice!r} stands for several records; expected one")
    # frames: a grid of a whole clip, frame by frame, holds however many are asked for
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
    # videos
    shows_video = next((c.name for c in conditions if c.video), None)
    if shows_video and video_folder is None:
        raise InputError(f"condition {shows_video} shows the video; name the folder of the videos with --videos")
    if video_folder is not None and not video_folder.is_dir():
        raise InputError(f"{video_folder}: no such folder; expected the folder of the videos")
    if shows_video and find_spec("av") is None:
        raise MissingExtra("av", "video")


def check_processes(
    size: int,
    local_size: int,
    conditions: Sequence[Condition],
    loading: Loading,
    batching: Batching,
    server: ServerOptions | None,
    vllm: VllmOptions | None = None,
) -> None:
    """Raises InputError for what cannot be asked by these processes, or by this backend.

    Args:
        size: processes in this launch.
        local_size: of these, on this machine.
        conditions: of the run.
        loading: for a model in this process only.
        batching: as far as it concerns a server, see there.
        server: how it is asked; None for a model in this process.
        vllm: how its engine is started; None for another backend.
    """
    if vllm is not None:
        given = _given(loading, ("dtype", "trust_remote_code")) + _given(
            batching, ("batch_size", "prefix_reuse", "workers")
        )
        if given:
            raise InputError(f"{', '.join(given)}: for transformers; vLLM decides for itself, or by --engine-args")
    if loading.device_map and local_size > 1:
        raise InputError(f"device_map {loading.device_map!r} is for one process a machine; there are {local_size}")
    if server is None:
        return
    if size > 1:
        raise InputError(
            f"{size} processes for one server; expected one, with as many calls at once as --concurrency says"
        )
    given = _given(loading)
    given += ["batch_tokens"] if batching.batch_tokens is not None else []
    if given:
        raise InputError(f"{', '.join(given)}: for a model in this process; a server decides for itself")
    counted = next((c.name for c in conditions if c.context_tokens is not None), None)
    if counted and server.tokenizer is None:
        raise InputError(
            f"condition {counted} has a token budget, and a server counts no tokens beforehand; name the model's "
            "tokenizer with --tokenizer"
        )


def _given(options: Loading | Batching, others: Sequence[str] = ()) -> list[str]:
    """The names of options that are not the defaults, but for some."""
    fields = (field for field in dataclasses.fields(options) if field.name not in others)
    return [field.name for field in fields if getattr(options, field.name) != field.default]
