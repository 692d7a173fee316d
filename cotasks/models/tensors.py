"""Prompts and frames -> the tensors a model takes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError
from cotasks.models.families import Family, limits_of
from cotasks.records.schema import Record

if TYPE_CHECKING:
    from transformers import BatchFeature


NO_OPTIONS: Mapping[str, Any] = {}
"""Of a chat template."""


def thinking_off(family: Family) -> Mapping[str, Any]:
    """What a chat template is told so that the model answers without a thought."""
    return NO_OPTIONS if family.thinking is None else family.thinking.options(False)


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames of one prompt, decoded and resized to `families.frame_size`. All numbers count from the clip's start.

    Raises InputError where the fields contradict one another, such as frame numbers of the file instead of the clip.
    """

    pixels: NDArray[np.uint8]
    """(frames, height, width, 3), RGB. They may be shared and read-only, as those of `cotasks.video.cache` are."""
    indices: list[int]
    """Number of each frame, ascending, 0 for the clip's first."""
    fps: float
    """Frames a second of the file."""
    total_num_frames: int
    """Frames the clip has in the file, shown or not."""

    def __post_init__(self) -> None:
        shape, count = self.pixels.shape, len(self.indices)
        if self.pixels.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not all(shape):
            raise InputError(
                f"frames are {self.pixels.dtype} of shape {shape}; expected uint8 (frames, height, width, 3)"
            )
        if count != shape[0]:
            raise InputError(f"{count} frame numbers for {shape[0]} frames")
        if (
            list(self.indices) != sorted(self.indices)
            or self.indices[0] < 0
            or self.indices[-1] >= self.total_num_frames
        ):
            raise InputError(
                f"frame numbers {self.indices[0]} to {self.indices[-1]}; expected ascending ones from 0, the clip's "
                f"first frame, to {self.total_num_frames - 1}"
            )
        if not self.fps > 0:
            raise InputError(f"fps is {self.fps}; expected more than 0")


def clip_range(record: Record, frames: Sequence[int]) -> tuple[int, int]:
    """(number of the clip's first frame in the file, how many frames the clip has); it holds all of `frames`."""
    first = min(frames[0], math.ceil(record.clip.start_seconds * record.fps - 1e-6))
    last = math.floor(record.clip.end_seconds * record.fps + 1e-6)
    if record.frame_count is not None:
        last = min(last, record.frame_count - 1)
    return first, max(last, frames[-1]) - first + 1


