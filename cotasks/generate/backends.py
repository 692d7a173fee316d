"""What answers: one row a backend, with how its models are opened, described in `run.json` and asked."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cotasks.errors import InputError
from cotasks.generate.local import ask as local_ask
from cotasks.generate.local.batching import Batching, Capacity, default_tokens
from cotasks.generate.local.thoughts import longest_output
from cotasks.generate.local.vision import reuse_of
from cotasks.generate.prepare import Asking, Outcome
from cotasks.generate.sampling import Sampling
from cotasks.generate.server.connect import connect
from cotasks.generate.server.model import ServedModel, ServerOptions
from cotasks.generate.settings import model_settings
from cotasks.generate.vllm import engine
from cotasks.generate.vllm.engine import EngineModel, VllmOptions
from cotasks.models.load import NOTES, Loading, Model, check_template, load_model

Answers = Callable[[Iterator[Sequence[int]], Callable[[], bool]], Iterator[Outcome]]
"""Gives answers and failures as they come for videos, each given as positions in the records, until told to stop."""
AnyModel = Model | ServedModel | EngineModel


@dataclass(frozen=True)
class Opening:
    """What a model is opened with."""

    loading: Loading
    batching: Batching
    server: ServerOptions | None
    vllm: VllmOptions | None
    sampling: Sampling
    shows_video: bool
    """Whether some prompt will."""
    main: bool
    """Whether this process speaks to the user."""


@dataclass(frozen=True)
class Backend:
    """One row. Functions take a model that `open` gave."""

    name: str
    """Of `--backend`, and in `run.json`."""
    open: Callable[[str, Opening], Any]
    """The model of a name, as it thinks in the run. Raises InputError where it cannot be asked."""
    settings: Callable[[Any, Sampling], dict[str, Any]]
    """What `run.json` says of it."""
    asking: Callable[[Any, Batching, Mapping[str, Any]], tuple[Asking, Answers]]
    """(what is asked of it, what gives its answers), from the fields of `Asking`."""
    device: Callable[[Any], str]
    """What computes, as a reader knows it: `NVIDIA H100 80GB HBM3`, `cpu (x86_64)`, `vllm behind 3 servers`."""
    may_differ: Callable[[Any], tuple[str, ...]] = lambda model: ()
    """Further settings that may differ when a run goes on, see `cotasks.runs.folder.settle`."""


def backend_of(server: ServerOptions | None, vllm: VllmOptions | None) -> Backend:
    """The row for the options that are given. Raises InputError for those of two backends."""
    if server is not None and vllm is not None:
        raise InputError("options of a server and of vLLM; expected one of them")
    return BACKENDS["server" if server is not None else "vllm" if vllm is not None else "transformers"]


# transformers ---------------------------------------------------------------------------------------------------------


def _load(name: str, opening: Opening) -> Model:
    """The model in this process. Raises InputError where it cannot be shown video, and is to be."""
    _note(name, opening)
    model = load_model(name, opening.loading)
    if opening.shows_video:
        check_template(model)
    return model.thinking(opening.sampling.thinking)


def _note(name: str, opening: Opening) -> None:
    if opening.main and name in NOTES:
        print(f"model {name}: {NOTES[name]}")


def _local_asking(model: Model, batching: Batching, common: Mapping[str, Any]) -> tuple[Asking, Answers]:
    capacity = Capacity(
        batching.batch_tokens or default_tokens(model),
        batching.batch_size,
        longest_output(model, common["sampling"].max_new_tokens),
    )
    reuse = reuse_of(model, batching.vision_reuse, batching.prefix_reuse)
    asking = local_ask.LocalAsking(**common, model=model, capacity=capacity, reuse=reuse)
    return asking, partial(local_ask.outcomes, asking)


def _local_device(model: Model) -> str:
    import torch

    places = dict.fromkeys(weight.device for weight in model.model.parameters())
    names = Counter(
        torch.cuda.get_device_name(place) if place.type == "cuda" else f"{place.type} ({platform.machine()})"
        for place in places
    )
    return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in names.items())


# server ---------------------------------------------------------------------------------------------------------------


def _connect(name: str, opening: Opening) -> ServedModel:
    """The model behind a server, which has answered once."""
    assert opening.server is not None
    model = connect(name, opening.server)
    urls = ", ".join(opening.server.urls)
    print(f"{urls}: {model.served or name}, asked as {model.family.name}, shown {model.media}")
    return model.thinking(opening.sampling.thinking)


def _server_asking(model: ServedModel, batching: Batching, common: Mapping[str, Any]) -> tuple[Asking, Answers]:
    from cotasks.generate.server import ask as server_ask

    asking = server_ask.ServerAsking(**common, server=model)
    return asking, partial(server_ask.outcomes, asking)


def _server_device(model: ServedModel) -> str:
    many = len(model.options.urls)
    return f"{model.owner or 'a model'} behind {f'{many} servers' if many > 1 else 'a server'}"


def _server_may_differ(model: ServedModel) -> tuple[str, ...]:
    """A model that its server names may be asked elsewhere when the run goes on."""
    return ("model.base_url",) if model.served else ()


# vllm -----------------------------------------------------------------------------------------------------------------


def _start(name: str, opening: Opening) -> EngineModel:
    """The model in an engine of vLLM."""
    assert opening.vllm is not None
    _note(name, opening)
    wanted = opening.sampling.thinking
    return engine.start(name, opening.loading, opening.batching, opening.vllm, wanted, opening.shows_video)


def _engine_asking(model: EngineModel, batching: Batching, common: Mapping[str, Any]) -> tuple[Asking, Answers]:
    from cotasks.generate.vllm import ask as engine_ask

    asking = engine_ask.EngineAsking(**common, model=model)
    return asking, partial(engine_ask.outcomes, asking)


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("transformers", _load, model_settings, _local_asking, _local_device),
        Backend("server", _connect, ServedModel.settings, _server_asking, _server_device, _server_may_differ),
        Backend("vllm", _start, EngineModel.settings, _engine_asking, EngineModel.device),
    )
}
"""Name -> row."""
