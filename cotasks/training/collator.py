"""Chat examples -> the tensors that a model learns from.

    loader = DataLoader(rows, collate_fn=TrainingCollator(processor, family, videos), ...)
    loss = model(**batch).loss

Labels are -100 except on the assistant's turns, the token that ends a turn included; `cotasks.training.turns` finds
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cotasks.errors import InputError, shorten, stop_at_environment_fault
from cotasks.models.families import Family, frame_size, limits_of
from cotasks.models.tensors import Clip, check_placeholders, run_processor, thinking_off
from cotasks.records.schema import Record
from cotasks.records.timeline import OWN_CLOCK
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.training.events import Event, log_event
from cotasks.training.examples import examples_of, expected_video, instructions, shorten_messages
from cotasks.training.stored import as_file, decoded_frames
from cotasks.training.turns import IGNORED, ChatFormat, ChatTokens, chat_format, render_chat, tokenize_chat, turn
from cotasks.video.check import look_at
from cotasks.video.files import video_file

if TYPE_CHECKING:
    import torch

    from cotasks.video.cache import FrameCache
    from cotasks.video.packets import Image


Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class _Example:
    name: tuple[str, str]  # id and task
    messages: Messages
    cuts: Sequence[Mapping[str, int]]
    clip: Clip | None


@dataclass(frozen=True)
class TrainingCollator:
    """Rows -> one right-padded batch with labels. It can be pickled, so workers of a DataLoader can run it.

    A row is one of

    - an example of `cotasks.instructions`; its frames are read from `videos`;
    - such an example with `images`, its frames as files of a picture each, or `video`, its video as a file's content;
    - a record or its row, where `task` says what to learn of it;
    - `{"messages": ..., "clip": Clip or None}`, with `id`, `task` and `cuts` where wanted.

    What is wrong with one row (a damaged video, say) is reported, and the batch goes on without it.
    """

    processor: Any
    """What `AutoProcessor.from_pretrained` gives."""
    family: Family
    """The row of `cotasks.models.families` that covers the model."""
    videos: Path | None = None
    """The folder that `video_path` is relative to."""
    task: str | None = None
    """What to learn of a record; see `cotasks.instructions`."""
    num_frames: int | None = None
    """Frames shown of a record, by default its grid."""
    boxes_per_entity: int = BOXES_PER_ENTITY
    """Of a record, in step 2."""
    max_tokens: int | None = None
    """Budget of a row, video included. Beyond it, whole items of steps 2 to 4 are left out, see `cuts` in
    `cotasks.instructions`; a row that still does not fit is skipped. None for no limit."""
    pad_to_multiple_of: int = 1
    """Rows are as long as the longest, rounded up to a multiple of this."""
    blank_batches: bool = False
    """Where no row of a batch can be used: give a blank batch, a small black clip without labels, whose loss is 0.
    With several processes all have to take every step together. Else it is an error."""
    report: Callable[[Event], None] = log_event
    """Called with each event, in the process that collates."""
    frame_cache: FrameCache | None = None
    """Where frames are kept from one example of a video to the next; None to decode them each time."""
    video_check: str = "fail"
    """What is done about a video that is not the annotated one, of `cotasks.video.check.MODES`."""

    @cached_property
    def format(self) -> ChatFormat:
        """How the processor's template writes an assistant's turn. Raises InputError, see `chat_format`."""
        return chat_format(self.processor, thinking_off(self.family))

    def __call__(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Collate.

        Returns:
            `input_ids`, `attention_mask` and `labels` (rows, tokens), and what the family's processor adds, such as
            `pixel_values_videos` and `video_grid_thw`, on the CPU.

        Raises InputError where no row can be used, clips cannot be stacked (see
        `cotasks.models.tensors.rows_together`), or the chat template's assistant turns cannot be told.
        """
        _ = self.format  # whatever is wrong with it is wrong for all rows
        faults: list[str] = []
        examples: list[_Example] = []
        for row in rows:
            name = _name(row, self.task)
            try:
                examples.append(self._example(name, row))
            except Exception as error:  # one odd row must not stop the others
                stop_at_environment_fault(error, name[0])
                faults.append(self._skip(name, error))
        batch = self._collate(examples, faults) if examples else None
        if batch is not None:
            return batch
        if not self.blank_batches:
            raise InputError(
                f"no row of a batch of {len(rows)} can be used; {faults[0] if faults else 'it is empty'}", "empty batch"
            )
        batch = self._collate([self._blank()], faults)
        assert batch is not None, faults
        return {**batch, "labels": batch["labels"].fill_(IGNORED)}

    def _skip(self, name: tuple[str, str], error: Exception) -> str:
        known = isinstance(error, InputError)
        reason = error.reason if isinstance(error, InputError) else type(error).__name__
        detail = str(error) if known else f"{reason}: {' '.join(str(error).split())[:1000]}"
        self.report({"event": "skipped", "id": name[0], "task": name[1], "reason": reason, "detail": detail})
        return f"{name[0]}: {detail}"

    def _example(self, name: tuple[str, str], row: Any) -> _Example:
        """The example of a row, its frames read."""
        if isinstance(row, Record) or "frame_localization" in row:
            row = self._instruction(row)
        messages = [_plain(message) for message in row["messages"]]
        clip = row["clip"] if "clip" in row else self.clip(row)
        if clip is not None and not isinstance(clip, Clip):
            raise InputError(f"clip is {shorten(clip)}; expected a cotasks.models.tensors.Clip or None")
        if "family" in row and row["family"] != self.family.name:
            raise InputError(f"written for the family {row['family']}; expected {self.family.name}", "other family")
        return _Example(name, messages, row.get("cuts") or (), clip)

    def _instruction(self, record: Record | Mapping[str, Any]) -> dict[str, Any]:
        if self.task is None:
            raise InputError("a record, and no task to learn of it; name one: TrainingCollator(..., task=...)")
        columns = instructions(
            record,
            (self.task,),
            family=self.family.name,
            limits=limits_of(self.processor, self.family),
            num_frames=self.num_frames,
            boxes_per_entity=self.boxes_per_entity,
            videos=self.videos,
            video_check=self.video_check,
            count_tokens=lambda text: len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]),
        )
        for row in examples_of(columns):
            return row
        raise InputError(f"task {self.task}: its spans are `whole`, there is nothing to learn", "nothing to learn")

    def clip(self, row: Mapping[str, Any]) -> Clip | None:
        """The frames that an example shows, None where it shows none: as they came with it
        (`cotasks.training.stream`), or read from its video."""
        if not row["frames"]:
            return None
        if row.get("images") is not None:
            pixels = decoded_frames(row["images"], (row["width"], row["height"]))
        elif row.get("video") is not None:
            with as_file(row["video"], row["video_path"]) as path:
                pixels = self._read(path, row)
        elif self.videos is None:
            raise InputError("it shows a video; name the folder of the videos: TrainingCollator(..., videos=...)")
        else:
            pixels = self._read(video_file(self.videos, row["video_path"]), row)
        indices = [frame - row["clip_begin"] for frame in row["frames"]]
        return Clip(pixels, indices, row["fps"], row["clip_frames"])

    def _read(self, path: Path, row: Mapping[str, Any]) -> Image:
        """The frames of an example, read from its video."""
        from cotasks.video.cache import cached

        facts = look_at(path, expected_video(row), self.video_check)
        if row["fps"] == OWN_CLOCK and abs(facts.info.fps - OWN_CLOCK) > 1e-3:
            raise InputError(
                f"{path}: {facts.info.fps:g} frames a second; its record was built without them, on a clock of one; "
                "expected records built with --videos",
                "built without the frame rate of its video",
            )
        _, read_frames = cached(self.frame_cache)
        return read_frames(path, facts.readable(row["frames"]), (row["width"], row["height"]))

    def _collate(self, examples: Sequence[_Example], faults: list[str]) -> dict[str, torch.Tensor] | None:
        """The batch of what can be used; None where nothing can."""
        usable, chats = [], []
        for example in examples:
            try:
                chats.append(self._chat(example))
                usable.append(example)
            except Exception as error:
                stop_at_environment_fault(error, example.name[0])
                faults.append(self._skip(example.name, error))
        if not usable:
            return None
        texts, clips = [text for text, _ in chats], [example.clip for example in usable]
        try:
            batch = run_processor(self.processor, self.family, texts, clips, padding_side="right")
        except Exception as error:
            return self._one_by_one(usable, texts, error, faults)
        rows, left = [], []
        for number, (example, chat) in enumerate(zip(usable, chats, strict=True)):
            ids = batch["input_ids"][number][batch["attention_mask"][number].bool()].tolist()
            try:
                rows.append(self._fit(example, chat, ids))
                left.append(example)
            except Exception as error:
                stop_at_environment_fault(error, example.name[0])
                faults.append(self._skip(example.name, error))
        if len(left) < len(usable):  # their frames are in the batch: make it anew
            return self._collate(left, faults) if left else None
        for example, (_, _, cut) in zip(usable, rows, strict=True):
            if cut:
                event = {"event": "shortened", "id": example.name[0], "task": example.name[1]}
                self.report({**event, "left_out": cut, "of": len(example.cuts)})
        return self._pad(batch, [(head, tokens) for head, tokens, _ in rows])

    def _one_by_one(
        self, examples: Sequence[_Example], texts: Sequence[str], error: Exception, faults: list[str]
    ) -> dict[str, torch.Tensor] | None:
        """Find what fails alone, and collate the rest. Raises `error` where nothing does: then it is the batch."""
        good = []
        for example, text in zip(examples, texts, strict=True):
            try:
                run_processor(self.processor, self.family, [text], [example.clip], padding_side="right")
                good.append(example)
            except Exception as alone:
                stop_at_environment_fault(alone, example.name[0])
                faults.append(self._skip(example.name, alone))
        if len(good) == len(examples):
            raise error
        return self._collate(good, faults) if good else None

    def _chat(self, example: _Example, cut: int = 0) -> tuple[str, list[tuple[int, int]]]:
        messages = shorten_messages(example.messages, example.cuts, cut) if cut else example.messages
        text, spans = render_chat(self.processor, self.format, messages)
        check_placeholders(self.processor, "chat", text, example.clip)
        return text, spans

    def _fit(
        self, example: _Example, chat: tuple[str, list[tuple[int, int]]], ids: list[int]
    ) -> tuple[list[int], ChatTokens, int]:
        """(tokens up to the last of the video, the rest with its labels, number of items left out).

        Args:
            ids: what the processor made of the chat, its video expanded.
        """
        tokens = tokenize_chat(self.processor, *chat)
        rest = len(tokens.ids) - tokens.placeholder - 1
        head = ids[: len(ids) - rest]
        if ids[len(head) :] != tokens.ids[tokens.placeholder + 1 :] or rest > len(ids):
            raise InputError("the processor changes the text behind the video; its labels cannot be told", "labels")
        budget, cut = self.max_tokens, 0
        if budget is not None and len(ids) > budget:
            cut = self._least_cut(example, len(head), budget)
            before = tokens.ids[: tokens.placeholder + 1]
            tokens = tokenize_chat(self.processor, *self._chat(example, cut))
            if tokens.ids[: tokens.placeholder + 1] != before:
                raise InputError(
                    "`cuts` name lines before the video; expected lines behind it", "cuts before the video"
                )
        return head, tokens, cut

    def _least_cut(self, example: _Example, head: int, budget: int) -> int:
        """How many items to leave out. Raises InputError where the budget does not suffice without any of them."""

        def length(cut: int) -> int:
            tokens = tokenize_chat(self.processor, *self._chat(example, cut))
            return head + len(tokens.ids) - tokens.placeholder - 1

        low, high = 0, len(example.cuts)  # `low` is too long
        if high == 0 or (least := length(high)) > budget:
            least = length(0) if high == 0 else least
            raise InputError(
                f"{least} tokens without any item that may be left out, {head} of them up to the end of the video; "
                f"expected at most {budget}",
                "budget too small",
            )
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if length(middle) > budget else (low, middle)
        return high

    def _pad(
        self, batch: Mapping[str, torch.Tensor], rows: Sequence[tuple[list[int], ChatTokens]]
    ) -> dict[str, torch.Tensor]:
        """The batch with rows of tokens in place of its own."""
        import torch

        tokenizer = self.processor.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        tails = [tokens.ids[tokens.placeholder + 1 :] for _, tokens in rows]
        longest = max(len(head) + len(tail) for (head, _), tail in zip(rows, tails, strict=True))
        longest = -(-longest // self.pad_to_multiple_of) * self.pad_to_multiple_of
        old = batch["input_ids"].shape
        padded = {
            "input_ids": torch.full((len(rows), longest), pad),
            "attention_mask": torch.zeros((len(rows), longest), dtype=torch.long),
            "labels": torch.full((len(rows), longest), IGNORED),
        }
        # other tensors with a number a token tell video from text: 0 behind the video
        kinds = [name for name, value in batch.items() if value.shape == old and name not in padded]
        padded |= {name: torch.zeros((len(rows), longest), dtype=batch[name].dtype) for name in kinds}
        for number, ((head, tokens), tail) in enumerate(zip(rows, tails, strict=True)):
            end = len(head) + len(tail)
            padded["input_ids"][number, :end] = torch.tensor(head + tail)
            padded["attention_mask"][number, :end] = 1
            padded["labels"][number, len(head) : end] = torch.tensor(tokens.labels[tokens.placeholder + 1 :])
            for name in kinds:
                padded[name][number, : len(head)] = batch[name][number, : len(head)]
        return {**padded, **{name: value for name, value in batch.items() if name not in padded}}

    def _blank(self) -> _Example:
        limits = limits_of(self.processor, self.family)
        width, height = frame_size(self.family, 64, 64, limits.temporal_patch, limits=limits)
        pixels = np.zeros((limits.temporal_patch, height, width, 3), np.uint8)
        clip = Clip(pixels, list(range(len(pixels))), 1.0, len(pixels))
        question = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "-"}]}
        return _Example(("blank", "blank"), [question, turn("assistant", "-")], (), clip)


def _name(row: Any, task: str | None) -> tuple[str, str]:
    if isinstance(row, Record):
        return row.id, str(task)
    return str(row.get("id", "row without id")), str(row.get("task", task))


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message without the nulls that a typed column fills in; content given as a string becomes a list."""
    content = message["content"]
    if isinstance(content, str):
        return turn(message["role"], content)
    parts = [{name: value for name, value in part.items() if value is not None} for part in content]
    if message["role"] == "assistant" and [part.get("type") for part in parts] != ["text"]:
        raise InputError(f"an assistant's content is {shorten(parts)}; expected one text", "answer is not one text")
    return {"role": message["role"], "content": parts}