class HasMessages(Protocol):
    """What is needed of a prompt."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """Chat messages; the content of a turn is a list of `{"type": "video"}` and `{"type": "text", "text": ...}`."""


def rows_together(family: Family, frames: Sequence[Clip | None]) -> list[list[int]]:
    """Split rows into groups that one call of `collate_for_generation` takes.

    The Qwen families mix clips of any size and length in a batch, and rows without video. Families of fixed frame
    size stack the clips of a batch, so only clips with equally many frames go together; rows without video join the
    first group.

    Returns:
        Groups of positions in `frames`, each ascending.
    """
    if family.limits.fixed is None:
        return [list(range(len(frames)))] if frames else []
    counts = [len(clip.indices) for clip in frames if clip is not None]
    first = counts[0] if counts else 0
    groups: dict[int, list[int]] = {}
    for position, clip in enumerate(frames):
        groups.setdefault(first if clip is None else len(clip.indices), []).append(position)
    return list(groups.values())


def collate_for_generation(
    processor: Any,
    family: Family,
    prompts: Sequence[HasMessages],
    frames: Sequence[Clip | None],
    options: Mapping[str, Any] | None = None,
) -> BatchFeature:
    """Render prompts by the processor's chat template and turn them, with their frames, into one padded batch.

    Padding is on the left. The processor gets the frames as they are: it neither samples nor resizes. It is told
    frame numbers, rate and length of the *clip*, so that temporal positions (Qwen2.5-VL: `second_per_grid_ts`;
    Qwen3-VL: time stamps in the text) count from the clip's start. Qwen2.5-VL has one interval a clip, its length
    over the number of frames, as in the code it was trained with (`fetch_video` of qwen_vl_utils, whose frames are
    the same `linspace`). As the first and the last frame of the clip are among the frames, the true interval is longer
    by up to one part in (frames - 1): the last of 64 frames of a 90 s clip is told 1.4 s early. A snapped grid adds
    what its frames were moved by.

    An odd number of frames in a family with temporal patches of two is filled by the processor with the last frame.

    A row never influences another: where a batch fails, call again with `[prompt], [clip]`, row by row, to find the
    one at fault and keep the rest. Move the batch with `.to(device)` and without a dtype: the models cast pixels
    themselves, and `second_per_grid_ts` would lose precision.

    Args:
        processor: what `AutoProcessor.from_pretrained` gives.
        family: the row of `cotasks.models.families` that covers the model.
        prompts: rows; see `HasMessages`.
        frames: the clip of each row, None for a row whose messages show no video.
        options: variables of the chat template; by default thinking is switched off where the family can.

    Returns:
        `input_ids` and `attention_mask` (rows, tokens), and what the family's processor adds, such as
        `pixel_values_videos` and `video_grid_thw`, as torch tensors on the CPU.

    Raises InputError that names the row where messages and frames disagree, frames are not of a size the processor
    leaves alone, or clips cannot be stacked (see `rows_together`); and where the processor has no chat template.
    """
    if len(prompts) != len(frames) or not prompts:
        raise InputError(f"{len(prompts)} prompts and {len(frames)} clips; expected equally many, at least one")
    options = thinking_off(family) if options is None else options
    texts = [render(processor, prompt.messages, add_generation_prompt=True, options=options) for prompt in prompts]
    for row, (text, clip) in enumerate(zip(texts, frames, strict=True)):
        check_placeholders(processor, f"row {row}", text, clip)
    return run_processor(processor, family, texts, frames, padding_side="left")


def run_processor(
    processor: Any,
    family: Family,
    texts: Sequence[str],
    frames: Sequence[Clip | None],
    padding_side: Literal["left", "right"],
) -> BatchFeature:
    """Rendered prompts and their clips -> one padded batch; see `collate_for_generation`.

    Raises InputError where frames are not of a size the processor leaves alone, or clips cannot be stacked.
    """
    clips = [clip for clip in frames if clip is not None]
    options: dict[str, Any] = {}
    if clips:
        _check_clips(processor, family, frames)
        options = {
            "videos": [clip.pixels for clip in clips],
            "video_metadata": [video_metadata(clip) for clip in clips],
            "do_sample_frames": False,
            "do_resize": False,
            **family.processor_options,
        }
        if getattr(processor.video_processor, "cap_pixels_per_frame", False) is None:
            options["cap_pixels_per_frame"] = False  # without effect, as nothing is resized; spares a warning
    with warnings.catch_warnings():
        # frames of a cache cannot be written to, and no processor writes to what it is given
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        # as do those of Kimi and MiniCPM-V, and get them back
        warnings.filterwarnings("ignore", "__array_wrap__ must accept context", DeprecationWarning)
        # GLM's processor hands tensors to numpy in a form that NumPy 2 warns of
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        batch: BatchFeature = processor(
            text=list(texts),
            padding=True,
            padding_side=padding_side,
            add_special_tokens=adds_special_tokens(processor, texts[0]),
            return_tensors="pt",
            **options,
        )
    return batch


def adds_special_tokens(processor: Any, text: str) -> bool:
    """Whether the tokenizer is to add its own tokens: as in transformers, a template that writes the first token
    itself must not get it twice."""
    bos = processor.tokenizer.bos_token
    return not (bos and text.startswith(bos))


def seen_token(processor: Any, family: Family) -> int:
    """The token that stands, many times, for what is seen of a video."""
    token = processor.image_token if family.frames_are_images else family.frame_token or processor.video_token
    return int(processor.tokenizer.convert_tokens_to_ids(token))


def render(
    processor: Any,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = False,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> str:
    """Chat messages as text; `options` are variables of the chat template, those that it does not know left out.

    Raises InputError where the processor has no chat template.
    """
    if not getattr(processor, "chat_template", None):
        raise InputError(
            f"{type(processor).__name__} has no chat template; expected a processor with chat_template.jinja",
            "no chat template",
        )
    options = {name: value for name, value in options.items() if name in str(processor.chat_template)}
    text: str = processor.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=add_generation_prompt, **options
    )
    return text


def check_placeholders(processor: Any, name: str, text: str, clip: Clip | None) -> None:
    """Raises InputError that begins with `name` where a rendered prompt has not one video placeholder a clip."""
    expected, found = int(clip is not None), text.count(processor.video_token)
    if found != expected:
        raise InputError(
            f"{name}: rendered prompt holds {found} of {processor.video_token}; expected {expected}, one a clip",
            "video placeholders",
        )


def _check_clips(processor: Any, family: Family, frames: Sequence[Clip | None]) -> None:
    limits = limits_of(processor, family)
    for row, clip in enumerate(frames):
        if clip is None:
            continue
        height, width = clip.pixels.shape[1:3]
        if limits.fixed is not None and (width, height) != limits.fixed:
            expected = f"{limits.fixed[0]}x{limits.fixed[1]}"
        elif width % limits.multiple or height % limits.multiple:
            expected = f"multiples of {limits.multiple}"
        else:
            continue
        raise InputError(f"row {row}: frames of {width}x{height}; {family.name} takes {expected}", "frame size")
    if len(rows_together(family, frames)) > 1:
        counts = sorted({len(clip.indices) for clip in frames if clip is not None})
        raise InputError(f"{family.name} cannot stack clips of {counts} frames in one batch; see rows_together")


def video_metadata(clip: Clip) -> dict[str, Any]:
    """What a processor is told of a clip."""
    return {
        "total_num_frames": clip.total_num_frames,
        "fps": clip.fps,
        "frames_indices": list(clip.indices),  # a copy: some versions of transformers append to it
        "duration": clip.total_num_frames / clip.fps,
        "height": clip.pixels.shape[1],
        "width": clip.pixels.shape[2],
    }
