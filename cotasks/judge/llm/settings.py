"""A language model as the judge: what shapes its verdicts, and their keys.

    verdicts/openai-MODEL.jsonl    verdicts, a row for each answer and repeat, see `cotasks.judge.llm.loop`
    verdicts/openai-MODEL.json     the settings whose verdicts count, with the rubric's text
    verdicts/seen/                 frames that a judge is shown, see `cotasks.judge.llm.sight`
    verdicts/ledger/               what its calls cost, see `cotasks.judge.llm.ledger`

The judge is asked about open-ended answers that say something. Options, empty answers, refusals, and answers that equal
a reference in normal form are decided as the judge `exact` decides them, without a call.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import orjson

from cotasks.errors import InputError, shorten
from cotasks.judge.llm.rubric import DEFAULT_RUBRIC, Rubric, reply_schema, user_message
from cotasks.judge.llm.sight import INSTRUCTIONS, Sight, read_sight
from cotasks.judge.rules import judge_answer, references_of, verdict_key
from cotasks.judge.scales import DEFAULT_SCALE, parse_scale
from cotasks.judge.verdicts import Verdict
from cotasks.runs.run import Row
from cotasks.servers.address import is_openai, longest_answer_field, named_urls
from cotasks.tools.files import read_json
from cotasks.words.answers import clean

PREFIX = "openai:"
MOST_REPEATS = 1000
READER = 1
"""Version of `reading.read_completion`: raise it with every change by which a verdict that was read becomes another.
What was not read is read again by itself, see `work.plan`."""
FORMATS = ("schema", "json", "none")
"""What a server may be asked to hold replies to: `rubric.reply_schema`, any JSON object, or nothing."""

_LABEL = re.compile(r"openai:(?P<model>[^#\s]+)(?:#(?P<rest>(?P<rubric>[a-z0-9._-]+)?(?:@(?P<sees>frames))?))?")


def file_stem(judge: str) -> str:
    """Name of a judge's files below `verdicts/`, without suffix. Other names give other stems, also where the file
    system does not tell cases apart: a name with upper-case letters ends with a part of its hash.

    Raises InputError where it is not `openai:MODEL`, `openai:MODEL#RUBRIC`, or either of a judge that sees
    (`openai:MODEL#@frames`, `openai:MODEL#RUBRIC@frames`), or too long for a file name.
    """
    match = _LABEL.fullmatch(judge)
    if match is None or match["rest"] == "":
        raise InputError(f"judge {shorten(judge)}; expected openai:MODEL, the model without blanks and #")
    model = match["model"]
    stem = "openai-" + quote(model, safe="").replace("~", "%7E")
    if model != model.lower():
        stem += "~" + hashlib.sha256(model.encode()).hexdigest()[:8]
    if match["rest"]:
        stem += "+" + match["rest"]
    if len(stem) > 200:
        raise InputError(f"judge {shorten(judge)}: too long for a file name; expected a shorter model name")
    return stem


def judge_name(stem: str) -> str | None:
    """The judge that has this stem; None where none has."""
    model, plus, rubric = stem.removeprefix("openai-").partition("+")
    judge = PREFIX + unquote(model.partition("~")[0]) + ("#" + rubric if plus else "")
    try:
        return judge if file_stem(judge) == stem else None
    except InputError:
        return None


@dataclass(frozen=True)
class LlmJudge:
    """All that shapes a verdict besides question, references and answer."""

    model: str
    base_url: str
    """Without a slash at the end."""
    rubric: Rubric
    temperature: float | None
    """None leaves it to the server."""
    max_tokens: int
    """Longest reply, in tokens."""
    reply_format: str
    """One of `FORMATS`."""
    repeats: int
    """How often the judge is asked about each answer."""
    sees: Sight | None = None
    """What it is shown besides text; None for nothing."""
    servers: tuple[str, ...] = field(default=(), compare=False)
    """Where several servers have answered, their addresses; the keys name `base_url`, whoever answers."""

    @property
    def structured(self) -> bool:
        """Whether the server is asked to hold the reply to `rubric.reply_schema`."""
        return self.reply_format == "schema"

    @property
    def name(self) -> str:
        """`openai:MODEL`, and `#RUBRIC` where the rubric is not the shipped one, with `@frames` where it sees them."""
        rest = "" if self.rubric.name == DEFAULT_RUBRIC else self.rubric.name
        rest += "" if self.sees is None else f"@{self.sees.what}"
        return PREFIX + self.model + (f"#{rest}" if rest else "")

    @property
    def rule(self) -> str:
        """Rubric, version and start of its hash, a scale other than 0-5, and what it sees, for reports."""
        scale = "" if self.rubric.scale == DEFAULT_SCALE else f", {self.rubric.scale.name}"
        sees = "" if self.sees is None else f", sees {self.sees.most} {self.sees.what}"
        return f"{self.rubric.name} {self.rubric.version}, {self.rubric.sha256[:8]}{scale}{sees}"

    def request(self, question: Mapping[str, Any], prediction: str) -> Row:
        """The body of a chat completion request, without frames. Nothing but the arguments and these settings reaches
        the judge, and of a judge that sees, the frames."""
        system = self.rubric.system + ("" if self.sees is None else f"\n\n{INSTRUCTIONS}")
        user = user_message(question["question"], references_of(question), prediction)
        return {
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            **self._options,
        }

    @cached_property
    def _options(self) -> Row:
        options: Row = {"model": self.model, longest_answer_field(self.base_url): self.max_tokens}
        if self.temperature is not None:
            options["temperature"] = self.temperature
        if self.structured:
            schema = {"name": "verdict", "strict": True, "schema": reply_schema(self.rubric.scale)}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.reply_format == "json":
            options["response_format"] = {"type": "json_object"}
        return options

    def keys(self, answer: Any, question: Mapping[str, Any] | None) -> list[str]:
        """The keys of the rows that make the verdict on an answer, one for each repeat."""
        if local_verdict(answer, question) is not None or question is None:
            return [verdict_key("exact", answer, question)]
        request = self.request(question, clean(answer))
        return [self.key(request, question, repeat) for repeat in range(self.repeats)]

    def key(self, request: Row, question: Mapping[str, Any], repeat: int) -> str:
        """SHA-256, in hex, of all that could change the verdict: every byte sent (of frames, which they are), where to,
        and which time."""
        parts = [READER, self.base_url, repeat, question["category"], request]
        if self.sees is not None:
            parts.append(self.sees.key(question["id"]))
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def to_json(self) -> Row:
        """For the run folder."""
        rubric = {"name": self.rubric.name, "version": self.rubric.version, "text": self.rubric.text}
        rubric |= {"sha256": self.rubric.sha256, "scale": self.rubric.scale.name}
        row = {name: value for name, value in asdict(self).items() if name not in ("sees", "servers")}
        row |= {"sees": self.sees.to_json()} if self.sees is not None else {}
        row |= {"servers": list(self.servers)} if self.servers else {}
        return {**row, "rubric": rubric}


def settings_path(folder: Path, judge: str) -> Path:
    """The file of a judge's settings in a run folder."""
    return folder / "verdicts" / f"{file_stem(judge)}.json"


_KINDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "base_url": str,
    "temperature": (int, float, type(None)),
    "max_tokens": int,
    "reply_format": str,
    "repeats": int,
}


def read_llm_judge(folder: Path, judge: str) -> LlmJudge:
    """The settings whose verdicts count. Raises InputError where their file is missing or damaged."""
    path = settings_path(folder, judge)
    row = read_json(path)
    try:
        rubric = Rubric(*(row["rubric"][field] for field in ("name", "version", "text")))
        scale = parse_scale(str(row["rubric"].get("scale", DEFAULT_SCALE.name)), str(path))  # older versions: none
        rubric = replace(rubric, scale_name=scale.name)
        if "structured" in row:  # of versions that knew no JSON mode
            row["reply_format"] = "schema" if row.pop("structured") else "none"
        servers = tuple(map(str, row.get("servers", ())))
        sees = read_sight(row.get("sees"), path)
        found = LlmJudge(**{**row, "rubric": rubric, "sees": sees, "servers": servers})
        for name, kind in _KINDS.items():
            if not isinstance(getattr(found, name), kind):
                raise TypeError(f"{name} {shorten(getattr(found, name))}")
        intact = rubric.sha256 == row["rubric"]["sha256"] and found.name == judge and 1 <= found.repeats <= MOST_REPEATS
        intact = intact and found.reply_format in FORMATS
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the settings of a judge: {error}; a different version?") from None
    if not intact:
        raise InputError(f"{path}: settings of another judge, or a changed rubric; expected those of {judge}")
    return found


def at_home(folder: Path, judge: LlmJudge, servers: Sequence[str]) -> LlmJudge:
    """The judge under the address that its keys name, when it is asked at these servers.

    Where several servers take part, now or before, the keys go on naming the first of the first call: what one server
    has judged is not judged again as others join or take its place. One server after another alone is another judge.
    """
    before = read_llm_judge(folder, judge.name) if settings_path(folder, judge.name).exists() else None
    known = before.servers if before is not None else ()
    if len(servers) < 2 and not set(servers) <= set(known):
        return judge
    home = judge.base_url
    if before is not None and is_openai(before.base_url) == is_openai(home):
        home, known = before.base_url, known or (before.base_url,)
    return replace(judge, base_url=home, servers=tuple(dict.fromkeys((*known, *servers))))


def local_verdict(answer: Any, question: Mapping[str, Any] | None) -> Verdict | None:
    """The verdict that needs no judge, by the rule of `exact`; None where the judge is to be asked."""
    verdict = judge_answer("exact", answer, question)
    decided = question is None or question["choices"] or verdict.score is None or verdict.unreadable or verdict.correct
    return verdict if decided else None


def llm_judge(
    judge: str,
    rubric: Rubric,
    base_url: str | None = None,
    temperature: float | None = 0.0,
    max_tokens: int = 1024,
    structured: bool = True,
    repeats: int = 1,
    sees: Sight | None = None,
) -> LlmJudge:
    """The judge `openai:MODEL` from what a user gives, see `LlmJudge`; without an address the environment's
    OPENAI_BASE_URL, else OpenAI's own.

    Raises InputError for a value outside its range, and an address that is none or holds a secret.
    """
    file_stem(judge)
    if "#" in judge:
        raise InputError(f"judge {shorten(judge)}: a rubric is named by its file; expected openai:MODEL and the rubric")
    url, *_ = named_urls(base_url)
    checks = {
        "temperature": (temperature, temperature is None or 0 <= temperature <= 2, "0 to 2, or none"),
        "max_tokens": (max_tokens, max_tokens >= 1, "1 or more"),
        "repeats": (repeats, 1 <= repeats <= MOST_REPEATS, f"1 to {MOST_REPEATS}"),
    }
    for name, (value, right, expected) in checks.items():
        if not right:
            raise InputError(f"{name} {value}; expected {expected}")
    temperature = None if temperature is None else float(temperature)  # 0 and 0.0 are other JSON, and so other keys
    form = "schema" if structured else "none"
    return LlmJudge(judge.removeprefix(PREFIX), url, rubric, temperature, max_tokens, form, repeats, sees)
