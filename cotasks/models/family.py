"""What differs between families of models and cannot be read off a checkpoint: the columns of `cotasks.models.rows`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cotasks.records.boxes import Size


@dataclass(frozen=True)
class Limits:
    """The sizes that a video processor leaves alone. Areas are in pixels, both ends included."""

    fixed: Size | None = None
    """(width, height) where every frame has the same size; nothing below is used then."""
    multiple: int = 1
    """Width and height are multiples of this: patch size times merge size."""
    temporal_patch: int = 1
    """Frames in one temporal patch; the processor repeats the last frame to fill the last patch."""
    min_pixels: int = 0
    """Least width x height of a frame."""
    max_pixels: int = 0
    """Greatest width x height of a frame."""
    min_video_pixels: int = 0
    """Least frames x width x height of a video."""
    max_video_pixels: int = 0
    """Greatest frames x width x height of a video; 0 where only frames are bounded."""
    fill: bool = False
    """Whether the processor makes every frame, a small one too, as large as `max_pixels` allows."""
    nearest: bool = False
    """Whether the processor gives every frame about the area of `max_pixels`, sides rounded to the nearest multiple."""


@dataclass(frozen=True)
class Thinking:
    """How the models of a family that think do so, see `cotasks.models.thinking`."""

    switch: str = "enable_thinking"
    """The variable of the chat template that switches it."""
    opens: str = "<think>"
    closes: str = "</think>"
    by_itself: bool = False
    """Whether a checkpoint whose chat template has no such variable thinks all the same."""

    def options(self, on: bool) -> dict[str, bool]:
        """What the chat template is told."""
        return {self.switch: on}

    def is_open(self, text: str) -> bool:
        """Whether a rendered prompt ends inside a thought."""
        return text.rfind(self.opens) > text.rfind(self.closes)


@dataclass(frozen=True)
class Family:
    """One row: how a family of models writes coordinates, refers to frames, and takes video."""

    name: str
    model_types: tuple[str, ...]
    """Values of `config.model_type` in transformers."""
    coordinates: Literal["pixels", "thousandths", "fractions"]
    """See `cotasks.records.boxes.CoordinateFormat`; `pixels` are those of the resized frame."""
    frame_reference: Literal["seconds", "position"]
    """How a prompt refers to a frame: by seconds from the clip's start, or by its position among the frames shown."""
    limits: Limits
    """Limits by default; a checkpoint's own, see `limits_of`, may be narrower."""
    names: str
    """Regular expression of what the names of its models hold, in lower case."""
    limits_by_size: Callable[..., Limits] | None = None
    """The limits that a processor's settings mean, called as `_qwen2_limits`; None where every frame has one size."""
    limits_by_processor: Callable[[Any], Limits] | None = None
    """The limits of a video processor, where its `size` does not tell them."""
    max_video_tokens: int = 0
    """`max_video_tokens` of the processor, for versions of transformers whose processor does not say; with
    `limits_by_size` only."""
    image_min_pixels: int = 0
    """Least width x height that its image processor leaves alone, where that is more than its video processor's:
    `shortest_edge` in preprocessor_config.json of the published checkpoints."""
    frames_are_images: bool = False
    """Whether the model knows no video: frames have the tokens, tensors, size and colour statistics of images."""
    newlines_by_config: bool = False
    """Whether `mm_newline_position` and `mm_spatial_pool_mode` in config.json say how the patches of frames are pooled
    and where newline tokens stand, which transformers passes over; see `cotasks.models.repairs`."""
    prefix_reuse: bool = True
    """Whether the keys and values of a prompt's beginning can be worked out once a clip, see
    `cotasks.generate.local.vision`: not where a state runs through the padding between beginning and rest."""
    frame_token: str = ""
    """What the processor writes for what is seen of a video, where that is not its video token."""
    counts_patches: tuple[str, ...] = ()
    """Tensors of the processor that count the patches of all videos of a batch; below 0 they count nothing."""
    in_one_row: tuple[str, ...] = ()
    """Tensors of the processor that hold the patches of all videos of a batch along their last axis, not the first."""
    kept_tokens: str = ""
    """Tensor of the processor that says which vision tokens of a clip the prompt holds, where it may be fewer than the
    vision tower gives, by what the frames show."""
    processor_options: Mapping[str, Any] = field(default_factory=dict)
    """What the processor is told with a video beyond what all are."""
    text_follows_frame: bool = False
    """Whether transformers has let text begin too early after a long video, see `cotasks.models.repairs`."""
    needs: str = ""
    """The package that transformers needs for its models beyond those of the extra `models`."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Values of `config.model_type` of checkpoints that are of the family, but bring code of their own, which is not
    run here -> how they are used."""
    thinking: Thinking | None = None
    """None where its models do not think."""
    own_grounding: str = ""
    """How its models write boxes or points where a prompt says nothing else. Prompts say `[x1, y1, x2, y2]`, and texts
    in the forms that are known are read, see `cotasks.steps.repair`."""
