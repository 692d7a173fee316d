"""Ask a model in vLLM's engine: prompts are prepared ahead in threads, and the engine always has some to work on.

Prompts go to the engine in tokens, in the order of the videos, so that those about one video, which begin alike, are
there together: its prefix cache holds that beginning. Frames go along as they are, under one name for all prompts that
show them, so that vLLM processes them once.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.generate.ahead import LOOK_SECONDS, Waited, ahead
from cotasks.generate.local.thoughts import answer_fields, longest_output
from cotasks.generate.prepare import Asking, Item, Outcome, failure_row
from cotasks.generate.sampling import Sampling, request_seed
from cotasks.generate.vllm.engine import EngineModel
from cotasks.models.load import Model, first_line
from cotasks.models.tensors import (
    Clip,
    adds_special_tokens,
    check_placeholders,
    collate_for_generation,
    render,
    seen_token,
    thinking_off,
    video_metadata,
)
from cotasks.runs.folder import Key
from cotasks.runs.run import Row

AHEAD = 2
"""The engine is given so many times the prompts that it computes at once, so that it never waits for the next."""
DIED = ("EngineDeadError", "EngineGenerateError")
"""What vLLM raises where its engine has ended."""
_numbers = itertools.count()


@dataclass(kw_only=True)
class EngineAsking(Asking):
    """What is asked of a model in vLLM's engine."""

    model: EngineModel
    video_tokens: dict[tuple[int, ...], int] = field(default_factory=dict)
    """Shape of a clip -> how many tokens transformers makes of what is seen of it."""


@dataclass(frozen=True)
class Prompted:
    """One prompt in tokens, its video a single one."""

    item: Item
    tokens: list[int]
    clip_name: str
    """The same for prompts that show the same `Clip`."""


def outcomes(asking: EngineAsking, videos: Iterator[Sequence[int]], stopped: Callable[[], bool]) -> Iterator[Outcome]:
    """Answers and failures as they come; every pending key of the videos is in one of them, once.

    Where `stopped` says yes, this ends when the prompts that the engine has are answered.

    Raises InputError where the engine has died, or makes other tokens of a prompt than transformers.
    """
    most = AHEAD * asking.model.batching.batch_size
    feed = _Feed(asking, videos, stopped)
    waiting: deque[Prompted] = deque()
    under_way: dict[str, Prompted] = {}
    try:
        while True:
            # the engine gets what is ready; only where it has nothing to do is there time to wait
            while len(under_way) < most and not stopped():
                if not waiting:
                    ready = feed.take(wait=not under_way)
                    if ready is None:
                        break
                    failures = [row for row in ready if isinstance(row, dict)]
                    if failures:
                        yield [], failures
                    waiting.extend(one for one in ready if isinstance(one, Prompted))
                    continue
                prompted = waiting.popleft()
                try:
                    under_way[_add(asking, prompted)] = prompted
                except Exception as error:  # one odd prompt must not stop the others
                    stop_at_environment_fault(error, prompted.item.key[0])
                    _stop_where_it_died(error)
                    yield [], [failure_row(prompted.item.key, prompted.item.video_id, _named(error, prompted))]
            if not under_way:
                return
            # what the engine has finished
            answers: list[Row] = []
            failed: list[Row] = []
            for output in asking.model.llm.llm_engine.step():
                if not output.finished:
                    continue
                prompted = under_way.pop(_number(output.request_id))
                row = _read(asking, prompted, output)
                (failed if "reason" in row else answers).append(row)
            if answers or failed:
                yield answers, failed
    except Exception as error:
        if stopped() and type(error).__name__ in DIED:
            return  # the signal that stopped us has ended the engine too; what it had is asked another time
        _stop_where_it_died(error)
        raise
    finally:
        feed.close()


