"""What one judging by a language model asks and writes: the verdict rows, what is left to ask, and the money.

A row of the verdict file has, beside the columns of `cotasks.judge`:

    repeat              from 0
    rating              on the rubric's scale; null where unscored
    scale               that scale, where it is not 0-5; where it is yes/no, a rating is 1 or 0
    explanation         the judge's own reason
    reply               where there is no rating: what came instead
    failed              true where no completion came, so that asking again may help
    reply_format        what the server was asked to hold the reply to: `schema`, `json` or `none`
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
from typing import TYPE_CHECKING

from cotasks.judge.controls import controls_to_ask
from cotasks.judge.llm.ledger import Ledger, Tokens
from cotasks.judge.llm.pricing import REPLY_TOKENS, Price, dollars, likely_tokens, most_tokens
from cotasks.judge.llm.reading import REPLY_CHARACTERS, UNREAD, Reading, Reply, read_reading
from cotasks.judge.llm.settings import LlmJudge, local_verdict
from cotasks.judge.llm.sight import LIKELY_IMAGE_TOKENS, MOST_IMAGE_TOKENS
from cotasks.judge.rules import EQUAL, verdict_key
from cotasks.judge.scales import DEFAULT_SCALE, Scale
from cotasks.judge.verdicts import Verdict, read_verdicts, verdict_row, with_checksum
from cotasks.runs import folder as runs
from cotasks.runs.folder import Key
from cotasks.runs.run import Row, Run
from cotasks.servers.calls import Trouble
from cotasks.words.answers import clean

if TYPE_CHECKING:
    from cotasks.judge.llm.eyes import Eyes

TOKENS = ("prompt_tokens", "completion_tokens")


@dataclass
class Call:
    """One verdict to ask for."""

    key: str
    request: Row
    repeat: int
    answers: list[Key]
    """Those that it is the verdict on; of a judge that sees, all to one question."""
    images: int = 0
    """Frames that it is shown."""


@dataclass
class Work:
    """One judging: what is to be asked, where verdicts go, and what is spent."""

    folder: Path
    judge: LlmJudge
    file: runs.Appender
    ledger: Ledger
    price: Price | None
    """Of the calls that are to be made."""
    show: Callable[[int, int], None]
    """Takes the verdicts asked for and those to ask for."""
    batch: bool
    eyes: Eyes | None = None
    """Of a judge that sees."""
    jobs: list[Call] = field(default_factory=list)
    done: int = 0
    judged: set[Key] = field(default_factory=set)
    """Answers that got a row."""
    kept: int = 0
    """Answers whose rows were there."""
    equal: int = 0
    """Answers that equal a reference, so that nobody is asked about them."""
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stopped: str = ""

    def spend(self, job: Call, prompt_tokens: int | None, completion_tokens: int | None) -> tuple[int, int]:
        """Count a call; returns its tokens, about those it must have had where the server does not say."""
        prompt = likely_prompt(job) if prompt_tokens is None else prompt_tokens
        completion = REPLY_TOKENS if completion_tokens is None else completion_tokens
        self.calls += 1
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        return prompt, completion

    def most(self, job: Call) -> Tokens:
        """The most tokens that a call can have."""
        return most_tokens(job.request["messages"]) + job.images * MOST_IMAGE_TOKENS, self.judge.max_tokens

    def call(self, hashed: str, request: Row, repeat: int, id_: str) -> Call:
        """What is to be asked about answers to a question."""
        sees = self.judge.sees
        return Call(hashed, request, repeat, [], len(sees.shown.get(id_, ())) if sees else 0)

    def whole(self, job: Call) -> Row:
        """The request as it is sent, with frames where the judge sees. Raises CotasksError where there are none."""
        return job.request if self.eyes is None else self.eyes.show(job.request, job.answers[0][0])

    def settle(self, call: int, job: Call, outcome: Reply | Trouble) -> None:
        """Tell the ledger what came of a call; one without a completion is counted here."""
        if isinstance(outcome, Trouble):
            if outcome.billed:
                self.spend(job, None, 0)
            self.ledger.settle(call, None if outcome.billed else (0, 0))
            return
        told, most = (outcome.prompt_tokens, outcome.completion_tokens), self.most(job)
        used = (most[0] if told[0] is None else told[0], most[1] if told[1] is None else told[1])
        self.ledger.settle(call, None if told == (None, None) else used)

    def write(self, job: Call, reply: Reply) -> None:
        """Count a completion and append the verdict, a row for each answer that it is the verdict on."""
        tokens = self.spend(job, reply.prompt_tokens, reply.completion_tokens)
        self._append(job, reply, tokens)

    def write_failure(self, job: Call, trouble: Trouble) -> None:
        """Append that there is no verdict, and why."""
        self._append(job, Reply(None, None, trouble.reason, text=trouble.detail), (0, 0), failed=True)

    def _append(self, job: Call, reply: Reply, tokens: Tokens, failed: bool = False) -> None:
        verdict = Verdict(None, None, False, reply.reason)
        if reply.rating is not None:
            verdict = _rated(reply.rating, reply.match, self.judge.rubric.scale)
        row: Row = {"repeat": job.repeat, "rating": reply.rating, "explanation": reply.explanation}
        row |= _scale_of(self.judge.rubric.scale)
        row |= {"reply": reply.text} if reply.rating is None else {}
        row |= {"failed": True} if failed else {}
        row |= {"reply_format": self.judge.reply_format, "served_model": reply.served_model}
        row |= {"batch": True} if self.batch else {}
        for number, key in enumerate(job.answers):
            billed = dict(zip(TOKENS, tokens, strict=True)) if number == 0 else dict.fromkeys(TOKENS)
            self.file.append({**verdict_row(job.key, key, verdict), **row, **billed})
        self.judged.update(job.answers)
        self.done += 1
        self.show(self.done, len(self.jobs))


def likely_prompt(job: Call) -> int:
    """About how many tokens go in."""
    return likely_tokens(job.request["messages"]) + job.images * LIKELY_IMAGE_TOKENS


def _rated(rating: int, match: bool | None, scale: Scale) -> Verdict:
    return Verdict(scale.score(rating), match, False, "rated by the judge")


def _scale_of(scale: Scale) -> Row:
    return {} if scale == DEFAULT_SCALE else {"scale": scale.name}


def _read_again(row: Row, scale: Scale) -> Row | None:
    """The row of a reply that could not be read when it came, and can be now; None where there is none."""
    text = row.get("reply")
    if row.get("reason") not in UNREAD or not isinstance(text, str) or len(text) >= REPLY_CHARACTERS:
        return None
    reading = read_reading(text, scale=scale)
    if not isinstance(reading, Reading):
        return None
    verdict = verdict_row(row["key"], runs.key_of(row), _rated(reading.score, reading.match == "yes", scale))
    read = {**row, **verdict, "rating": reading.score, "explanation": reading.reason, **dict.fromkeys(TOKENS)}
    del read["reply"]
    return read


def plan(work: Work, run: Run, path: Path, retry_unscored: bool) -> None:
    """Write the verdicts that need no call, and list in `work.jobs` what to ask for.

    Answers with the same question, references and text, whatever their condition, are one job. The jobs are in the
    order of the run's questions, all conditions of one together, so that a judging cut short compares the same
    questions; further repeats come last. A reply that could not be read when it came is read again.
    """
    scored: dict[tuple[Key, str], bool] = {}
    rows: dict[str, Row] = {}
    unread: dict[tuple[Key, str], Row] = {}
    for key, hashed, verdict, row in read_verdicts(path):
        scored[key, hashed] = verdict.score is not None
        rows[hashed] = row
        unread.pop((key, hashed), None)
        if verdict.score is None:
            unread[key, hashed] = row
    for (key, hashed), row in unread.items():
        if row.get("scale", DEFAULT_SCALE.name) != work.judge.rubric.scale.name:
            continue  # asked under another rubric
        if (read := _read_again(row, work.judge.rubric.scale)) is not None:
            work.file.append(read)
            work.judged.add(key)
            scored[key, hashed], rows[hashed] = True, read
    order = {id_: position for position, id_ in enumerate(run.questions)}
    jobs: dict[str, Call] = {}
    work.kept = work.done = work.equal = 0
    for key in sorted(run.generations, key=lambda key: order.get(key[0], len(order))):
        answer, question = run.generations[key].get("answer"), run.questions.get(key[0])
        local = local_verdict(answer, question)
        complete = True
        if local is not None or question is None or answer is None:
            hashed = verdict_key("exact", answer, question)
            work.equal += local is not None and local.reason == EQUAL
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
                    work.file.append(with_checksum(copied))
                    work.judged.add(key)
                else:
                    jobs.setdefault(hashed, work.call(hashed, request, repeat, key[0])).answers.append(key)
        work.kept += complete
    work.jobs = sorted(jobs.values(), key=lambda job: job.repeat)


def plan_controls(work: Work, run: Run, path: Path, retry_unscored: bool, count: int) -> None:
    """List in `work.jobs` which controls of `count` questions are to be asked, see `judge.controls`."""
    scored = {(key, hashed): verdict.score is not None for key, hashed, verdict, _ in read_verdicts(path)}
    jobs: dict[str, Call] = {}
    work.kept = work.done = work.equal = 0
    for id_, control, text in controls_to_ask(run, count):
        key = id_, control.name, 0
        request = work.judge.request(run.questions[id_], text)
        hashed = work.judge.key(request, run.questions[id_], 0)
        if scored.get((key, hashed), False) or ((key, hashed) in scored and not retry_unscored):
            work.kept += 1
        else:
            jobs.setdefault(hashed, work.call(hashed, request, 0, id_)).answers.append(key)
    work.jobs = list(jobs.values())


def describe_plan(work: Work, run: Run, answers: str = "") -> str:
    """One line: how much there is to ask, about what it costs, and at which price. `answers` says what is judged."""
    prompt = sum(map(likely_prompt, work.jobs))
    completion = len(work.jobs) * REPLY_TOKENS
    price = work.price
    cost = (
        f"about {dollars(price.cost(prompt, completion))} (${price.prompt:g} and ${price.completion:g} for a million)"
        if price
        else "at a price that is not known"
    )
    what = answers or f"{len(run.generations)} answers"
    equal = f"; {work.equal} answers equal a reference: nobody is asked" if work.equal else ""
    return (
        f"{work.judge.name}: {len(work.jobs)} verdicts to ask for ({what}, {work.kept} judged "
        f"before); about {prompt} tokens in, {completion} out, {cost}; {work.ledger.describe()} so far{equal}"
    )


def tokens_before(path: Path) -> list[tuple[Tokens, bool]]:
    """(tokens, whether in batches) that the rows of a verdict file stand for."""
    totals = {False: [0, 0], True: [0, 0]}
    for _, _, _, row in read_verdicts(path):
        total = totals[bool(row.get("batch"))]
        for position, name in enumerate(TOKENS):
            tokens = row.get(name)
            total[position] += tokens if type(tokens) is int and tokens > 0 else 0
    return [((prompt, completion), batch) for batch, (prompt, completion) in totals.items() if prompt or completion]
