"""What a run would ask, without asking: prompts as they would be sent, and counts of tokens, videos and faults.

A model in this process is built without its weights (`load_without_weights`), a server is not called. Nothing is
written. Frames are decoded for the shown prompts to a server only; of other videos no more is read than it takes to
check them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.generate.checks import check_processes, check_work
from cotasks.generate.local.batching import DEFAULT_BATCHING
from cotasks.generate.local.thoughts import longest_output
from cotasks.generate.prepare import Item, failure_row, prepare_video
from cotasks.generate.run import open_predictions
from cotasks.generate.sampling import GREEDY, Sampling
from cotasks.generate.server.model import ServedModel, ServerOptions, unasked
from cotasks.generate.server.request import build_request, encode_frames, media_parts
from cotasks.generate.vllm.engine import VllmOptions
from cotasks.generate.work import read_work
from cotasks.models.families import frame_size
from cotasks.models.load import DEFAULT_LOADING, Loading, Model, check_template, load_without_weights
from cotasks.models.tensors import Clip, adds_special_tokens, render, run_processor, thinking_off
from cotasks.prompts.condition import PHRASE, Condition, with_defaults
from cotasks.prompts.prompt import Prompt, build_prompt
from cotasks.prompts.size import shown_size
from cotasks.prompts.view import Predictions, shown_frames
from cotasks.records.boxes import Size
from cotasks.records.dataset import Records
from cotasks.records.schema import Record
from cotasks.records.videos import Videos, videos_of
from cotasks.tools.progress import progress_bar

SHOWN = 2
"""Prompts shown of each condition."""
FRAMES_SHOWN = 2
"""Images shown of a request."""
DATA_SHOWN = 40
"""Characters shown of a frame in a request."""


@dataclass
class Counts:
    """Of one condition. Tokens are those of prompts, one a record, however often each is answered."""

    prompts: int = 0
    failed: int = 0
    """Prompts that would not be asked."""
    text_tokens: int | None = 0
    """Those of the chat template included; None where no tokenizer is at hand."""
    video_tokens: int | None = 0
    """None where they cannot be told without the server."""
    longest: int | None = 0
    """Tokens of the longest prompt."""

    @property
    def tokens(self) -> int | None:
        """Of text and video; None where either could not be counted."""
        return None if self.text_tokens is None or self.video_tokens is None else self.text_tokens + self.video_tokens

    def add(self, text: int | None, video: int | None) -> None:
        """Count one prompt."""
        self.prompts += 1
        self.text_tokens = None if text is None or self.text_tokens is None else self.text_tokens + text
        self.video_tokens = None if video is None or self.video_tokens is None else self.video_tokens + video
        known = None if text is None or video is None else text + video
        self.longest = None if known is None or self.longest is None else max(self.longest, known)


@dataclass(frozen=True)
class Shown:
    """One prompt as it would be sent."""

    condition: str
    record_id: str
    text: str
    """By the chat template, or the JSON of the request, where the data of frames is cut short."""


@dataclass
class DryRun:
    """What a run would be."""

    total: int
    """Answers: records times conditions times samples."""
    done: int
    """Of these, in the run folder already."""
    conditions: dict[str, Counts]
    shown: list[Shown] = field(default_factory=list)
    failures: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Reason -> (prompts that would fail for it, the first one's detail)."""
    videos: int = 0
    """Videos that are shown, in full or in part."""
    frames: int = 0
    """Frames to read of them."""
    notes: list[str] = field(default_factory=list)

    def fail(self, condition: str, record: Record, error: BaseException) -> None:
        """Count one prompt that would fail."""
        row = failure_row((record.id, condition, 0), record.video_id, error)
        count, detail = self.failures.get(row["reason"], (0, row["detail"]))
        self.failures[row["reason"]] = count + 1, detail
        self.conditions[condition].failed += 1


Counter = Callable[[Record, Prompt, Size], tuple[int | None, int | None]]
"""(tokens of text, tokens of video) of a prompt with frames of (width, height). Raises InputError where it is too
long."""


