"""Load a video language model, with all that prompts for it depend on."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from cotasks.errors import InputError, MissingExtra
from cotasks.models.families import FAMILIES, Family, Limits, check_needs, family_of, limits_of, used_elsewhere
from cotasks.models.repairs import repair
from cotasks.models.thinking import NO_THOUGHT, Thought, Wanted, thinking_of
from cotasks.sample import TOY_DIR
from cotasks.tools.launch import LOCAL_RANK, environment_number
from cotasks.version import VERSION

TINY = "tiny"
"""The model name that stands for `cotasks.models.tiny`, even where a folder of that name exists."""
TOY = "toy"
"""The model name that stands for the model in `TOY_DIR`, even where a folder of that name exists."""
NOTES = {
    TINY: "random weights; its answers mean nothing",
    TOY: "trained on a drawn toy world; its answers say nothing about real video",
}
"""What a run's settings say of the models that come with the package."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
ATTENTIONS = ("sdpa", "flash_attention_2", "eager")
WEIGHTS_SAMPLED = 16
"""Numbers of each weight that enter the fingerprint of a model."""
PACKAGES = ("torch", "transformers", "datasets", "numpy", "pillow", "av", "decord")


@dataclass(frozen=True)
class Loading:
    """How a model is loaded into this process."""

    dtype: str = "auto"
    """One of `DTYPES`; `auto` is the checkpoint's own, and float32 on a CPU."""
    device: str | None = None
    """As torch names it; by default cuda (each process of a launch one of its own), else mps, else cpu."""
    device_map: str | None = None
    """Spread the weights over the devices of this machine as `from_pretrained` does: auto, balanced, ...; instead of
    `device`, and for one process a machine."""
    attention: str | None = None
    """One of `ATTENTIONS`; by default what transformers takes, sdpa."""
    torch_compile: bool = False
    """Compile the language model; the first batches take minutes, later ones less."""
    trust_remote_code: bool = False
    """Run Python code that comes with the checkpoint."""


DEFAULT_LOADING = Loading()


@dataclass(frozen=True)
class Model:
    """A model ready to answer."""

    model: Any
    """The `transformers` model, in evaluation mode, on its device."""
    processor: Any
    family: Family
    limits: Limits
    end_tokens: tuple[int, ...]
    """Tokens that end an answer."""
    context_length: int | None
    """Most tokens of prompt and answer together; None where the configuration does not say."""
    settings: dict[str, Any]
    """What `run.json` says of it: name, family, type, dtype, and fingerprints of weights and chat template."""

    thought: Thought = NO_THOUGHT
    """How it thinks in this run."""

    def thinking(self, wanted: Wanted) -> Model:
        """The model as it thinks in a run, see `cotasks.models.thinking`. Raises InputError as of `thinking_of`."""
        name = f"model {self.settings['name']}"
        return replace(self, thought=thinking_of(self.processor, self.family, wanted, name))

    def count_tokens(self, text: str) -> int:
        """Tokens of a piece of text."""
        return len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generation_config(self, max_new_tokens: int) -> Any:
        """What `generate` is told: to take the likeliest token (see `cotasks.generate.sampling`), and when to stop."""
        from transformers import GenerationConfig

        tokenizer = self.processor.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.end_tokens[0]
        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=max_new_tokens,
            eos_token_id=list(self.end_tokens),
            pad_token_id=pad,
        )