class _Feed:
    """Prompts of one video after the other, prepared in threads."""

    def __init__(self, asking: EngineAsking, videos: Iterator[Sequence[int]], stopped: Callable[[], bool]) -> None:
        self._asking, self._stopped, self._closed = asking, stopped, False
        self._queue: queue.Queue[list[Prompted | Row] | BaseException | None] = queue.Queue(maxsize=1)
        self._ended = False
        threading.Thread(target=self._work, args=(videos,), daemon=True).start()

    def take(self, wait: bool) -> list[Prompted | Row] | None:
        """Of the next video; None where there is none left, or none yet and this is not to wait.

        Raises what failed in preparing it.
        """
        start = time.monotonic()
        while not self._ended:
            try:
                ready = self._queue.get(block=wait, timeout=LOOK_SECONDS if wait else None)
            except queue.Empty:
                if not wait or self._stopped():
                    return None
                continue
            finally:
                if wait:
                    self._asking.waited.seconds += time.monotonic() - start
                    start = time.monotonic()
            if isinstance(ready, BaseException):
                raise ready
            self._ended = ready is None
            return ready
        return None

    def close(self) -> None:
        """Prepare no more."""
        self._closed = True

    def _work(self, videos: Iterator[Sequence[int]]) -> None:
        asking = self._asking

        def begin() -> Callable[[Sequence[int]], list[Prompted | Row]]:
            # tokenizers cannot be shared between threads
            described = asking.model.described
            model = dataclasses.replace(described, processor=copy.deepcopy(described.processor))
            return lambda positions: _prepare(asking, model, positions)

        def done() -> bool:
            return self._closed or self._stopped()

        try:
            for ready in ahead(
                begin, videos, workers=asking.workers, depth=asking.workers + 1, waited=Waited(), stopped=done
            ):
                self._put(ready)
        except BaseException as error:
            self._put(error)
        self._put(None)

    def _put(self, ready: list[Prompted | Row] | BaseException | None) -> None:
        while not self._closed:
            try:
                self._queue.put(ready, timeout=LOOK_SECONDS)
                return
            except queue.Full:
                continue


def _prepare(asking: EngineAsking, model: Model, positions: Sequence[int]) -> list[Prompted | Row]:
    """Prompts of one video, given as positions in the records, and failure rows: one or the other for each key."""
    options = model.thought.options or thinking_off(model.family)
    names: dict[int, str] = {}
    rows: list[Prompted | Row] = []
    for item in list(asking.prepare(positions, model)):  # held together, as names go by the identity of a clip
        if not isinstance(item, Item):
            rows.append(item)
            continue
        try:
            text = render(model.processor, item.prompt.messages, True, options)
            check_placeholders(model.processor, item.key[0], text, item.clip)
            special = adds_special_tokens(model.processor, text)
            tokens: list[int] = model.processor.tokenizer(text, add_special_tokens=special)["input_ids"]
        except Exception as error:  # one odd prompt must not stop the others
            stop_at_environment_fault(error, item.key[0])
            rows.append(failure_row(item.key, item.video_id, error))
        else:
            if id(item.clip) not in names:
                names[id(item.clip)] = f"clip {next(_numbers)}"
            rows.append(Prompted(item, tokens, names[id(item.clip)]))
    return rows


def engine_prompt(prompted: Prompted) -> dict[str, Any]:
    """What vLLM is given: a `TokensPrompt`."""
    clip = prompted.item.clip
    prompt: dict[str, Any] = {"prompt_token_ids": prompted.tokens}
    if clip is not None:
        prompt["multi_modal_data"] = {"video": [(clip.pixels, {**video_metadata(clip), "do_sample_frames": False})]}
        prompt["multi_modal_uuids"] = {"video": [prompted.clip_name]}
        prompt["mm_processor_kwargs"] = {"do_sample_frames": False, "do_resize": False}
    return prompt


def sampling_fields(model: Model, sampling: Sampling, key: Key) -> dict[str, Any]:
    """The arguments of `vllm.SamplingParams` for one answer."""
    fields: dict[str, Any] = {
        "temperature": sampling.temperature,
        "max_tokens": longest_output(model, sampling.max_new_tokens),
        "stop_token_ids": list(model.end_tokens),
        "detokenize": False,
    }
    if sampling.temperature:
        drawn = {"top_p": sampling.top_p, "top_k": sampling.top_k, "seed": request_seed(sampling.seed, key)}
        fields |= drawn
    if isinstance(model.thought.mode, int):
        fields["thinking_token_budget"] = model.thought.mode + _begun(model)
    return fields


def _begun(model: Model) -> int:
    """Tokens that a prompt holds behind the tag that opens a thought: vLLM counts them as thought."""
    thought = model.thought
    if not thought.opened or thought.tags is None:
        return 0
    question = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    text = render(model.processor, question, True, thought.options)
    behind = text[text.rfind(thought.tags.opens) + len(thought.tags.opens) :]
    return model.count_tokens(behind)


