"""The predictions folder: what a model said of the steps, as conditions name it and as `datasets` loads it.

    run.json, generations/, failures/   a run folder (`cotasks.runs`) that `cotasks predict` wrote
    README.md                           for `load_dataset(FOLDER)`
    predictions/SPLIT-00000-of-00001.parquet

One row a record, `PREDICTION_FEATURES`: the steps in the record's own features, null where there is no prediction, with
the model's text beside them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, List, Value

from cotasks.errors import InputError, shorten
from cotasks.prompts.condition import Condition, read_condition
from cotasks.records.schema import (
    FEATURES,
    Box,
    Entity,
    FrameLocalization,
    Record,
    Span,
    SpatialRelation,
    TemporalRelation,
    Track,
)
from cotasks.runs.folder import read_settings
from cotasks.steps.context import Parsed
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.table import STEPS

if TYPE_CHECKING:
    from cotasks.records.dataset import Records

HASHED_ROWS = 1000
"""Rows hashed at a time; part of the fingerprint's definition."""


def _step_features() -> dict[str, Any]:
    features: dict[str, Any] = {}
    for name in (step.field for step in STEPS.values()):
        features |= {
            name: FEATURES[name],
            f"{name}_text": Value("string"),  # as the model wrote it; null where it did not
            f"{name}_unread": List(Value("string")),  # lines or items of it that could not be read
            f"{name}_repaired": Value("int32"),  # lines that were read, but not as a prompt writes them
            f"{name}_cut_off": Value("bool"),  # whether the text ends where the longest allowed one does
            f"{name}_failure": Value("string"),  # why there is no prediction; null where there is one
        }
    return features


PREDICTION_FEATURES: Features = Features(
    {
        "id": Value("string"),  # of the record
        "model": Value("string"),
        "given": Value("string"),  # what each step was told of those before it: `own` answers, or the `oracle`'s
        # what the steps speak of; tids are this row's own, names as in the text
        "entities": List({"tid": Value("int32"), "category": Value("string"), "name": Value("string")}),
        **_step_features(),
    }
)
"""The columns of a predictions folder."""
_STEPS_COLUMNS = (
    "id",
    "entities",
    *(step.field for step in STEPS.values()),
    *(f"{step.field}_failure" for step in STEPS.values()),
)


@dataclass(frozen=True)
class PredictionsFolder:
    """A predictions folder that was read; gives what was predicted of a record."""

    folder: Path
    settings: dict[str, Any]
    """Its run.json."""
    table: pa.Table
    """id, entities and steps, in order of id."""

    def of(self, record: Record) -> PredictedSteps:
        """What was predicted of a record.

        Raises InputError with the reason `no prediction` where there is no row of it, and one that names the step
        where it speaks of frames or entities that are not there.
        """
        if record.id not in self._places:
            raise InputError(f"{self.folder}: no prediction for {record.id!r}", "no prediction")
        steps = _read_row(self.table.slice(self._places[record.id], 1).to_pylist()[0])
        _check_row(self.folder, record, steps)
        return steps

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that were asked for or taken over."""
        return tuple(self.settings["predict"]["steps"])

    @property
    def num_frames(self) -> int | None:
        """The frames that they were asked on; None for the whole grid. Raises InputError where run.json is silent."""
        for values in self.settings.get("conditions", {}).values():
            return read_condition(values).num_frames
        raise InputError(
            f"{self.folder / 'run.json'}: no conditions; expected those that `cotasks predict` asked under"
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over ids, entities and steps: equal for equal predictions, wherever they lie."""
        digest = hashlib.sha256()
        for start in range(0, len(self.table), HASHED_ROWS):
            for row in self.table.slice(start, HASHED_ROWS).to_pylist():
                digest.update(orjson.dumps(row, option=orjson.OPT_SORT_KEYS))
        return digest.hexdigest()

    def run_settings(self) -> dict[str, Any]:
        """What `run.json` says of it; `saw_answer` is how many have a step 1 whose maker saw the answer, if any."""
        saw = pc.sum(pc.struct_field(self.table[STEPS[1].field], "used_answer")).as_py() or 0
        told = {"folder": os.path.normpath(self.folder), "fingerprint": self.fingerprint}
        return {**told, **({"saw_answer": saw} if saw else {})}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {record_id: place for place, record_id in enumerate(self.table["id"].to_pylist())}