def dry_run(
    records: Records,
    conditions: Sequence[Condition],
    model_name: str,
    run_folder: str | Path,
    *,
    videos: str | Path | None = None,
    num_frames: int | None = None,
    answer_style: str = PHRASE,
    predictions: str | Path | None = None,
    sampling: Sampling = GREEDY,
    loading: Loading = DEFAULT_LOADING,
    server: ServerOptions | None = None,
    vllm: VllmOptions | None = None,
    video_check: str = "fail",
) -> DryRun:
    """Write every prompt of a run and count. Arguments as of `cotasks.generate.generate`.

    Raises InputError as `generate` does before it asks.
    """
    # what `generate` would refuse, and the model as far as prompts depend on it
    conditions = [with_defaults(c, num_frames, answer_style) for c in conditions]
    folder = records.video_folder(videos)
    check_work(records, conditions, folder)
    at = videos_of(folder, video_check)
    check_processes(1, 1, conditions, loading, DEFAULT_BATCHING, server, vllm)
    told = open_predictions(predictions, records, conditions)
    model: Model | ServedModel
    if server is not None:
        model = unasked(model_name, server).thinking(sampling.thinking)
        count = _served_counter(model)
    else:
        model = load_without_weights(model_name, loading).thinking(sampling.thinking)
        if vllm is not None and vllm.max_model_len is not None:
            model = replace(model, context_length=vllm.max_model_len)
        if any(c.video for c in conditions):
            check_template(model)
        count = _local_counter(model, longest_output(model, sampling.max_new_tokens))
    work = read_work(Path(run_folder), records, conditions, sampling.num_samples, False, None)
    found = DryRun(len(work.wanted), len(work.done), {c.name: Counts() for c in conditions}, notes=_notes(model))

    # every prompt, video by video
    with progress_bar("videos") as update:
        for number, (_, rows) in enumerate(groupby(records, key=lambda record: record.video_id), 1):
            _count_video(found, list(rows), conditions, model, at, told, count, sampling)
            update("dry run", number, len(work.videos))
    return found


def _count_video(
    found: DryRun,
    records: Sequence[Record],
    conditions: Sequence[Condition],
    model: Model | ServedModel,
    videos: Videos | None,
    told: Predictions | None,
    count: Counter,
    sampling: Sampling,
) -> None:
    """Add the prompts about one video."""
    indices: set[tuple[str, int]] = set()
    for condition in conditions:
        counts = found.conditions[condition.name]
        for record in records:
            try:
                source = shown_size(record, condition, videos)
                shown = shown_frames(record, condition)
                size = frame_size(model.family, *source, num_frames=len(shown), limits=model.limits)
                prompt = build_prompt(record, condition, model.family, size, source, model.count_tokens, told)
                text, video = count(record, prompt, size)
                if counts.prompts < SHOWN:
                    sent = _sent(model, record, condition, prompt, size, videos, told, sampling)
                    found.shown.append(Shown(condition.name, record.id, sent))
            except Exception as error:  # as in a run, one odd record does not stop the others
                stop_at_environment_fault(error, record.id)
                found.fail(condition.name, record, error)
                continue
            counts.add(text, video)
            indices.update((record.video_path, frame.index) for frame in prompt.frames)
    found.videos += len({path for path, _ in indices})
    found.frames += len(indices)


def _notes(model: Model | ServedModel) -> list[str]:
    if isinstance(model, ServedModel):
        notes = [f"{', '.join(model.options.urls)} was not asked: shown {model.media}, as {model.family.name}"]
        if model.options.media is None:
            notes.append("a vLLM server is shown video_url where --server-media says nothing else")
        if model.tokenizer is None:
            notes.append("name the model's tokenizer with --tokenizer to count tokens")
        return notes
    return []


# tokens ---------------------------------------------------------------------------------------------------------------


