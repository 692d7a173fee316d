"""Ask a model for the steps themselves, one after the other, and keep what it said as a predictions folder.

The steps are conditions named `step-1` to `step-4`, asked by the loop of `cotasks.generate`: batched, on any number of
processes, at a server, resumable, and none that is on disk is asked again. Each sees the steps before it in the context
block, written as under any condition: the model's own, as they could be read (`given="own"`; all records are asked for
a step before any is for the next), or those of the record (`given="oracle"`; the steps are then asked together). So a
prompt is, to the byte, the user's turn of the tasks `frame_localization` to `temporal_relations` of
`cotasks.instructions`, and a model trained on these is asked as it was trained.

A step is read strictly, then by the repairs of `cotasks.steps.repair`; names that the scene does not have stay, as
entities of their own (`cotasks.steps.naming`). What cannot be read is kept as text. A text of which nothing can be read
is a prediction, an empty one; a step that failed (out of memory, say) is none, and neither are the steps that would be
told of it.

The folder, written at the end from what the run folder holds: see `cotasks.runs.predictions`; and, of step 1, the lines
that `cotasks build --localization FILE` takes:

localization.jsonl   {id, model, used_answer, spans [[start, end]] in seconds of the file, entities [name, or tid where
                     the model was shown marks], raw}
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.errors import InputError
from cotasks.generate.run import generate
from cotasks.generate.sampling import Sampling
from cotasks.models.families import frame_size
from cotasks.prompts.condition import Condition
from cotasks.prompts.prompt import step_context
from cotasks.prompts.size import source_size
from cotasks.prompts.view import shown_frames, view
from cotasks.records.dataset import Records
from cotasks.records.naming import entity_names
from cotasks.records.schema import Record
from cotasks.records.videos import Videos, videos_of
from cotasks.runs.folder import read_failures, read_generations, read_settings
from cotasks.runs.predictions import PredictionsFolder, load_predictions, prediction_row, write_predictions
from cotasks.steps.context import Parsed, StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.marks import Marks, marks_of, proposed_entities
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.reading import read_steps
from cotasks.steps.table import STEPS
from cotasks.tools.files import dump_jsonl

if TYPE_CHECKING:
    from cotasks.generate.backends import AnyModel

LONG = Sampling(max_new_tokens=1024)
"""Greedy decoding; the steps of a long video take hundreds of tokens."""
GIVEN = ("own", "oracle")
LOCALIZATION = "localization.jsonl"


@dataclass(frozen=True)
class StepCounts:
    """What the texts of one step were like."""

    texts: int = 0
    unread: int = 0
    """Of these, with a line or an item that could not be read."""
    repaired: int = 0
    """Of these, with a line that only a repair could read."""
    cut_off: int = 0
    """Of these, as long as was allowed, so that their end is missing."""


@dataclass(frozen=True)
class PredictResult:
    """How a predictions folder stands."""

    total: int
    """Steps that were asked for: records times steps."""
    done: int
    """Of these, answered by this call or before."""
    new: int
    """Of these, answered by this call, in whatever process."""
    failures: dict[str, int]
    """Reason -> how many failed by this call or before."""
    read: dict[int, StepCounts] = field(default_factory=dict)
    """Step -> what its texts were like. Empty where something is left to ask, and the folder not written."""
    main: bool = True
    """Whether this is the main process; the others of a launch need not speak."""

    @property
    def complete(self) -> bool:
        """Whether every step is there."""
        return self.done == self.total


def parse_steps(text: str) -> tuple[int, ...]:
    """`1234`, `1`, `34` -> the steps. Raises InputError for anything but some of 1 to 4, each once, in order."""
    if not text or list(text) != sorted(set(text) & set("1234")):
        raise InputError(f"steps {text!r}; expected some of 1234, each once, in order")
    return tuple(int(digit) for digit in text)


def predict(
    records: Records,
    model_name: str,
    folder: str | Path,
    *,
    steps: Sequence[int] = (1, 2, 3, 4),
    given: str = "own",
    with_answer: bool = False,
    marks: bool = False,
    predictions: str | Path | None = None,
    boxes_per_entity: int = BOXES_PER_ENTITY,
    num_frames: int | None = None,
    videos: str | Path | None = None,
    sampling: Sampling = LONG,
    video_check: str = "fail",
    **options: Any,
) -> PredictResult:
    """Ask a model for steps of every record. May be interrupted and called again; on several processes, each calls
    this alike.

    Args:
        records: what to ask, see `cotasks.records.dataset.load_records`.
        model_name: as of `cotasks.generate.generate`.
        folder: written to, or gone on with.
        steps: some of 1 to 4, ascending.
        given: what a step is told of those before it: `own`, what the model said, or `oracle`, the steps of the
            record.
        with_answer: show the reference answer below the question; for step 1 alone, where it makes A1 for a build
            (which then says `used_answer`).
        marks: outline and number the annotated things on the frames shown, and ask for numbers; for step 1 alone, so
            that it names instances. See `cotasks.steps.marks`.
        predictions: a folder of an earlier call, whose steps are told where `steps` leaves them out.
        boxes_per_entity: at most so many boxes an entity are told, and asked for, in step 2.
        num_frames: frames shown and spoken of; by default the whole grid.
        videos: the folder that `video_path` is relative to; the sample brings its own.
        sampling: greedy, or how to sample, and the longest text of a step; one text a step.
        video_check: as of `generate`.
        options: further arguments of `generate`, such as `server` or `batching`.

    Raises InputError as `generate` does, and where steps are out of order, or a step before them would be told and is
    not there.
    """
    # arguments that contradict one another
    steps = parse_steps("".join(map(str, steps)))
    if given not in GIVEN:
        raise InputError(f"given {given!r}; expected own or oracle")
    if boxes_per_entity < 1:
        raise InputError(f"boxes_per_entity {boxes_per_entity}; expected 1 or more")
    if with_answer and steps != (1,):
        raise InputError(f"with_answer for steps {steps}; expected step 1 alone, which a build takes")
    if marks and steps != (1,):
        raise InputError(f"marks for steps {steps}; expected step 1 alone, which a build takes")
    if sampling.num_samples > 1:
        raise InputError(f"{sampling.num_samples} samples a prompt; expected one text a step")
    missing = [step for step in range(1, steps[-1]) if step not in steps]
    if given == "oracle" or not missing:
        if predictions is not None:
            raise InputError(f"predictions {predictions}: not told to any step; expected none with these steps")
    elif predictions is None:
        raise InputError(
            f"steps {''.join(map(str, steps))}: step {missing[0]} comes before and is missing; ask for it too, name "
            "--predictions that hold it, or use --given oracle"
        )
    # a condition for each step, told those before it
    conditions = [
        Condition(
            name_of(step),
            steps=tuple(range(1, step)),
            origin="predicted" if given == "own" and step > 1 else "oracle",
            num_frames=num_frames,
            boxes_per_entity=boxes_per_entity,
            asks=step,
            tells_answer=with_answer,
            marks=marks,
        )
        for step in steps
    ]
    # the steps that are not asked for come from an earlier call
    earlier = None
    if predictions is not None:
        told = next(condition for condition in conditions if condition.asks and condition.asks > missing[0])
        needed = dataclasses.replace(told, steps=tuple(step for step in missing if step in told.steps))
        earlier = load_predictions(predictions, records, [needed])
    shown = videos_of(records.video_folder(videos), video_check)
    said = Said(Path(folder), conditions, given, shown, earlier, tuple(missing))
    result = generate(
        records,
        conditions,
        model_name,
        folder,
        videos=videos,
        sampling=sampling,
        video_check=video_check,
        chain=said,
        **options,
    )
    # the folder, once nothing is left to ask
    read: dict[int, StepCounts] = {}
    if result.main and result.done + sum(result.failures.values()) == result.total:
        read = _write(records, said)
    return PredictResult(result.total, result.done, result.new, result.failures, read, result.main)


def name_of(step: int) -> str:
    """The condition under which a step's text stands in the run folder."""
    return f"step-{step}"


