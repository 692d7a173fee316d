"""A model in vLLM's engine, which this program starts: how it is started, and what `run.json` says of it.

vLLM reads the weights. All that prompts depend on (chat template, tokens, sizes of frames, thinking) is read by
transformers from the same checkpoint, as for the transformers backend, so that prompts are the same.
Of several processes of a launch each starts an engine of its own, on GPUs of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cotasks.errors import EnvironmentFault, InputError
from cotasks.generate.local.batching import Batching
from cotasks.generate.sampling import Sampling
from cotasks.models.families import Family, Limits
from cotasks.models.load import (
    PACKAGES,
    TINY,
    WEIGHTS_SAMPLED,
    Loading,
    Model,
    check_template,
    first_line,
    load_without_weights,
    source_of,
)
from cotasks.models.thinking import Wanted
from cotasks.tools.launch import LOCAL_RANK, LOCAL_SIZE, environment_number
from cotasks.version import VERSION

SEEN = ("qwen2_5_vl",)
"""Families whose tokens and greedy answers have been seen to equal those of transformers, by tests/test_vllm.py."""
OURS = ("model", "tokenizer", "dtype", "seed", "trust_remote_code", "generation_config", "data_parallel_size")
"""Engine arguments that are settled otherwise."""
LAUNCHER = re.compile(r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_.*")
"""Environment variables by which torch would take an engine for one process of the launch."""


@dataclass(frozen=True)
class VllmOptions:
    """How vLLM's engine is started. Raises InputError for a value outside its range."""

    tensor_parallel_size: int = 1
    """GPUs that share the weights of one engine."""
    max_model_len: int | None = None
    """Most tokens of prompt and answer together; by default the checkpoint's own, for which memory must suffice."""
    gpu_memory: float | None = None
    """Part of each GPU's memory that vLLM takes; by default its own choice."""
    check_frames: bool = True
    """Stop where vLLM makes other tokens of a prompt than transformers."""
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `vllm.LLM`, such as `quantization`; they win over our own."""

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("tensor_parallel_size", self.tensor_parallel_size >= 1, "1 or more"),
            ("max_model_len", self.max_model_len is None or self.max_model_len >= 1, "1 or more"),
            ("gpu_memory", self.gpu_memory is None or 0 < self.gpu_memory <= 1, "more than 0 and no more than 1"),
        ):
            if not good:
                raise InputError(f"{name} {getattr(self, name)}; expected {expected}")
        if taken := sorted(set(OURS) & self.engine_args.keys()):
            raise InputError(f"engine args: {', '.join(taken)}; expected other fields than those we write ourselves")


@dataclass(frozen=True)
class EngineModel:
    """A model that an engine of vLLM has loaded."""

    described: Model
    """As transformers describes it, without weights; with how it thinks in this run."""
    llm: Any
    """The `vllm.LLM`."""
    options: VllmOptions
    batching: Batching

    @property
    def family(self) -> Family:
        """Its conventions."""
        return self.described.family

    @property
    def limits(self) -> Limits:
        """The sizes of frames that its processor leaves alone."""
        return self.described.limits

    @property
    def count_tokens(self) -> Callable[[str], int]:
        """Gives the tokens of a piece of text."""
        return self.described.count_tokens

    @property
    def longest(self) -> int:
        """Most tokens of prompt and answer together."""
        return int(self.llm.llm_engine.model_config.max_model_len)

    def device(self) -> str:
        """What computes: `vLLM on 2 x NVIDIA H100 80GB HBM3`."""
        from vllm.platforms import current_platform

        cpu = current_platform.is_cpu()
        name = f"cpu ({platform.machine()})" if cpu else current_platform.get_device_name()
        count = 1 if cpu else int(self.llm.llm_engine.vllm_config.parallel_config.world_size)
        return f"vLLM on {f'{count} x ' if count > 1 else ''}{name}"

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """What `run.json` says of model, frames, sampling, engine and versions."""
        model = {name: value for name, value in self.described.settings.items() if name != "repaired"}
        config = self.llm.llm_engine.model_config
        return {
            "backend": "vllm",
            "model": {
                **model,
                "dtype": str(config.dtype).removeprefix("torch."),
                "weights": weights_of(source_of(model["name"])),
            },
            "sampling": sampling.settings(),
            **self.described.thought.settings(),
            "frames": {"shown_as": "video", "resize": "bicubic", "limits": dataclasses.asdict(self.limits)},
            "engine": {"max_model_len": self.longest, **self.options.engine_args},
            "versions": {**_versions(), "device": self.device()},
        }


def start(
    name: str, loading: Loading, batching: Batching, options: VllmOptions, wanted: Wanted, shows_video: bool
) -> EngineModel:
    """Start an engine.

    Args:
        name: a model folder, a Hub id or `toy`.
        loading: of it, `dtype` and `trust_remote_code`.
        batching: `batch_size` prompts are computed at once, and the beginnings of prompts kept where `prefix_reuse`.
        options: further ones.
        wanted: how the model is to think.
        shows_video: whether some prompt will.

    Raises InputError where the model or an option is of no use to vLLM, EnvironmentFault where vLLM is not installed.
    """
    if find_spec("vllm") is None:
        raise EnvironmentFault("vllm is not installed; run: pip install vllm", "missing package")
    if name == TINY:
        raise InputError(f"model {TINY}: built in memory, and vLLM reads files; expected a model folder or a Hub id")
    # the model as far as prompts depend on it
    described = load_without_weights(name, loading).thinking(wanted)
    if shows_video:
        check_template(described)
        _check_processor(described)
    # the engine
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    with _alone(options.tensor_parallel_size * int(options.engine_args.get("pipeline_parallel_size", 1))):
        try:
            import vllm

            llm = vllm.LLM(**engine_arguments(described, name, loading, batching, options, shows_video))
        except (ValueError, TypeError, RuntimeError, OSError, ImportError, AssertionError) as error:
            raise InputError(f"model {name}: vLLM does not start: {first_line(error)}") from error
    return EngineModel(described, llm, options, batching)


def engine_arguments(
    described: Model, name: str, loading: Loading, batching: Batching, options: VllmOptions, shows_video: bool
) -> dict[str, Any]:
    """The arguments of `vllm.LLM`."""
    arguments: dict[str, Any] = {
        "model": source_of(name),
        "dtype": loading.dtype,
        "seed": 0,  # each request has its own where it samples
        "trust_remote_code": loading.trust_remote_code,
        "tensor_parallel_size": options.tensor_parallel_size,
        "max_model_len": options.max_model_len,
        "max_num_seqs": batching.batch_size,
        "limit_mm_per_prompt": {"image": 0, "video": int(shows_video)},
        "enable_prefix_caching": batching.prefix_reuse,
        "generation_config": "vllm",  # else the checkpoint's own defaults fill in what a request leaves open
    }
    if options.gpu_memory is not None:
        arguments["gpu_memory_utilization"] = options.gpu_memory
    thought = described.thought
    if isinstance(thought.mode, int):
        from vllm.config import ReasoningConfig

        assert thought.tags is not None
        tags = {"reasoning_start_str": thought.tags.opens, "reasoning_end_str": thought.tags.closes}
        arguments["reasoning_config"] = ReasoningConfig(**tags)
    return {**arguments, **options.engine_args}


def _check_processor(described: Model) -> None:
    """Raises InputError where frames are processed otherwise than by the checkpoint's own processor, which vLLM has."""
    name = described.settings["name"]
    if described.family.frames_are_images or hasattr(described.model.config, "mm_newline_position"):
        raise InputError(
            f"model {name}: frames of {described.family.name} are processed otherwise here than vLLM does; expected "
            "--backend transformers"
        )
    if described.family.name not in SEEN:
        print(f"model {name}: vLLM has not been seen to agree with transformers on models of {described.family.name}")