def load_predictions(folder: str | Path, records: Records, conditions: Sequence[Condition]) -> PredictionsFolder:
    """Read a predictions folder for the conditions of a run.

    Args:
        folder: that `cotasks predict` wrote.
        records: that the run asks.
        conditions: of the run; those of another origin do not matter.

    Raises InputError where it is no predictions folder, or an unfinished one; where it was made of other records or of
    another version of them; and where a condition tells a step that it does not have, or speaks of frames that it
    was not asked on.
    """
    found = read_predictions(folder)
    ours = {"split": records.split, "config": records.config, "fingerprint": records.fingerprint}
    theirs = found.settings.get("dataset", {})
    for name, value in ours.items():
        if theirs.get(name) != value:
            what = "another version of the data set" if name == "fingerprint" else f"other records: {name}"
            raise InputError(
                f"{folder}: predictions of {what} {theirs.get(name)!r} ({theirs.get('name')}); expected {value!r} "
                f"({records.dataset})",
                "predictions of other records",
            )
    for condition in conditions:
        if condition.origin == "predicted":
            _check_condition(found, condition)
    return found


def read_predictions(folder: str | Path) -> PredictionsFolder:
    """Read a predictions folder. Raises InputError where it is none, or an unfinished one."""
    folder = Path(folder)
    if not (folder / "run.json").exists():
        raise InputError(f"{folder}: not a predictions folder (no run.json); write one with `cotasks predict`")
    settings = read_settings(folder)
    if "predict" not in settings:
        raise InputError(f"{folder}: a run folder without predictions; write one with `cotasks predict`")
    _check_settings(folder / "run.json", settings)
    paths = sorted(folder.glob("predictions/*.parquet"))
    if len(paths) != 1:
        raise InputError(
            f"{folder}: {len(paths)} files predictions/*.parquet; expected one, which `cotasks predict` writes at its "
            "end: run it again to go on"
        )
    try:
        table = pq.read_table(paths[0], columns=list(_STEPS_COLUMNS), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{paths[0]}: not predictions: {error}") from None
    schema = PREDICTION_FEATURES.arrow_schema
    for name in _STEPS_COLUMNS:
        if name not in table.column_names or table.schema.field(name).type != schema.field(name).type:
            raise InputError(f"{paths[0]}: column {name} is missing or of another type; expected {schema.field(name)}")
    return PredictionsFolder(folder, settings, table.sort_by("id"))


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Raises InputError where a run.json does not say of predictions what is read of it here."""
    try:
        steps = settings["predict"]["steps"]
        conditions = [read_condition(values) for values in settings.get("conditions", {}).values()]
        if not isinstance(steps, list) or not set(steps) <= STEPS.keys():
            raise TypeError(f"steps {shorten(steps)}")
        if not all(isinstance(condition.num_frames, int | None) for condition in conditions):
            raise TypeError("num_frames of a condition")
        if not isinstance(settings.get("dataset", {}), dict):
            raise TypeError(f"dataset {shorten(settings['dataset'])}")
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: does not say what was predicted ({error}); a different version?") from None


def _check_condition(found: PredictionsFolder, condition: Condition) -> None:
    for step in condition.steps:
        if step not in found.steps:
            has = ", ".join(map(str, found.steps))
            raise InputError(f"{found.folder}: no predictions of step {step}, which {condition.name} tells; has {has}")
    if found.num_frames not in (None, condition.num_frames) or (found.num_frames and condition.context_frames):
        raise InputError(
            f"{found.folder}: predicted on {found.num_frames} frames; condition {condition.name} speaks of others; "
            f"expected frames={found.num_frames}, without context"
        )


def write_predictions(folder: Path, split: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write parquet and README.md of a predictions folder, the parquet whole or not at all.

    Args:
        folder: the run folder.
        split: train, validation or test.
        rows: of `PREDICTION_FEATURES`, see `prediction_row`.

    Returns:
        The parquet file.
    """
    path = folder / "predictions" / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    schema = PREDICTION_FEATURES.arrow_schema
    with pq.ParquetWriter(temporary, schema, write_page_checksum=True) as writer:
        batch: list[Mapping[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == HASHED_ROWS:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    files = f"  data_files:\n  - split: {split}\n    path: predictions/{split}-*\n"
    text = (
        f"---\nconfigs:\n- config_name: predictions\n{files}---\n\nSteps that a model predicted (`cotasks predict`): "
        "one row a record. `run.json` says which model and which records.\n"
    )
    card = folder / "README.md.part"
    card.write_text(text, encoding="utf-8")
    os.replace(card, folder / "README.md")
    os.replace(temporary, path)
    return path


def prediction_row(
    record_id: str,
    model: str,
    given: str,
    steps: PredictedSteps,
    texts: Mapping[int, str],
    cut_off: Collection[int],
    parsed: Mapping[int, Parsed[Any]],
) -> dict[str, Any]:
    """A row of `PREDICTION_FEATURES`.

    Args:
        texts: step -> what the model wrote.
        cut_off: steps whose text was cut off, as it was too long.
        parsed: step -> what was read of it.
    """
    names = dict(steps.names)
    row: dict[str, Any] = {
        "id": record_id,
        "model": model,
        "given": given,
        "entities": [{"tid": e.tid, "category": e.category, "name": names[e.tid]} for e in steps.entities],
    }
    for step, name in ((step.number, step.field) for step in STEPS.values()):
        value, read = getattr(steps, name), parsed.get(step)
        plain = [dataclasses.asdict(item) for item in value] if isinstance(value, tuple) else value
        row |= {
            name: dataclasses.asdict(value) if isinstance(value, FrameLocalization) else plain,
            f"{name}_text": texts.get(step),
            f"{name}_unread": list(read.unread) if read is not None else None,
            f"{name}_repaired": read.repaired if read is not None else None,
            f"{name}_cut_off": step in cut_off if step in texts else None,
            f"{name}_failure": None if value is not None else steps.reasons.get(step),
        }
    encoded: dict[str, Any] = PREDICTION_FEATURES.encode_example(row)
    return encoded


def _read_row(row: Mapping[str, Any]) -> PredictedSteps:
    entities = row["entities"] or []
    a1, tracks, spatial, temporal = (row[step.field] for step in STEPS.values())
    return PredictedSteps(
        frame_localization=None if a1 is None else _read_localization(a1),
        entity_tracking=None if tracks is None else tuple(_read_track(track) for track in tracks),
        spatial_relations=None
        if spatial is None
        else tuple(SpatialRelation(**{**relation, "frames": tuple(relation["frames"])}) for relation in spatial),
        temporal_relations=None if temporal is None else tuple(TemporalRelation(**relation) for relation in temporal),
        entities=tuple(Entity(entity["tid"], entity["category"]) for entity in entities),
        names=tuple((entity["tid"], entity["name"]) for entity in entities),
        reasons={n: row[f"{step.field}_failure"] for n, step in STEPS.items() if row[f"{step.field}_failure"]},
    )


def _read_localization(row: Mapping[str, Any]) -> FrameLocalization:
    origins = FEATURES["frame_localization"]["span_origin"]
    assert isinstance(origins, ClassLabel)
    return FrameLocalization(
        frames=tuple(row["frames"]),
        spans=tuple(Span(**span) for span in row["spans"]),
        entities=tuple(Entity(**entity) for entity in row["entities"]),
        span_origin=origins.int2str(row["span_origin"]),
        entity_origin=origins.int2str(row["entity_origin"]),
        used_answer=row["used_answer"],
    )


def _read_track(row: Mapping[str, Any]) -> Track:
    boxes = tuple(Box(box["frame"], tuple(box["xyxy"]), box["generated"]) for box in row["boxes"])
    return Track(row["tid"], row["category"], boxes)


def _check_row(folder: Path, record: Record, steps: PredictedSteps) -> None:
    """Raises InputError where steps speak of frames off the record's grid, or of entities that they do not name."""
    a1 = steps.frame_localization
    frames = {
        *(a1.frames if a1 is not None else ()),
        *(box.frame for track in steps.entity_tracking or () for box in track.boxes),
        *(frame for relation in steps.spatial_relations or () for frame in relation.frames),
    }
    grid, named = {frame.index for frame in record.frames}, {entity.tid for entity in steps.entities}
    for what, found, known in (("frame", frames, grid), ("entity", steps.tids(), named)):
        if not found <= known:
            raise InputError(
                f"{folder}: prediction of {record.id!r} speaks of {what} {min(found - known)}; expected one of "
                f"{'the grid' if what == 'frame' else 'those it names'}",
                f"prediction speaks of an unknown {what}",
            )
