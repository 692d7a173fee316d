"""How much the contexts of a run give away, on the very questions that it asked: `cotasks.audit`'s measures.

A run folder holds no contexts. Where its records are at hand, they are written again and held against the reference
answers, with chance and intervals as in an audit. Budgets of tokens are not applied: what they cut counts as told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cotasks.audit import leakage as measures
from cotasks.audit import words
from cotasks.audit.leakage import NEUTRAL, QUESTION, GivenAway, Question, Vocabulary
from cotasks.errors import CotasksError, InputError
from cotasks.prompts.condition import Condition, read_condition
from cotasks.prompts.prompt import build_prompt
from cotasks.records.schema import Record
from cotasks.report.tables import NOTHING, Line, Table
from cotasks.runs.predictions import PredictionsFolder, load_predictions
from cotasks.runs.records import Loaded, named_records, says_which
from cotasks.runs.run import Run

if TYPE_CHECKING:
    from cotasks.records.dataset import Records

Row = dict[str, Any]

_SIZE = (1000, 1000)
"""Of frames and boxes: coordinates are not read."""


@dataclass(frozen=True)
class Leaks:
    """What the contexts of a run give away."""

    rows: tuple[Row, ...] = ()
    """{condition (`question` is the question's own text), level, group, category, name, measure, questions, videos,
    share, chance, excess and its ends, ...}, as `cotasks.audit.chance.Leakage.rows` gives them."""
    missing: str = ""
    """Why there are none, in words; empty where no condition has a context."""


NO_LEAKS = Leaks()


def of_runs(runs: Mapping[str, Run], dataset: str | None, loaded: Loaded) -> dict[str, Leaks]:
    """Name of a run -> what its contexts give away.

    Args:
        runs: by name.
        dataset: where the records are; None for what each `run.json` names.
        loaded: those that were loaded already.
    """
    return {name: _of_run(run, dataset, loaded) for name, run in runs.items()}


def _of_run(run: Run, place: str | None, loaded: Loaded) -> Leaks:
    told = {name: condition for name, condition in _conditions(run).items() if condition.steps}
    if not told:
        return NO_LEAKS
    dataset = run.settings.get("dataset")
    if dataset is None or not says_which(dataset):
        return Leaks(missing="run.json does not say which records it asked")
    try:
        records = named_records(dataset, place, loaded)
    except CotasksError as error:
        return Leaks(missing=f"its records are not at hand ({error})")
    if records.fingerprint != dataset["fingerprint"]:
        return Leaks(missing=f"the records of {records.dataset} are not those that it asked (other fingerprint)")
    predictions, missing = None, ""
    if any(condition.origin == "predicted" for condition in told.values()):
        try:
            predictions = load_predictions(run.settings["predictions"]["folder"], records, list(told.values()))
        except (CotasksError, KeyError, TypeError) as error:
            told = {name: condition for name, condition in told.items() if condition.origin != "predicted"}
            missing = f"the predictions that it told are not at hand ({error})"
    return Leaks(tuple(_measured(run, records, told, predictions)) if told else (), missing)


def _conditions(run: Run) -> dict[str, Condition]:
    """Those of `run.json` that can be read."""
    values = run.settings.get("conditions")
    found = {}
    for name, settings in values.items() if isinstance(values, Mapping) else ():
        try:
            found[name] = read_condition({"name": name, **settings})
        except (CotasksError, KeyError, TypeError):
            continue
    return found


def _measured(
    run: Run, records: Records, told: Mapping[str, Condition], predictions: PredictionsFolder | None
) -> list[Row]:
    from cotasks.audit.chance import Leakage

    # conditions with one context are measured once: `cotasks` and `blind-cotasks` tell the same
    same: dict[Condition, list[str]] = {}
    for name, condition in told.items():
        plain = dataclasses.replace(condition, name="", video=True, boxes_per_entity=1, context_tokens=None)
        same.setdefault(plain, []).append(name)
    first = {names[0]: condition for condition, names in same.items()}

    def read(record: Record, vocabulary: Vocabulary) -> dict[str, GivenAway]:
        asked = measures.asked_categories(record.question, {entity.category for entity in record.scene.entities})
        found = {QUESTION: measures.evidence_of_question(record.question, vocabulary)}
        for name, condition in first.items():
            try:
                context = build_prompt(record, condition, NEUTRAL, _SIZE, _SIZE, predictions=predictions).context
            except InputError:  # a step that was not predicted, say: nothing was sent
                continue
            reading = words.read_context(context)
            affirmed = measures.affirms(reading, record.question, vocabulary)
            found[name] = measures.evidence_of_context(reading, asked, affirmed)
        return found

    rows = records.rows.select_columns(Question.columns())
    questions = [Question.of(records.split, row) for row in rows]
    found = Leakage(questions, _vocabulary(records), (QUESTION, *first), read)
    for number, record in enumerate(records):
        if record.id in run.questions:
            found.measure(number, record)
    measured = found.rows()
    names = {QUESTION: [QUESTION], **{names[0]: names for names in same.values()}}
    return [
        {**{key: value for key, value in row.items() if key != "split"}, "condition": name}
        for row in measured
        for name in names[row["condition"]]
        if row["level"] != "question_type"
    ]


def _vocabulary(records: Records) -> Vocabulary:
    """All names that the scenes hold."""
    categories, predicates = set[str](), set[str]()
    last = None
    for record in records:
        scene = record.scene
        if scene is not last:
            categories.update(entity.category for entity in scene.entities)
            predicates.update(r.predicate for r in scene.spatial_relations)
            predicates.update(r.predicate for r in scene.temporal_relations)
        last = scene
    return Vocabulary(frozenset(categories), frozenset(predicates))


TITLES = {
    "any": "answer, head word or number readable",
    "new": "the same, and not in the question",
    "counted": "counting gives the number",
    "yes_no": "yes where affirmed, else no",
}
NOTE = (
    "What the contexts give away: the share of the run's questions whose answer can be read off the context, without "
    "any model; chance is the same for the answers of other questions. `cotasks audit` defines the measures, and more."
)


def leakage_table(summary: Mapping[str, Any]) -> Table | None:
    """Over all questions and each category; None where nothing was measured."""
    lines = [
        Line(
            [
                row["run"],
                "question's own text" if row["condition"] == QUESTION else row["condition"],
                row["name"],
                TITLES[row["measure"]],
                str(row["questions"]),
                f"{row['share']:.1%}",
                NOTHING if row["excess"] is None else f"{row['share'] - row['excess']:.1%}",
                _excess(row),
            ]
        )
        for row in summary["leakage"]
        if row["measure"] in TITLES
    ]
    header = ["Run", "Context", "Over", "Measure", "Questions", "Share", "Chance", "Above chance"]
    return Table(header, lines, 4) if lines else None


def _excess(row: Mapping[str, Any]) -> str:
    """`+8.1 [6.4, 9.9]`, in points."""
    if row["excess"] is None:
        return NOTHING
    text = f"{100 * row['excess']:+.1f}"
    if row["excess_low"] is None:
        return text
    return f"{text} [{100 * row['excess_low']:.1f}, {100 * row['excess_high']:.1f}]"


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read what the contexts give away."""
    return [NOTE] if summary["leakage"] else []