class Said:
    """What a model has said of the steps so far; a `cotasks.generate.Chain`.

    Args:
        folder: the run folder.
        conditions: that ask for the steps.
        given: `own` or `oracle`, see `predict`.
        videos: those of the records, read where these do not give their frame size.
        earlier: an earlier call's folder.
        taken: the steps that it gives.
    """

    def __init__(
        self,
        folder: Path,
        conditions: Sequence[Condition],
        given: str,
        videos: Videos | None,
        earlier: PredictionsFolder | None = None,
        taken: tuple[int, ...] = (),
    ) -> None:
        self.folder, self.conditions, self.given, self.videos = folder, conditions, given, videos
        self.earlier, self.taken = earlier, taken
        self.with_answer = any(condition.tells_answer for condition in conditions)
        self.marked = any(condition.marks for condition in conditions)
        self.model: AnyModel | None = None
        self.texts: dict[str, dict[int, str]] = {}
        """Record id -> step -> text."""
        self.cut_off: dict[str, set[int]] = {}
        """Record id -> steps whose text is cut off."""
        self.failed: dict[str, dict[int, str]] = {}
        """Record id -> step -> reason."""

    @property
    def settings(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        asked = {condition.asks for condition in self.conditions if condition.asks}
        settings = {"steps": sorted(asked.union(self.taken)), "given": self.given, "with_answer": self.with_answer}
        settings |= {"marks": True} if self.marked else {}
        return {"predict": settings, **({"predictions": self.earlier.run_settings()} if self.earlier else {})}

    def parts(self, conditions: Sequence[Condition]) -> list[Sequence[Condition]]:
        """One step after the other, or all together where none is told of another's outcome."""
        return [[condition] for condition in conditions] if self.given == "own" else [conditions]

    def begin(self, run_folder: Path, model: AnyModel) -> None:
        """Read what the run folder holds."""
        self.folder, self.model = run_folder, model
        asks = {condition.name: condition.asks or 0 for condition in self.conditions}
        self.texts, self.cut_off, self.failed = {}, {}, {}
        for (record_id, name, _), row in read_generations(run_folder).items():
            self.texts.setdefault(record_id, {})[asks[name]] = row["answer"]
            if row.get("finish_reason") == "length":
                self.cut_off.setdefault(record_id, set()).add(asks[name])
        for (record_id, name, _), row in read_failures(run_folder).items():
            self.failed.setdefault(record_id, {})[asks[name]] = row["reason"]

    def of(self, record: Record) -> PredictedSteps:
        """What was said of a record so far, as far as it could be read."""
        return self.read(record)[0]

    def read(self, record: Record) -> tuple[PredictedSteps, dict[int, Parsed[Any]]]:
        """What was said of a record so far, with what was taken over; and step -> what was read of its text."""
        before = self._earlier(record)
        texts = self.texts.get(record.id, {})
        reasons = {**before.reasons, **self.failed.get(record.id, {})}
        if not texts:
            return dataclasses.replace(before, reasons=reasons), {}
        context = self._context(record)
        if before.entities:
            known = {entity.tid for entity in context.entities}
            others = tuple(entity for entity in before.entities if entity.tid not in known)
            names = {**context.names, **dict(before.names)}
            context = dataclasses.replace(
                context, entities=(*context.entities, *others), given_names=tuple(names.items())
            )
        said, parsed, context = read_steps(texts, context)
        found: dict[str, Any] = {STEPS[step].field: getattr(said, STEPS[step].field) for step in parsed}
        if 1 in parsed:
            found[STEPS[1].field] = dataclasses.replace(parsed[1].value, used_answer=self.with_answer)
        steps = dataclasses.replace(before, **found)
        tids = steps.tids()
        entities = tuple(entity for entity in context.entities if entity.tid in tids)
        names = dict(context.names)
        if self.marked:  # numbers are for step 1 alone: what is told of it later has the usual names
            names |= entity_names(record.scene.entities)
        names_of = tuple((entity.tid, names[entity.tid]) for entity in entities)
        return dataclasses.replace(steps, entities=entities, names=names_of, reasons=reasons), parsed

    def _earlier(self, record: Record) -> PredictedSteps:
        """The steps that are taken over; a record that the earlier folder lacks has reasons in their place."""
        if self.earlier is None:
            return PredictedSteps()
        try:
            found = self.earlier.of(record)
        except InputError as error:
            return PredictedSteps(reasons=dict.fromkeys(self.taken, error.reason))
        others: dict[str, Any] = {step.field: None for step in STEPS.values() if step.number not in self.taken}
        reasons = {step: reason for step, reason in found.reasons.items() if step in self.taken}
        return dataclasses.replace(found, **others, reasons=reasons)

    def _context(self, record: Record) -> StepContext:
        """How the model was to write the steps of a record."""
        assert self.model is not None
        source = source_size(record, self.videos)
        told = view(record, dataclasses.replace(self.conditions[0], steps=(), origin="oracle"))
        size = frame_size(self.model.family, *source, num_frames=len(told.shown), limits=self.model.limits)
        return step_context(told, self.model.family, size, source)


def _write(records: Records, said: Said) -> dict[int, StepCounts]:
    """Write the folder; {step: what its texts were like}."""
    assert said.model is not None
    said.begin(said.folder, said.model)
    model = read_settings(said.folder)["model"]["name"]
    counts = {condition.asks or 0: StepCounts() for condition in said.conditions}
    proposals: list[dict[str, Any]] = []

    def rows() -> Iterator[dict[str, Any]]:
        for record in records:
            steps, parsed = said.read(record)
            texts = said.texts.get(record.id, {})
            cut_off = said.cut_off.get(record.id, ())
            for step, read in parsed.items():
                old = counts[step]
                counts[step] = StepCounts(
                    old.texts + 1,
                    old.unread + bool(read.unread),
                    old.repaired + bool(read.repaired),
                    old.cut_off + (step in cut_off),
                )
            if 1 in parsed:
                marks = marks_of(record.scene, shown_frames(record, said.conditions[0])) if said.marked else None
                proposals.append(_proposal(record, model, steps, texts[1], parsed[1].unread, marks))
            yield prediction_row(record.id, model, said.given, steps, texts, cut_off, parsed)

    write_predictions(said.folder, records.split, rows())
    if 1 in counts:
        dump_jsonl(said.folder / LOCALIZATION, proposals)
    return counts


_ENTITIES = re.compile(r"\b(?:entit(?:y|ies)|objects?)\b[^:\n]{0,10}:(.*)", re.IGNORECASE)


def _proposal(
    record: Record,
    model: str,
    steps: PredictedSteps,
    text: str,
    unread: Sequence[str],
    marks: Marks | None,
) -> dict[str, Any]:
    """The line of localization.jsonl. Things that are no names ("a man who holds a guitar") are entities here, as the
    build goes by their words; those that the model was shown with `marks` stand as tids."""
    a1, names = steps.frame_localization, dict(steps.names)
    assert a1 is not None
    things = " ".join(_ENTITIES.findall(text))
    named: list[str | int] = [names[entity.tid] for entity in a1.entities]
    if marks is not None:
        named = proposed_entities(a1.entities, names, marks)
        unread = [item for item in unread if not re.search(r"\d", item)]  # no mark, and no number of a category
    return {
        "id": record.id,
        "model": model,
        "used_answer": a1.used_answer,
        "spans": [[span.start_seconds, span.end_seconds] for span in a1.spans],
        "entities": [*named, *(item for item in unread if item in things)],
        "raw": text,
    }
