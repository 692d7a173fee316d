"""Ask the model that is loaded in this process: prompts are prepared ahead in threads while it works."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakSet

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.generate.ahead import ahead
from cotasks.generate.local.batching import Capacity, Window
from cotasks.generate.local.encode import Encoded, Encoder, Video
from cotasks.generate.local.thoughts import EndThoughts, answer_fields, longest_output
from cotasks.generate.local.vision import Reuse, model_inputs
from cotasks.generate.prepare import Asking, Item, Outcome, failure_row
from cotasks.models.load import Model
from cotasks.runs.run import Row


@dataclass(kw_only=True)
class LocalAsking(Asking):
    """What is asked of a model in this process, and how."""

    model: Model
    capacity: Capacity
    reuse: Reuse
    shown: WeakSet[Video] = field(default_factory=WeakSet)
    """Videos that some waiting prompt shows."""


def outcomes(asking: LocalAsking, videos: Iterator[Sequence[int]], stopped: Callable[[], bool]) -> Iterator[Outcome]:
    """Answers and failures as they come; every pending key of the videos is in one of them, once.

    Args:
        asking: see there.
        videos: positions in the records of those about one video; taken as there is room.
        stopped: where it says yes, this ends after the batch in hand.
    """
    window = Window(asking.model, asking.capacity, asking.reuse)

    def begin() -> Callable[[Sequence[int]], list[Encoded | Row]]:
        encoder = Encoder(asking.model, longest_output(asking.model, asking.sampling.max_new_tokens))
        return lambda positions: _prepare(asking, encoder, positions)

    prepared = ahead(
        begin,
        videos,
        workers=asking.workers,
        depth=asking.workers + 1,
        waited=asking.waited,
        stopped=stopped,
    )
    for rows in prepared:
        failures = [row for row in rows if isinstance(row, dict)]
        if failures:
            yield [], failures
        encoded = [row for row in rows if isinstance(row, Encoded)]
        asking.shown.update(row.video for row in encoded if row.video is not None)
        window.add(encoded)
        del rows, encoded
        for batch in window.batches():
            yield _run(asking, batch)
            if stopped():
                return
    for batch in window.batches(last=True):
        if stopped():
            return
        yield _run(asking, batch)


def _prepare(asking: LocalAsking, encoder: Encoder, positions: Sequence[int]) -> list[Encoded | Row]:
    """Prompts of one video, given as positions in the records, and failure rows: one or the other for each key."""
    items: list[Item] = []
    rows: list[Row] = []
    for ready in asking.prepare(positions, encoder.model):
        if isinstance(ready, Item):
            items.append(ready)
        else:
            rows.append(ready)
    return [*rows, *encoder.encode(items)]


def _run(asking: LocalAsking, rows: Sequence[Encoded], again: bool = False) -> Outcome:
    """What comes of a batch.

    One that runs out of memory is halved, and the capacity with it; a single prompt is asked `again`, now that what was
    kept of other videos is gone. One that fails otherwise is asked row by row, and what fails alone becomes a failure.
    """
    out_of_memory = False
    failure: Exception
    try:
        return _answer(asking, rows), []
    except Exception as error:
        stop_at_environment_fault(error)
        out_of_memory = is_out_of_memory(error)
        if "CUDA error" in str(error) and not out_of_memory:
            raise  # the device is lost to this process: all that follows would fail too
        failure = InputError(f"{rows[0].item.key[0]}: {error}", "out of memory") if out_of_memory else error
    if out_of_memory:  # out here, where the traceback no longer holds the tensors
        asking.capacity.halve(rows, asking.reuse)
        _release(asking.shown)
        if len(rows) == 1 and not again:
            return _run(asking, rows, again=True)
    if len(rows) == 1:
        return [], [failure_row(rows[0].item.key, rows[0].item.video_id, failure)]
    half = (len(rows) + 1) // 2
    parts = [rows[:half], rows[half:]] if out_of_memory else [[row] for row in rows]
    results = [_run(asking, part) for part in parts]
    return [row for answers, _ in results for row in answers], [row for _, failed in results for row in failed]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch found no memory on its device."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


def _release(videos: Iterable[Video]) -> None:
    """Let go of what can be worked out again."""
    import torch

    for video in videos:
        video.features = None
        video.prefixes.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _answer(asking: LocalAsking, rows: Sequence[Encoded]) -> list[Row]:
    """The answers of one batch."""
    import torch
    from transformers import LogitsProcessorList

    # tokens (rows, columns): what was given, padded on the left, then the answers, padded on the right
    model, sampling = asking.model, asking.sampling
    longest = longest_output(model, sampling.max_new_tokens)
    limit: EndThoughts | None = None
    with torch.inference_mode():
        inputs, width = model_inputs(model, rows, asking.reuse)
        processors = sampling.logits_processors([row.item.key for row in rows], longest)
        if model.thought.longest:
            limit = EndThoughts(model, len(rows), width, sampling.max_new_tokens)
            processors.append(limit)
        output = model.model.generate(
            **inputs,
            generation_config=model.generation_config(longest),
            logits_processor=LogitsProcessorList(processors),
        )
    answers = []
    for number, (row, tokens) in enumerate(zip(rows, output[:, width:].tolist(), strict=True)):
        said = answer_fields(model, tokens, sampling.max_new_tokens, limit is not None and limit.cut_off[number])
        record_id, condition, sample = row.item.key
        answers.append(
            {
                "id": record_id,
                "condition": condition,
                "sample": sample,
                "answer": said.pop("answer"),
                "prompt_tokens": row.tokens,
                **said,
                "cut_items": row.item.prompt.cut_items,
                "video_id": row.item.video_id,
            }
        )
    return answers