def _options(model: Model) -> Mapping[str, Any]:
    """What the chat template is told of thinking."""
    return model.thought.options or thinking_off(model.family)


def _local_counter(model: Model, max_new_tokens: int) -> Counter:
    """Counts with the processor. What a video adds is found once for each number and size of frames, on blank ones."""
    processor = model.processor
    added: dict[tuple[int, Size], int] = {}

    def text_tokens(text: str) -> int:
        return len(processor.tokenizer(text, add_special_tokens=adds_special_tokens(processor, text))["input_ids"])

    def count(record: Record, prompt: Prompt, size: Size) -> tuple[int | None, int | None]:
        text = render(processor, prompt.messages, True, _options(model))
        tokens, frames = text_tokens(text), len(prompt.frames)
        place = frames, size
        if frames and place not in added:
            width, height = size
            blank = np.zeros((frames, height, width, 3), np.uint8)
            numbers = [frame.index - prompt.frames[0].index for frame in prompt.frames]
            clip = Clip(blank, numbers, record.fps, numbers[-1] + 1)
            batch = run_processor(processor, model.family, [text], [clip], padding_side="left")
            added[place] = batch["input_ids"].shape[1] - tokens
        video = added[place] if frames else 0
        longest = model.context_length
        if longest is not None and tokens + video + max_new_tokens > longest:
            raise InputError(
                f"{record.id}: prompt of {tokens + video} tokens and an answer of {max_new_tokens}; expected no more "
                f"than the model's {longest}",
                "prompt too long",
            )
        return tokens, video

    return count


def _served_counter(server: ServedModel) -> Counter:
    """Counts text where a tokenizer was named, without what the server's chat template adds; and video where the
    family's frames have tokens by their size."""

    def count(record: Record, prompt: Prompt, size: Size) -> tuple[int | None, int | None]:
        texts = [part["text"] for message in prompt.messages for part in message["content"] if part["type"] == "text"]
        text = sum(map(server.count_tokens, texts)) if server.count_tokens is not None else None
        return text, server.video_tokens(len(prompt.frames), size)

    return count


# prompts as they would be sent ----------------------------------------------------------------------------------------


def _sent(
    model: Model | ServedModel,
    record: Record,
    condition: Condition,
    prompt: Prompt,
    size: Size,
    videos: Videos | None,
    told: Predictions | None,
    sampling: Sampling,
) -> str:
    """A prompt as text: what the chat template makes of it, or the request."""
    if isinstance(model, Model):
        text = render(model.processor, prompt.messages, True, _options(model))
        if not prompt.frames:
            return text
        first, last = prompt.frames[0].seconds, prompt.frames[-1].seconds
        frames = f"{len(prompt.frames)} frames of {size[0]}x{size[1]}, {first:.2f} s to {last:.2f} s of the file"
        return f"{text}\n[{model.processor.video_token}: {frames}]"
    key = (record.id, condition.name, 0)
    folder, check = (videos.folder, videos.check) if videos is not None else (None, "fail")
    item = next(prepare_video([record], [condition], {key}, model, folder, 1, told, check))
    if not isinstance(item, Item):
        raise InputError(item["detail"], item["reason"])
    parts = []
    if item.clip is not None:
        parts = media_parts(model, record, item, encode_frames(item.clip.pixels, model.options.image_format))
    if model.media == "images" and len(prompt.frames) > FRAMES_SHOWN:
        more = f"{len(prompt.frames) - FRAMES_SHOWN} more frames, each with its name before it"
        parts = [*parts[: 2 * FRAMES_SHOWN], {"type": "...", "...": more}]
    request = build_request(model.request(sampling), item, parts, model, sampling)
    return orjson.dumps(_short(request), option=orjson.OPT_INDENT_2).decode()


def _short(value: Any) -> Any:
    """A request with the data of its frames cut short."""
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > DATA_SHOWN:
        return f"{value[:DATA_SHOWN]}... ({len(value)} characters)"
    return value