@contextmanager
def _alone(gpus: int) -> Iterator[None]:
    """For the start of an engine, in this process or in those that inherit its environment: hides that this is one
    process of a launch, and shows the `gpus` GPUs that are this process's own where it is not alone on its machine.

    Raises InputError where there are too few.
    """
    rank, size = environment_number(LOCAL_RANK, 0), environment_number(LOCAL_SIZE, 1)
    if size > 1:
        begin, end = rank * gpus, (rank + 1) * gpus
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = [str(number) for number in range(end)] if named is None else named.split(",")
        if len(devices) < end and devices != [""]:
            raise InputError(
                f"process {rank} on this machine: {gpus} GPUs each, and CUDA_VISIBLE_DEVICES is {named}; expected "
                f"{size * gpus} GPUs for {size} processes"
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices[begin:end])
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if LAUNCHER.fullmatch(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def weights_of(folder: str) -> str | None:
    """sha256 over names, types and shapes of the weights in a folder's safetensors files, and the first numbers of
    each; None for a Hub id, whose revision tells."""
    files = sorted(Path(folder).glob("*.safetensors")) if os.path.isdir(folder) else []
    if not files:
        return None
    from safetensors import safe_open

    digest = hashlib.sha256()
    for path in files:
        with safe_open(path, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                weight = tensors.get_slice(name)
                shape = weight.get_shape()
                digest.update(f"{name} {weight.get_dtype()} {shape}".encode())
                rows = weight[:1] if len(shape) > 1 else weight[:]
                digest.update(rows.reshape(-1)[:WEIGHTS_SAMPLED].double().numpy().tobytes())
    return digest.hexdigest()


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"cotasks": VERSION, "python": platform.python_version()}
    for package in ("vllm", *PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    if found["vllm"] is None:  # builds for other devices are packages of other names
        import vllm

        found["vllm"] = vllm.__version__
    return found
