"""A model behind one or several OpenAI-compatible servers: what its prompts depend on, and how it is found there.

A server says little of its model, so the family is given or read from the model's name, and frames are resized to what
the processors of the family's published checkpoints leave alone.
What a request holds: `cotasks.generate.server.request`.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Literal

from cotasks.errors import InputError, MissingExtra
from cotasks.generate.sampling import Sampling
from cotasks.models.families import FAMILIES, Family, Limits, guess_family
from cotasks.models.thinking import NO_THOUGHT, Thought, Wanted
from cotasks.records.boxes import Size
from cotasks.servers.address import longest_answer_field, server_urls
from cotasks.version import VERSION

Media = Literal["images", "video_url"]
MEDIA: tuple[Media, ...] = ("images", "video_url")
IMAGE_FORMATS = {"jpeg": "jpeg, quality 95, 4:4:4", "png": "png"}
"""Name -> what `run.json` says of it."""
OPEN_SERVERS = ("vllm", "sglang")
"""`owned_by` of their models: servers that fill in what a request leaves open from the checkpoint's own
generation_config.json (Qwen2.5-VL's has a repetition penalty), and that take the fields that keep them from it."""


@dataclass(frozen=True)
class ServerOptions:
    """How a server is asked. Raises InputError for a value outside its range."""

    base_url: str
    """Up to and with `/v1`, without password or query."""
    family: str | None = None
    """A name from `cotasks.models.families.FAMILIES`; by default what the model's name says."""
    media: str | None = None
    """`images` or `video_url`; by default `video_url` for vLLM, else `images`."""
    image_format: str = "jpeg"
    """`jpeg` (quality 95, no chroma subsampling) or `png`, which takes several times the bytes; images only."""
    min_pixels: int | None = None
    """Least width x height of a frame; by default the family's."""
    max_pixels: int | None = None
    """Greatest width x height of a frame; by default the family's, and no more."""
    tokenizer: str | None = None
    """Folder or Hub id of the model's tokenizer; needed where a condition has a budget of tokens."""
    concurrency: int = 32
    """Most calls at once; fewer while the server says that it is crowded."""
    timeout: float = 600.0
    """Seconds for one call; where they pass, fewer are made at once, see `cotasks.servers.gate.Patience`."""
    check_frames: bool = True
    """Stop where the server's count of prompt tokens cannot be that of the frames as they were sent."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of each request, such as `chat_template_kwargs`; they win over our own."""
    more_urls: tuple[str, ...] = ()
    """Further servers with the same model; `concurrency` is that of each."""

    def __post_init__(self) -> None:
        first, *more = server_urls([self.base_url, *self.more_urls])
        object.__setattr__(self, "base_url", first)
        object.__setattr__(self, "more_urls", tuple(more))
        known = ", ".join(FAMILIES)
        for name, good, expected in (
            ("family", self.family is None or self.family in FAMILIES, f"one of {known}"),
            ("media", self.media is None or self.media in MEDIA, f"one of {', '.join(MEDIA)}"),
            ("image_format", self.image_format in IMAGE_FORMATS, f"one of {', '.join(IMAGE_FORMATS)}"),
            ("min_pixels", self.min_pixels is None or self.min_pixels >= 1, "1 or more"),
            ("max_pixels", self.max_pixels is None or self.max_pixels >= 1, "1 or more"),
            ("concurrency", 1 <= self.concurrency <= 1000, "1 to 1000"),
            ("timeout", 0 < self.timeout < float("inf"), "seconds"),
        ):
            if not good:
                raise InputError(f"{name} {getattr(self, name)}; expected {expected}")
        if taken := sorted({"messages", "model", "n", "stream"} & self.extra_body.keys()):
            raise InputError(f"extra body: {', '.join(taken)}; expected other fields than those we write ourselves")

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses."""
        return (self.base_url, *self.more_urls)


@dataclass(frozen=True)
class ServedModel:
    """A model that a server has been seen to answer with."""

    name: str
    """As it is asked for."""
    served: str
    """As the server names it; empty where it does not."""
    owner: str
    """`owned_by` of the server's model, in lower case: `vllm`, ...; empty where it does not say."""
    family: Family
    limits: Limits
    media: Media
    options: ServerOptions
    tokenizer: Any = None
    refused: tuple[str, ...] = ()
    """Addresses that were found to be of no use."""
    thought: Thought = NO_THOUGHT
    """How it thinks in this run."""

    def thinking(self, wanted: Wanted) -> ServedModel:
        """The model as it thinks in a run, see `cotasks.models.thinking`: a server does not show its chat template, so
        it is told what the family's row says.

        Raises InputError where models of the family do not think, or by its name this one always does, and for a budget
        with a server that takes none.
        """
        tags = self.family.thinking
        if tags is None:
            if wanted not in (None, "off"):
                raise InputError(f"model {self.name}: models of {self.family.name} do not think; leave out thinking")
            return self
        if isinstance(wanted, int) and self.owner and self.owner != "vllm":
            raise InputError(
                f"{self.options.base_url}: only vLLM takes thinking {wanted} (`thinking_token_budget`); expected on or "
                "off, or the server's own field in --extra-body"
            )
        always = "thinking" in self.name.lower()  # GLM-4.1V-9B-Thinking, Qwen3-VL-8B-Thinking: without a switch
        if always and wanted == "off":
            raise InputError(f"model {self.name}: by its name it always thinks; expected thinking on, or a number")
        asked = wanted is not None or self.owner in OPEN_SERVERS
        mode = wanted if wanted is not None else "on" if always else "off"
        return dataclasses.replace(
            self, thought=Thought(mode, tags.options(mode != "off") if asked else {}, False, tags)
        )

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """Gives the tokens of a piece of text; None where no tokenizer was named."""
        if self.tokenizer is None:
            return None
        return lambda text: len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def video_tokens(self, frames: int, size: Size) -> int | None:
        """The tokens of so many frames of (width, height); None where the family does not say."""
        limits = self.family.limits
        if not frames:
            return 0
        as_it_likes = limits.fixed is not None or limits.nearest or self.family.kept_tokens
        if as_it_likes or (limits.fill and self.media == "images"):
            return None  # an image processor makes of a frame what it likes, or tokens depend on what is seen
        steps = frames if self.media == "images" else -(-frames // limits.temporal_patch)
        return steps * (size[0] // limits.multiple) * (size[1] // limits.multiple)

    def request(self, sampling: Sampling) -> dict[str, Any]:
        """The fields of a request that all have in common."""
        fields = {
            "model": self.name,
            longest_answer_field(self.options.base_url): sampling.max_new_tokens + self.thought.longest,
            "temperature": sampling.temperature,
            "frequency_penalty": 0.0,
        }
        if sampling.temperature:
            fields["top_p"] = sampling.top_p
        if sampling.top_k:
            fields["top_k"] = sampling.top_k
        if self.owner in OPEN_SERVERS:
            fields |= {"repetition_penalty": 1.0, "top_k": sampling.top_k or -1}
        if self.thought.options:
            fields["chat_template_kwargs"] = dict(self.thought.options)
        if isinstance(self.thought.mode, int):
            fields["thinking_token_budget"] = self.thought.mode
        return {**fields, **self.options.extra_body}

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """What `run.json` says of model, frames, sampling and versions."""
        chosen = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        drawn = {**chosen, "seed": sampling.seed} if sampling.temperature else {}
        request = self.request(sampling)
        del request["model"]
        return {
            "backend": "server",
            "model": {
                "name": self.name,
                "family": self.family.name,
                "served_model": self.served,
                "base_url": list(self.options.urls) if self.options.more_urls else self.options.base_url,
                "tokenizer": self.options.tokenizer,
            },
            **self.thought.settings(),
            "sampling": {"do_sample": bool(drawn), "num_samples": sampling.num_samples, **drawn},
            "request": request,
            "frames": {
                "shown_as": self.media,
                "named_by": self.family.frame_reference if self.media == "images" else None,
                "format": IMAGE_FORMATS[self.options.image_format],
                "resize": "bicubic",
                "limits": dataclasses.asdict(self.limits),
            },
            "versions": {"cotasks": VERSION, "python": platform.python_version(), **_versions()},
        }


def unasked(name: str, options: ServerOptions) -> ServedModel:
    """A model as far as it is known before its server is asked: frames are images unless `options` say otherwise.

    Raises InputError where the family is not known, MissingExtra where a tokenizer is named and transformers missing.
    """
    return shown_as(named(name, options), "images")


def named(name: str, options: ServerOptions) -> ServedModel:
    """What name and options say of a model; how its frames are shown is not settled yet."""
    family = FAMILIES[options.family] if options.family else guess_family(name)
    tokenizer = _load_tokenizer(options.tokenizer) if options.tokenizer else None
    return ServedModel(name, "", "", family, family.limits, "images", options, tokenizer)


def shown_as(model: ServedModel, media: Media) -> ServedModel:
    """The model with the media and the frame sizes that its options name; `media` where they name none."""
    options = model.options
    media = next((known for known in MEDIA if known == options.media), media)
    if media == "video_url" and options.image_format != "jpeg":
        raise InputError(
            f"image_format {options.image_format} with video_url, which holds jpeg; expected jpeg or images"
        )
    limits = server_limits(model.family, media, options.min_pixels, options.max_pixels)
    return dataclasses.replace(model, media=media, limits=limits)


def server_limits(family: Family, media: Media, min_pixels: int | None, max_pixels: int | None) -> Limits:
    """The sizes of frames that the processors of the family's published checkpoints leave alone.

    Args:
        family: the row that covers the model.
        media: as images, some families allow less than as video.
        min_pixels: least width x height in place of the family's.
        max_pixels: greatest width x height in place of the family's.

    Raises InputError where the family has one fixed size, `max_pixels` is beyond the family's, and where no area is
    left.
    """
    limits = family.limits
    if limits.fixed is not None:
        if min_pixels is not None or max_pixels is not None:
            width, height = limits.fixed
            raise InputError(f"min_pixels or max_pixels: {family.name} takes frames of exactly {width}x{height}")
        return limits
    if max_pixels is not None and max_pixels > limits.max_pixels:
        raise InputError(f"max_pixels {max_pixels}; expected no more than {family.name}'s {limits.max_pixels}")
    least = limits.min_pixels if media == "video_url" else max(limits.min_pixels, family.image_min_pixels)
    least = least if min_pixels is None else min_pixels
    greatest = limits.max_pixels if max_pixels is None else max_pixels
    if least > greatest:
        raise InputError(f"frames of at least {least} and at most {greatest} pixels; expected the least to be less")
    return dataclasses.replace(limits, min_pixels=least, max_pixels=greatest)


def _load_tokenizer(name: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingExtra("transformers", "models") from None
    try:
        return transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"tokenizer {name}: cannot be loaded: {line}") from None


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in ("openai", "datasets", "numpy", "pillow", "av", "decord"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found