def load_model(name: str, loading: Loading = DEFAULT_LOADING) -> Model:
    """Load `tiny`, `toy`, a model folder or a Hub id for inference.

    Args:
        name: `tiny` builds a model with random weights, `toy` is the trained one that comes with the package; anything
            else goes to `from_pretrained`.
        loading: how.

    Raises InputError where the model is not there, is of a family without a row in `cotasks.models.families`, or cannot
    be loaded as a model that takes images or video; MissingExtra where torch or transformers is not installed.
    """
    try:
        import safetensors  # noqa: F401
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "models") from None
    # weights and processor, on the device
    where = device_of(name, loading)
    dtype = "float32" if loading.dtype == "auto" and where.type == "cpu" else loading.dtype
    if name == TINY:
        from cotasks.models.tiny import build_tiny

        model, processor = build_tiny()
        model = model.to(torch.float32 if dtype == "auto" else getattr(torch, dtype))
        if loading.attention is not None:
            model.set_attn_implementation(loading.attention)
    else:
        model, processor = _from_pretrained(name, loading, dtype)
    if loading.device_map is None:
        model = model.to(where)
    elif any(weight.is_meta for weight in model.parameters()):
        raise InputError(f"model {name}: its weights do not fit into the devices by device_map {loading.device_map!r}")
    model = model.eval()
    if loading.torch_compile:
        model.get_decoder().compile(dynamic=True)
    ends = _end_tokens(model, processor)
    # a checkpoint's own defaults (sampling, penalties) would fill in whatever a call leaves open
    model.generation_config = transformers.GenerationConfig(eos_token_id=list(ends))
    return _described(name, model, processor, ends, lambda: {"weights": _fingerprint(model)})


def load_without_weights(name: str, loading: Loading = DEFAULT_LOADING) -> Model:
    """A model as far as prompts and their tokens depend on it: its processor is read, its weights are not.

    The parameters of `model` are on torch's meta device, and its settings hold no fingerprint of them; but for `tiny`,
    which needs no file. Arguments and errors as of `load_model`.
    """
    try:
        import safetensors  # noqa: F401
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "models") from None
    if name == TINY:
        from cotasks.models.tiny import build_tiny

        model, processor = build_tiny()
    else:
        config, processor = _processor(name, loading)
        options = {"trust_remote_code": loading.trust_remote_code}
        with torch.device("meta"), _faults_of(name):
            model = transformers.AutoModelForImageTextToText.from_config(config, **options)
    return _described(name, model, processor, _end_tokens(model, processor), dict)


def _described(
    name: str, model: Any, processor: Any, ends: tuple[int, ...], of_weights: Callable[[], dict[str, Any]]
) -> Model:
    """A model repaired, with what prompts depend on. `of_weights` gives what its settings say of the weights."""
    repaired = repair(model, processor)
    family = family_of(model.config.model_type)
    return Model(
        model=model,
        processor=processor,
        family=family,
        limits=limits_of(processor, family),
        end_tokens=ends,
        context_length=getattr(model.config.get_text_config(), "max_position_embeddings", None),
        settings={
            "name": name if name in NOTES or not os.path.isdir(name) else os.path.normpath(name),
            **({"note": NOTES[name]} if name in NOTES else {}),
            "family": family.name,
            "model_type": model.config.model_type,
            "revision": getattr(model.config, "_commit_hash", None),
            "dtype": str(model.dtype).removeprefix("torch."),
            **of_weights(),
            "chat_template": hashlib.sha256(str(processor.chat_template).encode()).hexdigest(),
            **({"repaired": repaired} if repaired else {}),
        },
    )


def device_of(name: str, loading: Loading) -> Any:
    """The `torch.device` that a model is loaded onto. Raises InputError where `loading` holds what there is not."""
    import torch

    if loading.dtype not in DTYPES:
        raise InputError(f"dtype {loading.dtype!r}; expected one of {', '.join(DTYPES)}")
    if loading.attention not in (None, *ATTENTIONS):
        raise InputError(f"attention {loading.attention!r}; expected one of {', '.join(ATTENTIONS)}")
    if loading.device_map and (loading.device or name == TINY):
        raise InputError(f"device_map {loading.device_map!r} excludes a device, and the model `tiny`")
    try:
        where = torch.device(loading.device or _best_device(torch))
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {loading.device!r} cannot be used: {first_line(error)}") from None
    return where


