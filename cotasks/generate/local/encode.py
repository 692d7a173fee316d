"""Prompts with their frames -> tokens and tensors, one prompt at a time and the pixels of a clip once.

This is the work that the CPU can do ahead while the model is busy.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.generate.prepare import Item, failure_row
from cotasks.models.load import Model
from cotasks.models.tensors import collate_for_generation, seen_token, thinking_off
from cotasks.runs.run import Row


@dataclass(eq=False)
class Video:
    """What the model is given of one clip, shared by all prompts that show it, and what it makes of it."""

    tensors: dict[str, Any]
    """What the family's processor makes of the clip, such as `pixel_values_videos` and `video_grid_thw`: tensors whose
    first axis counts clips (or their patches), on the CPU."""
    features: Any = None
    """See `cotasks.generate.local.vision`; made when first needed."""
    prefixes: dict[bytes, Any] = field(default_factory=dict)
    """See `cotasks.generate.local.vision`: tokens of a prompt's beginning -> its keys and values."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One prompt in tokens."""

    item: Item
    text: dict[str, Any]
    """`input_ids`, and where the family has them `mm_token_type_ids`: tensors (tokens,) on the CPU."""
    video: Video | None
    positions: Any
    """Tensor (3, tokens) of temporal, vertical and horizontal positions; None for families without them."""
    prefix: int
    """Tokens up to and with the last of the video; 0 where there is none."""

    @property
    def tokens(self) -> int:
        """Length of the prompt, with those of the video."""
        return len(self.text["input_ids"])


class _Remembering:
    """A video processor that does not do its last video over again."""

    def __init__(self, video_processor: Any) -> None:
        self._processor = video_processor
        self._last: tuple[Any, dict[str, Any], Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_processor"], name)

    def __call__(self, videos: Any, **options: Any) -> Any:
        from transformers import BatchFeature

        last = self._last
        if last is None or len(videos) != 1 or videos[0] is not last[0] or options != last[1]:
            # options hold lists that the processor may change
            kept = copy.deepcopy(options)
            output = self._processor(videos, **options)
            self._last = last = (videos[0] if len(videos) == 1 else None, kept, output)
        return BatchFeature(dict(last[2]))


class Encoder:
    """Encodes prompts for a model. It has a processor of its own, as tokenizers cannot be shared between threads."""

    def __init__(self, model: Model, max_new_tokens: int) -> None:
        """`max_new_tokens` are those of thought and answer."""
        processor = copy.deepcopy(model.processor)
        processor.video_processor = _Remembering(processor.video_processor)
        self.model = dataclasses.replace(model, processor=processor)
        self.max_new_tokens = max_new_tokens
        self._video_token = seen_token(processor, model.family)
        self._rope_index = getattr(model.model.base_model, "get_rope_index", None)
        types = {weight.dtype for weight in model.model.parameters() if weight.is_floating_point()}
        self._pixel_type = types.pop() if len(types) == 1 else None  # None: leave them as they are

    def encode(self, items: Sequence[Item]) -> Iterator[Encoded | Row]:
        """Prompts in tokens, and failure rows: one or the other for each item.

        Prompts of one `Clip` share a `Video`.
        """
        groups: dict[int, list[Item]] = {}
        for item in items:
            groups.setdefault(id(item.clip), []).append(item)
        for group in groups.values():
            video: Video | None = None
            for item in group:
                try:
                    encoded = self._encode(item, video)
                except Exception as error:  # one odd prompt must not stop the others
                    stop_at_environment_fault(error, item.key[0])
                    yield failure_row(item.key, item.video_id, error)
                else:
                    video = encoded.video
                    yield encoded

    def _encode(self, item: Item, video: Video | None) -> Encoded:
        """`video` is that of an earlier prompt with the same clip. Raises InputError for a prompt that is too long."""
        model, options = self.model, self.model.thought.options
        options = options or thinking_off(model.family)
        batch = collate_for_generation(model.processor, model.family, [item.prompt], [item.clip], options)
        shape = batch["input_ids"].shape
        length, longest = shape[1], self.model.context_length
        if longest is not None and length + self.max_new_tokens > longest:
            raise InputError(
                f"{item.key[0]}: prompt of {length} tokens and an answer of {self.max_new_tokens}; expected no more "
                f"than the model's {longest}",
                "prompt too long",
            )
        text = {name: tensor[0] for name, tensor in batch.items() if tensor.shape == shape and name != "attention_mask"}
        if video is None and item.clip is not None:
            video = Video({name: self._narrow(t) for name, t in batch.items() if t.shape != shape})
        seen = (text["input_ids"] == self._video_token).nonzero()
        prefix = int(seen[-1]) + 1 if item.clip is not None and len(seen) else 0
        return Encoded(item, text, video, self._positions(batch), prefix)

    def _narrow(self, tensor: Any) -> Any:
        """Pixels in the model's own type: the model would cast them itself, alike, but later."""
        return tensor.to(self._pixel_type) if tensor.is_floating_point() and tensor.dim() > 1 else tensor

    def _positions(self, batch: Any) -> Any:
        """(3, tokens) of a batch of one row; None for families without positions in three axes."""
        if self._rope_index is None:
            return None
        known = inspect.signature(self._rope_index).parameters
        positions, _ = self._rope_index(**{k: v for k, v in batch.items() if k in known and k != "attention_mask"})
        return positions[:, 0]
