"""A module with the face of vLLM that computes with transformers, for the loop around an engine."""

from __future__ import annotations

import sys
from collections import deque
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from cotasks.models.load import Loading, Model, load_model

AT_ONCE = 3
"""Prompts that a step finishes."""


class EngineDeadError(Exception):
    """As vLLM names it."""


class SamplingParams:
    """The fields that are given."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


@cache
def _loaded(name: str) -> Model:
    return load_model(name, Loading(dtype="float32", device="cpu"))


class LLM:
    """Answers in the reverse order of its prompts, a few a step."""

    started: ClassVar[list[LLM]] = []
    """All that were started."""
    dies_after = 10**9
    """Answers before the engine dies."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.asked: list[dict[str, Any]] = []
        self._plain = _loaded(arguments["model"])
        self._queue: deque[tuple[str, list[int], Any, SamplingParams]] = deque()
        self._answered = 0
        longest = arguments["max_model_len"] or self._plain.context_length
        self.llm_engine = SimpleNamespace(
            model_config=SimpleNamespace(dtype="torch.float32", max_model_len=longest), step=self._step
        )
        LLM.started.append(self)

    def enqueue(self, prompt: dict[str, Any], params: SamplingParams, use_tqdm: bool) -> list[str]:
        self.asked.append(prompt)
        tokens, batch = prompt["prompt_token_ids"], None
        if "multi_modal_data" in prompt:
            ((frames, told),) = prompt["multi_modal_data"]["video"]
            options = dict(prompt["mm_processor_kwargs"])
            told = {name: value for name, value in told.items() if name != "do_sample_frames"}
            text = self._plain.processor.tokenizer.decode(tokens)
            batch = self._plain.processor(
                text=[text], videos=[self.frames(frames)], video_metadata=[told], return_tensors="pt", **options
            )
            tokens = batch["input_ids"][0].tolist()
        if len(tokens) >= self.llm_engine.model_config.max_model_len:
            raise ValueError(f"The prompt (length {len(tokens)}) is longer than the maximum model length of 5.")
        name = str(len(self.asked) - 1)
        self._queue.append((name, tokens, batch, params))
        return [f"{name}-1a2b3c4d"]

    def frames(self, frames: Any) -> Any:
        """What the engine sees of a video."""
        return frames

    def _step(self) -> list[Any]:
        import torch

        done = []
        for _ in range(min(AT_ONCE, len(self._queue))):
            name, tokens, batch, params = self._queue.pop()
            if self._answered >= self.dies_after:
                raise EngineDeadError("EngineCore encountered an issue.")
            self._answered += 1
            with torch.inference_mode():
                output = self._plain.model.generate(
                    **(batch if batch is not None else {"input_ids": torch.tensor([tokens])}),
                    generation_config=self._plain.generation_config(params.max_tokens),  # type: ignore[attr-defined]
                )
            said = output[0, len(tokens) :].tolist()
            ended = bool(said) and said[-1] in self._plain.end_tokens
            answer = SimpleNamespace(token_ids=said, finish_reason="stop" if ended else "length")
            done.append(SimpleNamespace(request_id=name, finished=True, prompt_token_ids=tokens, outputs=[answer]))
        return done


def install(monkeypatch: pytest.MonkeyPatch, engine: type[LLM] = LLM) -> None:
    """Let `import vllm` find this one."""
    module, platforms = ModuleType("vllm"), ModuleType("vllm.platforms")
    module.__spec__ = ModuleSpec("vllm", None)
    module.LLM, module.SamplingParams, module.__version__ = engine, SamplingParams, "0"  # type: ignore[attr-defined]
    platforms.current_platform = SimpleNamespace(is_cpu=lambda: True)  # type: ignore[attr-defined]
    monkeypatch.setattr(LLM, "started", [])
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