def _from_pretrained(name: str, loading: Loading, dtype: str) -> tuple[Any, Any]:
    """(model, processor). Raises InputError where they cannot be loaded."""
    import transformers

    placed = {"attn_implementation": loading.attention, "device_map": loading.device_map}
    options = {"trust_remote_code": loading.trust_remote_code, **{n: v for n, v in placed.items() if v is not None}}
    _, processor = _processor(name, loading)
    with _faults_of(name):
        model = transformers.AutoModelForImageTextToText.from_pretrained(source_of(name), dtype=dtype, **options)
    return model, processor


def _processor(name: str, loading: Loading) -> tuple[Any, Any]:
    """(configuration, processor). Raises InputError where they cannot be loaded, or the family has no row."""
    import transformers

    options = {"trust_remote_code": loading.trust_remote_code}
    with _faults_of(name):
        check_code(source_of(name))
        config = transformers.AutoConfig.from_pretrained(source_of(name), **options)
        family_of(config.model_type)  # before gigabytes are read
        return config, transformers.AutoProcessor.from_pretrained(source_of(name), **options)


def check_code(source: str) -> None:
    """Raises InputError where a checkpoint is of a family, but its code is its own, and says how it is used; and where
    a package is missing that transformers needs for it."""
    import transformers

    settings, _ = transformers.PreTrainedConfig.get_config_dict(source)
    model_type = str(settings.get("model_type"))
    if used_elsewhere(model_type) is not None or any(model_type in row.model_types for row in FAMILIES.values()):
        check_needs(family_of(model_type))


def source_of(name: str) -> str:
    """What `from_pretrained` takes for a model's name."""
    return TOY_DIR if name == TOY else name


@contextmanager
def _faults_of(name: str) -> Iterator[None]:
    """Turns what transformers raises where a model cannot be loaded into InputError that names it."""
    import safetensors

    try:
        yield
    except InputError as error:
        raise InputError(f"model {name}: {error}", error.reason) from None
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"model {name}: cannot be loaded: {first_line(error)}") from None


def check_template(model: Model) -> None:
    """Raises InputError where the checkpoint's chat template is missing, or leaves a video out."""
    name = model.settings["name"]
    if not getattr(model.processor, "chat_template", None):
        raise InputError(f"model {name}: no chat template; expected chat_template.jinja beside the weights")
    content = [{"type": "video"}, {"type": "text", "text": "?"}]
    text = model.processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    if text.count(model.processor.video_token) != 1:
        raise InputError(
            f"model {name}: its chat template makes {text!r} of a message with a video; expected one "
            f"{model.processor.video_token} in it"
        )


def versions(model: Model) -> dict[str, str | None]:
    """Versions of the packages that take part, the devices and the attention; `cotasks.runs.MAY_DIFFER` says which may
    differ when a run goes on."""
    found: dict[str, str | None] = {"cotasks": VERSION, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    devices = dict.fromkeys(str(weight.device) for weight in model.model.parameters())
    return {**found, "device": ", ".join(devices), "attention": model.model.config._attn_implementation}


def _best_device(torch: Any) -> str:
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true"):  # accelerate launch --cpu
        return "cpu"
    if torch.cuda.is_available():
        return f"cuda:{environment_number(LOCAL_RANK, 0) % torch.cuda.device_count()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _end_tokens(model: Any, processor: Any) -> tuple[int, ...]:
    """What the checkpoint's generation settings name, and the tokenizer's own end token."""
    named = model.generation_config.eos_token_id
    tokens = [named] if isinstance(named, int) else list(named or ())
    tokens.append(processor.tokenizer.eos_token_id)
    return tuple(dict.fromkeys(token for token in tokens if token is not None))


def _fingerprint(model: Any) -> str:
    """sha256 over names and shapes of all weights and the first numbers of each.

    It tells a checkpoint from another one trained further, at no cost; where and how the weights are stored does
    not matter.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().reshape(-1)[:WEIGHTS_SAMPLED].double().cpu().numpy().tobytes())
    return digest.hexdigest()