def _add(asking: EngineAsking, prompted: Prompted) -> str:
    """Give the engine a prompt; the number that it has there."""
    from vllm import SamplingParams

    model = asking.model
    _check_length(asking, prompted, len(prompted.tokens))  # with the video it may be longer: vLLM then says so
    params = SamplingParams(**sampling_fields(model.described, asking.sampling, prompted.item.key))
    (name,) = model.llm.enqueue(engine_prompt(prompted), params, use_tqdm=False)
    return _number(name)


def _number(name: str) -> str:
    """vLLM adds a random end to the number of a request."""
    return name.partition("-")[0]


def _check_length(asking: EngineAsking, prompted: Prompted, tokens: int) -> None:
    answer = longest_output(asking.model.described, asking.sampling.max_new_tokens)
    if tokens + answer > asking.model.longest:
        raise InputError(
            f"{prompted.item.key[0]}: prompt of {tokens} tokens and an answer of {answer}; expected no more than the "
            f"{asking.model.longest} of --max-model-len",
            "prompt too long",
        )


def _named(error: Exception, prompted: Prompted) -> Exception:
    """What vLLM says of a prompt that is too long, under the reason that it has elsewhere."""
    if not isinstance(error, InputError) and "maximum model length" in str(error):
        return InputError(f"{prompted.item.key[0]}: {first_line(error)}", "prompt too long")
    return error


def _stop_where_it_died(error: Exception) -> None:
    if type(error).__name__ in DIED:
        raise InputError(f"vLLM's engine has ended: {first_line(error)}; the same command goes on") from error


def _read(asking: EngineAsking, prompted: Prompted, output: Any) -> Row:
    """The line of the generations file, or of the failures file where the answer had no room to be complete."""
    model, item = asking.model, prompted.item
    if item.clip is not None and model.options.check_frames:
        _check_tokens(asking, item, item.clip, output.prompt_token_ids)
    said = output.outputs[0]
    if said.finish_reason not in ("stop", "length"):
        reason = f"vLLM ended the answer: {said.finish_reason}"
        return failure_row(item.key, item.video_id, InputError(f"{item.key[0]}: {reason}", reason))
    try:
        _check_length(asking, prompted, len(output.prompt_token_ids))
    except InputError as error:
        return failure_row(item.key, item.video_id, error)
    fields = answer_fields(model.described, list(said.token_ids), asking.sampling.max_new_tokens, False)
    mode = model.described.thought.mode
    if isinstance(mode, int) and fields.get("thought_tokens", 0) >= mode:
        fields["thinking_cut_off"] = True
    record_id, condition, sample = item.key
    return {
        "id": record_id,
        "condition": condition,
        "sample": sample,
        "answer": fields.pop("answer"),
        "prompt_tokens": len(output.prompt_token_ids),
        **fields,
        "cut_items": item.prompt.cut_items,
        "video_id": item.video_id,
    }


def _check_tokens(asking: EngineAsking, item: Item, clip: Clip, found: Sequence[int]) -> None:
    """Hold vLLM's tokens of a prompt against those of transformers: all of them for the first clip of each shape, and
    for others how many stand for the video.

    Raises InputError where they differ: frames were dropped, resized or told at other times.
    """
    model = asking.model.described
    seen, shape = seen_token(model.processor, model.family), clip.pixels.shape
    record_id, condition, _ = item.key
    trouble = f"{record_id} under {condition}: vLLM makes other tokens of the prompt than transformers"
    hint = "frames would not arrive as shown; use --backend transformers, or --no-check-frames to prune on purpose"
    if shape not in asking.video_tokens:
        options: Mapping[str, Any] = model.thought.options or thinking_off(model.family)
        batch = collate_for_generation(model.processor, model.family, [item.prompt], [clip], options)
        expected: list[int] = batch["input_ids"][0].tolist()
        if expected != list(found):
            pairs = enumerate(itertools.zip_longest(found, expected))
            place = next(i for i, (one, other) in pairs if one != other)
            raise InputError(f"{trouble}, {len(found)} and {len(expected)}, the first at {place}: {hint}")
        asking.video_tokens[shape] = expected.count(seen)
    if list(found).count(seen) != asking.video_tokens[shape]:
        count = list(found).count(seen)
        raise InputError(f"{trouble}, {count} and {asking.video_tokens[shape]} of its video: {hint}")
