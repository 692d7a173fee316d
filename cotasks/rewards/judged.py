"""Answers judged by a language model, for rewards: each is asked about once, whatever becomes of the training."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cotasks.judge.llm.reading import Reply, read_completion
from cotasks.judge.llm.rubric import load_rubric
from cotasks.judge.llm.settings import FORMATS, llm_judge, local_verdict
from cotasks.runs.folder import Appender
from cotasks.servers.address import api_key
from cotasks.servers.calls import SchemaRefused, Trouble
from cotasks.servers.pool import Pool
from cotasks.tools.files import read_jsonl
from cotasks.words.answers import clean


class JudgedAnswers:
    """An `AnswerJudge` that asks a model as `cotasks judge --judge openai:MODEL` does, with a file of what it said.

    What rules decide (options, an equal answer, a refusal) is asked of nobody. May be called from several threads at
    once; a file belongs to one process.

    Args:
        model: `openai:MODEL`.
        cache: a `.jsonl` file, {key, rating} a line, which is made where it is missing; the key is of all that is sent.
        rubric: as of `cotasks judge`.
        timeout: seconds that a call may take.
        settings: further arguments of `cotasks.judge.llm.settings.llm_judge`, such as `base_url`.

    Raises InputError as `llm_judge` does, and where the key for the server is missing.
    """

    def __init__(
        self,
        model: str,
        cache: str | Path,
        rubric: Path | str | None = None,
        timeout: float = 120.0,
        **settings: Any,
    ) -> None:
        self.judge = llm_judge(model, load_rubric(rubric), **settings)
        self._secret, self._timeout = api_key(self.judge.base_url), timeout
        self._lock = threading.Lock()
        path = Path(cache)
        self._file = Appender(path)
        self._ratings: dict[str, int] = {row["key"]: row["rating"] for row in read_jsonl(path)}

    def __call__(self, question: Mapping[str, Any], said: str) -> float | None:
        """0 to 1 by the rubric's scale; None where the model gave no verdict, so that asking again may help.

        Raises Fatal, an InputError, where the server refuses to be asked at all.
        """
        decided = local_verdict(said, question)
        if decided is not None:
            return None if decided.score is None else decided.score / 100
        request = self.judge.request(question, clean(said))
        key = self.judge.key(request, question, 0)
        with self._lock:
            rating = self._ratings.get(key)
        if rating is None:
            reply = self._ask(question, said)
            if not isinstance(reply, Reply) or reply.rating is None:
                return None
            rating = reply.rating
            if self.judge.rubric.scale.contradicts(reply.match, rating):
                return None
            with self._lock:
                self._ratings[key] = rating
                self._file.append({"key": key, "rating": rating})
        return self.judge.rubric.scale.score(rating) / 100

    def _ask(self, question: Mapping[str, Any], said: str) -> Reply | Trouble:
        """One call, in the strictest reply format that the server knows."""
        while True:
            judge = self.judge
            try:
                return asyncio.run(self._call(judge.request(question, clean(said))))
            except SchemaRefused:
                less = FORMATS[FORMATS.index(judge.reply_format) + 1]
                self.judge = replace(judge, reply_format=less)

    async def _call(self, request: Mapping[str, Any]) -> Reply | Trouble:
        read = partial(read_completion, scale=self.judge.rubric.scale)
        async with Pool([self.judge.base_url], self._secret, 1, self._timeout, read) as pool:
            outcome, _ = await pool.ask(request)
            return outcome
