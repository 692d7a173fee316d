"""What one judging by a language model asks and writes: the verdict rows, what is left to ask, and the money.

A row of the verdict file has, beside the columns of `cotasks.judge`:

    repeat              from 0
    rating              0 to 5; null where unscored
    explanation         the judge's own reason
    reply               where there is no rating: what came instead
    served_model        the model as the server names it
    batch               true where the Batch API was used
    prompt_tokens, completion_tokens
                        as the server counts them, or about so many where it does not; null in all but one of the rows
                        that one call served
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cotasks.judge.llm.pricing import REPLY_TOKENS, Budget, dollars, find_price, likely_tokens, most_tokens
from cotasks.judge.llm.reading import Reply
from cotasks.judge.llm.rubric import HIGHEST_RATING
from cotasks.judge.llm.settings import LlmJudge, local_verdict
from cotasks.judge.rules import verdict_key
from cotasks.judge.verdicts import Verdict, read_verdicts, verdict_row
from cotasks.runs import folder as runs
from cotasks.runs.folder import Key
from cotasks.runs.run import Row, Run
from cotasks.servers.calls import Trouble
from cotasks.words.answers import clean

TOKENS = ("prompt_tokens", "completion_tokens")


@dataclass
class Job:
    """One verdict to ask for."""

    key: str
    request: Row
    repeat: int
    answers: list[Key]
    """Those that it is the verdict on."""


@dataclass
class Work:
    """One judging: what is to be asked, where verdicts go, and what is spent."""

    folder: Path
    judge: LlmJudge
    file: runs.Appender
    budget: Budget
    show: Callable[[int, int], None]
    """Takes the verdicts asked for and those to ask for."""
    batch: bool
    jobs: list[Job] = field(default_factory=list)
    done: int = 0
    judged: set[Key] = field(default_factory=set)
    """Answers that got a row."""
    kept: int = 0
    """Answers whose rows were there."""
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stopped: str = ""

    def spend(self, job: Job, prompt_tokens: int | None, completion_tokens: int | None) -> tuple[int, int]:
        """Count a call; returns its tokens, about those it must have had where the server does not say."""
        prompt = likely_tokens(job.request["messages"]) if prompt_tokens is None else prompt_tokens
        completion = REPLY_TOKENS if completion_tokens is None else completion_tokens
        self.calls += 1
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.budget.spent += self.budget.cost(prompt, completion)
        return prompt, completion

    def most(self, job: Job) -> float:
        """US dollars that a call can cost at most."""
        return self.budget.cost(most_tokens(job.request["messages"]), self.judge.max_tokens)

    def write(self, job: Job, reply: Reply) -> None:
        """Count a completion and append the verdict, a row for each answer that it is the verdict on."""
        tokens = self.spend(job, reply.prompt_tokens, reply.completion_tokens)
        self._append(job, reply, tokens)

    def write_failure(self, job: Job, trouble: Trouble) -> None:
        """Append that there is no verdict, and why."""
        self._append(job, Reply(None, None, trouble.reason, text=trouble.detail), (0, 0))

    def _append(self, job: Job, reply: Reply, tokens: tuple[int, int]) -> None:
        verdict = Verdict(None, None, False, reply.reason)
        if reply.rating is not None:
            verdict = Verdict(100.0 * reply.rating / HIGHEST_RATING, reply.match, False, "rated by the judge")
        row: Row = {"repeat": job.repeat, "rating": reply.rating, "explanation": reply.explanation}
        row |= {"reply": reply.text} if reply.rating is None else {}
        row |= {"served_model": reply.served_model}
        row |= {"batch": True} if self.batch else {}
        for number, key in enumerate(job.answers):
            billed = dict(zip(TOKENS, tokens, strict=True)) if number == 0 else dict.fromkeys(TOKENS)
            self.file.append({**verdict_row(job.key, key, verdict), **row, **billed})
        self.judged.update(job.answers)
        self.done += 1
        self.show(self.done, len(self.jobs))


def plan(work: Work, run: Run, path: Path, retry_unscored: bool) -> None:
    """Write the verdicts that need no call, and list in `work.jobs` what to ask for.

    Answers with the same question, references and text, whatever their condition, are one job. The jobs are in the
    order of the run's questions, all conditions of one together, so that a judging cut short compares the same
    questions; further repeats come last.
    """
    scored: dict[tuple[Key, str], bool] = {}
    rows: dict[str, Row] = {}
    for key, hashed, verdict, row in read_verdicts(path):
        scored[key, hashed] = verdict.score is not None
        rows[hashed] = row
    order = {id_: position for position, id_ in enumerate(run.questions)}
    jobs: dict[str, Job] = {}
    work.kept = work.done = 0
    work.budget.reserved = 0.0
    for key in sorted(run.generations, key=lambda key: order.get(key[0], len(order))):
        answer, question = run.generations[key].get("answer"), run.questions.get(key[0])
        local = local_verdict(answer, question)
        complete = True
        if local is not None or question is None or answer is None:
            hashed = verdict_key("exact", answer, question)
            if local is not None and (key, hashed) not in scored:
                complete = False
                work.file.append(verdict_row(hashed, key, local))
                work.judged.add(key)
        else:
            request = work.judge.request(question, clean(answer))
            for repeat in range(work.judge.repeats):
                hashed = work.judge.key(request, question, repeat)
                if scored.get((key, hashed), False) or ((key, hashed) in scored and not retry_unscored):
                    continue
                complete = False
                known = rows.get(hashed)
                if known is not None and (known["score"] is not None or not retry_unscored):
                    id_, condition, sample = key
                    copied = {**known, "id": id_, "condition": condition, "sample": sample, **dict.fromkeys(TOKENS)}
                    work.file.append(copied)
                    work.judged.add(key)
                else:
                    jobs.setdefault(hashed, Job(hashed, request, repeat, [])).answers.append(key)
        work.kept += complete
    work.jobs = sorted(jobs.values(), key=lambda job: job.repeat)


def describe_plan(work: Work, run: Run) -> str:
    """One line: how much there is to ask, about what it costs, and at which price."""
    prompt = sum(likely_tokens(job.request["messages"]) for job in work.jobs)
    completion = len(work.jobs) * REPLY_TOKENS
    price = work.budget.price
    cost = (
        f"about {dollars(price.cost(prompt, completion))} (${price.prompt:g} and ${price.completion:g} for a million)"
        if price
        else "at a price that is not known"
    )
    return (
        f"{work.judge.name}: {len(work.jobs)} verdicts to ask for ({len(run.generations)} answers, {work.kept} judged "
        f"before); about {prompt} tokens in, {completion} out, {cost}; {dollars(work.budget.spent)} spent so far"
    )


def spent_before(path: Path, judge: LlmJudge, price_given: tuple[float, float] | None) -> float:
    """US dollars that the rows of a verdict file stand for, at today's price."""
    spent = 0.0
    for _, _, _, row in read_verdicts(path):
        price = find_price(judge.model, judge.base_url, price_given, bool(row.get("batch")))
        spent += price.cost(*(row.get(name) or 0 for name in TOKENS)) if price else 0.0
    return spent
