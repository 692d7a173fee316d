"""Verdicts on the answers of a run.

A verdict is a score from 0 to 100, or none where the measurement failed (`unscored`). An answer that is
empty, refuses or cannot be read is still an answer: it scores 0 and is flagged `unreadable`.

    verdicts/<judge>.jsonl   {key, id, condition, sample, score, correct, unreadable, reason, check}, append-only;
                             `choice_by` too where a language model was asked which option an answer names, see
                             `judge.options`

    controls/<judge>.jsonl   the same of answers whose verdict is known, see `judge.controls`

`key` is a hash of all that could change the verdict. A row counts as long as its key is the one that the
answer has now; a changed answer, reference or rule is judged again, and nothing is judged twice. `check` is a checksum
of the row.

The judges of `RULES` are rules and need nothing; `openai:MODEL` is a language model, see `cotasks.judge.llm.settings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cotasks.errors import InputError, MissingExtra
from cotasks.judge.judges import JudgeCounts, count, judge_named, verdict_path
from cotasks.judge.options import Readings, read_readings, reader_path
from cotasks.judge.rules import RULES, judge_answer, verdict_key
from cotasks.judge.verdicts import read_verdicts, verdict_row
from cotasks.runs import folder as runs
from cotasks.runs.run import Run, run_with_answers
from cotasks.servers.address import named_urls

if TYPE_CHECKING:
    from cotasks.judge.llm.loop import ControlCounts


def judge_run(
    folder: Path,
    judge: str = "exact",
    *,
    base_url: str | Sequence[str] | None = None,
    rubric: Path | str | None = None,
    temperature: float | None = 0.0,
    max_tokens: int = 1024,
    structured: bool | None = None,
    repeats: int = 1,
    concurrency: int = 32,
    timeout: float = 120.0,
    price: tuple[float, float] | None = None,
    max_cost: float | None = None,
    batch: bool = False,
    retry_unscored: bool = False,
    progress: bool = True,
    choices_by: str | None = None,
    sees: str | None = None,
    dataset: str | None = None,
    videos: Path | None = None,
    video_check: str | None = None,
) -> JudgeCounts:
    """Judge all answers of a run that have no verdict yet; appends to `verdicts/<judge>.jsonl`.

    May be killed and called again: what is on disk is not judged again. A row is written for every answer,
    scored or not; what was not generated gets none. SIGINT and SIGTERM end a model's judging after the calls under way,
    whose verdicts are written, with KeyboardInterrupt; a second one at once.

    Args:
        folder: Run folder.
        judge: A key of `RULES`, or `openai:MODEL`, a model behind an OpenAI-compatible server. The rest is for models
            only.
        base_url: Of the server, or of several with the same model; by default the environment's OPENAI_BASE_URL, else
            OpenAI's. The key is OPENAI_API_KEY.
        rubric: File to use in place of `answer-match`, or the name of another that comes with the package, see
            `cotasks.judge.llm.rubric`; its name becomes part of the judge's: `openai:MODEL#NAME`.
        temperature: Of the judge's sampling; None leaves it to the server.
        max_tokens: Longest reply; a model that reasons needs thousands.
        structured: Whether the server is to hold replies to a JSON schema; by default it is asked to, if it refuses to
            its JSON mode, and if it has none, to nothing.
        repeats: How often each answer is judged; its score is the mean.
        concurrency: Most calls at once, of each server; fewer while it says that they are too many.
        timeout: Seconds after which a call without a response is a sign of crowding: fewer are made at once. It is
            given up where the server has then been silent for long, see `servers.gate.Patience`.
        price: US dollars for a million tokens in and out; by default OpenAI's list price where it is known.
        max_cost: US dollars that are not exceeded by this and all earlier calls of this function, see
            `cotasks.judge.llm.ledger`.
        batch: Use OpenAI's Batch API: half the price, within 24 hours.
        retry_unscored: Ask again where an earlier call ended without a score.
        choices_by: `openai:MODEL`: a model that reads the options of multiple choice which the rules cannot read, with
            base_url, temperature, max_tokens, concurrency and timeout as above; "rules": no model any longer; by
            default as the run's last call said. For judges of `RULES`.
        sees: "frames": the model is shown frames of each record's evidence too, see `cotasks.judge.llm.sight`; its name
            becomes `openai:MODEL#@frames`.
        dataset: The records, for `sees`; by default those that `run.json` names.
        videos: The folder of their videos; by default the one that `run.json` names, or the sample's own.
        video_check: What is done about a video that is not the annotated one, of `cotasks.video.check.MODES`; by
            default as the run did.
        progress: Show estimate, progress and cost of a model's judging on standard error.

    Raises InputError where the judge is unknown, the folder no run folder or without any answer, a file of it
    damaged, another process is judging it, an argument out of range, WordNet missing where the rule needs it, or the
    server lets nothing be asked.
    """
    path = verdict_path(folder, judge)
    if not judge_named(judge).is_rule:
        if find_spec("openai") is None:
            raise MissingExtra("openai", "judge")
        if choices_by:
            raise InputError(f"choices_by with judge {judge}; expected a rule beside it: {', '.join(RULES)}")
        from cotasks.judge.llm import loop

        settings = {"base_url": base_url, "temperature": temperature, "max_tokens": max_tokens, "repeats": repeats}
        limits = loop.Calling(concurrency, timeout, price, max_cost, batch, retry_unscored, progress)
        shows = loop.Shows(sees, dataset, videos, video_check) if sees is not None else None
        return loop.judge_by_model(folder, judge, rubric, structured, settings, limits, shows)
    asks = choices_by not in (None, "rules")
    extra = {
        "base_url": None if asks else base_url,
        "rubric": rubric,
        "price": price,
        "max_cost": max_cost,
        "batch": batch,
        "sees": sees,
    }
    for name, value in {**extra, "repeats": repeats > 1, "retry_unscored": retry_unscored}.items():
        if value:
            raise InputError(f"{name} with judge {judge}, which is a rule; expected openai:MODEL beside it")
    run = run_with_answers(folder)
    RULES[judge].prepare()
    judged = kept = 0
    with runs.locked(folder, "judge"):
        reader = (base_url, temperature, max_tokens)
        readings, stopped = _read_options(run, choices_by, reader, concurrency, timeout, progress)
        known = {(key, hashed) for key, hashed, _, _ in read_verdicts(path)}
        with runs.Appender(path) as file:
            for key, row in run.generations.items():
                answer, question = row.get("answer"), run.questions.get(key[0])
                reading = readings.of(answer, question)
                if reading is not None and reading.pending:
                    continue
                hashed = verdict_key(judge, answer, question, reading)
                if (key, hashed) in known:
                    kept += 1
                else:
                    judged += 1
                    verdict = judge_answer(judge, answer, question, reading)
                    by = {"choice_by": reading.by} if reading is not None else {}
                    file.append({**verdict_row(hashed, key, verdict), **by})
        return count(run, judge, judged=judged, kept=kept, stopped=stopped)


def _read_options(
    run: Run,
    choices_by: str | None,
    reader: tuple[str | Sequence[str] | None, float | None, int],
    concurrency: int,
    timeout: float,
    progress: bool,
) -> tuple[Readings, str]:
    """The readings of a run that count, those that a model is asked for now included, and why some are missing."""
    if choices_by == "rules":
        reader_path(run.folder).unlink(missing_ok=True)
    if choices_by is None or choices_by == "rules":
        readings = read_readings(run.folder)
        name = readings.reader.name if readings.reader else ""
        return readings, f"{name} has not read their options; ask it with --choices-by {name}, or --choices-by rules"
    if find_spec("openai") is None:
        raise MissingExtra("openai", "judge")
    from cotasks.judge.llm.options import ask, option_reader

    servers = named_urls(reader[0])
    by = option_reader(choices_by, servers[0], *reader[1:])
    readings, asked = ask(run, by, concurrency, timeout, progress, servers)
    return readings, f"{choices_by} did not read their options: {asked.reason}"


def control_judge(
    folder: Path,
    judge: str,
    questions: int,
    *,
    base_url: str | Sequence[str] | None = None,
    rubric: Path | str | None = None,
    temperature: float | None = 0.0,
    max_tokens: int = 1024,
    structured: bool | None = None,
    concurrency: int = 32,
    timeout: float = 120.0,
    price: tuple[float, float] | None = None,
    max_cost: float | None = None,
    retry_unscored: bool = False,
    progress: bool = True,
    sees: str | None = None,
    dataset: str | None = None,
    videos: Path | None = None,
    video_check: str | None = None,
) -> ControlCounts:
    """Ask a language model about answers whose verdict is known, see `judge.controls`; appends to
    `controls/<judge>.jsonl`, beside the verdicts and apart from them.

    May be killed and called again: what is on disk is not asked again, and more questions add to those asked before.
    `max_cost` holds over these calls and those of `judge_run` together.

    Args:
        folder: Run folder.
        judge: `openai:MODEL`.
        questions: How many of the run's questions, drawn at random and always in the same order; each has a few
            controls.

    The other arguments and the errors are those of `judge_run`.
    """
    if judge_named(judge).is_rule:
        raise InputError(f"controls with judge {judge}, which is a rule; expected openai:MODEL beside it")
    if questions < 1:
        raise InputError(f"controls of {questions} questions; expected 1 or more")
    if find_spec("openai") is None:
        raise MissingExtra("openai", "judge")
    from cotasks.judge.llm import loop

    settings = {"base_url": base_url, "temperature": temperature, "max_tokens": max_tokens}
    calling = loop.Calling(concurrency, timeout, price, max_cost, False, retry_unscored, progress)
    shows = loop.Shows(sees, dataset, videos, video_check) if sees is not None else None
    return loop.ask_controls(folder, judge, rubric, structured, settings, calling, questions, shows)
