"""What the schema documents holds of every record that is loaded, and a file of any writer loads if it is right."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, List
from hypothesis import given

from cotasks.errors import InputError
from cotasks.records.check import check, check_ids, check_records, faults
from cotasks.records.dataset import load_records
from cotasks.records.from_arrow import table_to_records
from cotasks.records.schema import FEATURES, Record, records_to_table
from tests.examples import examples
from tests.strategies import records
from tests.synthetic import make_record, write_folder

pytestmark = pytest.mark.loads_anew

Row = dict[str, Any]
SCHEMA = FEATURES.arrow_schema


def rows() -> list[Row]:
    """Three sound records as dicts, class labels as numbers."""
    made = [
        make_record("v0", 0),
        make_record("v0", 1, choices=("to play", "to eat"), answer_index=0),
        make_record("v1", 0),
    ]
    return [FEATURES.encode_example(record.to_row()) for record in made]


def table(changed: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(changed, schema=SCHEMA)


def fields(feature: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(path, feature) of every field; the items of a list stand for its second one, or its only one."""
    yield path, feature
    if isinstance(feature, dict):
        for name, inner in feature.items():
            yield from fields(inner, (*path, name))
    elif isinstance(feature, List):
        yield from fields(feature.feature, (*path, -1))


PATHS = [(path, feature) for path, feature in fields(dict(FEATURES)) if path]


def values_for(path: tuple[Any, ...], feature: Any) -> list[Any]:
    """What the field must not hold."""
    if isinstance(feature, dict | List):
        return [None]
    if isinstance(feature, ClassLabel):
        return [None, -1, 5, 99]
    kind = feature.pa_type
    if pa.types.is_string(kind):
        return [None, "\x1b[31m", "\x00", "a\x9b1m", "\x7f"]
    if pa.types.is_floating(kind):
        return [None, math.nan, math.inf, -math.inf, *([] if "xyxy" in path else [-1.0, 1e9])]
    if pa.types.is_boolean(kind):
        return [None]
    numbers = [-7, 2**31 - 1]
    return numbers if path in {("frame_count",), ("width",), ("height",)} else [None, *numbers]


MUTATIONS = [
    (path, value)
    for path, feature in PATHS
    for value in values_for(path, feature)
    if (path, value) not in ((("fps",), 1e9), (("frame_count",), 2**31 - 1))
]


def changed(path: tuple[Any, ...], value: Any) -> list[Row]:
    """`rows()`, the field of the second record set to a value."""
    made = rows()
    made[1]["additional_answers"] = ["to run"]
    target: Any = made[1]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return made


def name_of(path: tuple[Any, ...]) -> str:
    return ".".join(step for step in path if step != -1)


def test_a_value_that_the_schema_does_not_allow_is_named_with_its_record() -> None:
    assert len(MUTATIONS) >= 250
    assert {path for path, _ in MUTATIONS} == {path for path, _ in PATHS}
    for path, value in MUTATIONS:
        made = table(changed(path, value))
        with pytest.raises(InputError) as caught:  # noqa: PT012  # as `load_records` does
            check_ids(made, "here: validation")
            check(made, "here: validation")
        message = str(caught.value)
        assert message.startswith("here: validation: "), (path, value)
        assert not set(message) & {"\n", "\x1b", "\x00"}, (path, value)
        assert path[0] in message, (path, value)
        assert path == ("id",) or "'nextqa/validation/v0/1'" in message, (path, value)


RELATIONS = ("spatial_relations", "temporal_relations")
BROKEN: list[tuple[str, Callable[[Row], Any], str]] = [
    ("a frame twice", lambda r: r["frames"].insert(1, dict(r["frames"][0])), "frames.index"),
    ("frames in another order", lambda r: r["frames"].reverse(), "frames.index"),
    ("twice the rate", lambda r: r.update(fps=50.0), "frames.seconds"),
    ("fewer frames than the grid", lambda r: r.update(frame_count=30), "frames.index"),
    ("no frame", lambda r: r.update(frames=[]), "frames"),
    ("a frame off the grid", lambda r: r["frame_localization"]["frames"].insert(1, 1), "frame_localization.frames"),
    ("spans in another order", lambda r: spans(r, (1.0, 2.0), (0.5, 0.7)), "frame_localization.spans.start_seconds"),
    ("a span that ends before it begins", lambda r: spans(r, (1.0, 0.5)), "frame_localization.spans"),
    ("a span after the video", lambda r: spans(r, (1.0, 9.0)), "frame_localization.spans"),
    ("a clip after the video", lambda r: r.update(clip={"start_seconds": 0.0, "end_seconds": 9.0}), "clip"),
    ("no span", lambda r: spans(r), "frame_localization.spans"),
    ("an unknown thing", lambda r: r["frame_localization"]["entities"][1].update(tid=7), "entities.tid"),
    ("a renamed thing", lambda r: r["frame_localization"]["entities"][1].update(category="cat"), "entities.category"),
    ("a thing twice", lambda r: r["scene"]["entities"].append(dict(r["scene"]["entities"][1])), "scene.entities.tid"),
    ("a renamed track", lambda r: r["scene"]["entity_tracking"][1].update(category="cat"), "entity_tracking.category"),
    ("a track without boxes", lambda r: r["entity_tracking"][0].update(boxes=[]), "entity_tracking.boxes"),
    ("a track twice", lambda r: r["entity_tracking"].append(r["entity_tracking"][1]), "entity_tracking.tid"),
    ("an inverted box", lambda r: box(r)["xyxy"].reverse(), "scene.entity_tracking.boxes.xyxy"),
    ("a box without width", lambda r: box(r).update(xyxy=[5.0, 5.0, 5.0, 9.0]), "scene.entity_tracking.boxes.xyxy"),
    ("a box off the grid", lambda r: box(r).update(frame=1), "scene.entity_tracking.boxes.frame"),
    *((f"{k}: unknown end", lambda r, k=k: r[k][0].update(object_tid=5), f"{k}.object_tid") for k in RELATIONS),
    ("a triple off step 1's frames", lambda r: r["frame_localization"]["frames"].pop(), "boxes.frame"),
    ("an empty stretch", lambda r: r["temporal_relations"][0].update(begin_frame=60), "temporal_relations.end_frame"),
    ("a right choice that is none", lambda r: r.update(answer_index=2), "answer_index"),
    ("an id twice", lambda r: r.update(id="nextqa/validation/v0/0"), "id"),
    ("an empty name", lambda r: r["scene"]["spatial_relations"][0].update(predicate=""), "spatial_relations.predicate"),
    ("a name of two lines", lambda r: r["scene"]["entities"][0].update(category="a\nb"), "scene.entities.category"),
    ("no path", lambda r: r.update(video_path=""), "video_path"),
]


def spans(row: Row, *pairs: tuple[float, float]) -> None:
    row["frame_localization"]["spans"] = [{"start_seconds": a, "end_seconds": b} for a, b in pairs]


def box(row: Row) -> Any:
    return row["scene"]["entity_tracking"][1]["boxes"][2]


def test_values_that_contradict_each_other_are_named() -> None:
    check(table(rows()), "here")
    for name, break_, field in BROKEN:
        made = rows()
        break_(made[1])
        with pytest.raises(InputError) as caught:  # noqa: PT012
            check_ids(table(made), "here")
            check(table(made), "here")
        found = re.search(r"column ([a-z_.]+) (is|stands)", str(caught.value))
        assert found is not None, name
        assert found[1].endswith(field), (name, str(caught.value))


def test_text_may_run_over_lines_and_be_of_any_script(tmp_path: Path) -> None:
    answer = "\u732b \U0001f408 caf\u00e9 \u00a0"
    made = [
        make_record("v0", 0, question="why?\r\n\tsay so", answer=answer, additional_answers=("",), category=""),
        dataclasses.replace(make_record("v\u00e9", 1), width=None, height=None, frame_count=None),
    ]
    found = load_records(str(write_folder(tmp_path, made)))
    assert sorted(found, key=lambda r: r.id) == sorted(made, key=lambda r: r.id)
    assert faults(records_to_table(made)) == []


def test_bytes_that_are_no_text_are_named() -> None:
    made = table(rows())
    raw = pa.array([b"dog", b"\xff\xfe", b"cat"], pa.binary()).view(pa.string())
    for name in ("question", "video_id"):
        broken = made.set_column(made.column_names.index(name), made.schema.field(name), raw)
        with pytest.raises(InputError, match=rf"record 'nextqa/validation/v0/1': column {name} is b'\\xff"):  # noqa: PT012
            check_ids(broken, "here")
            check(broken, "here")


@examples(25)
@given(records())
def test_whatever_the_package_makes_is_sound_but_for_its_text(record: Record) -> None:
    check_records([dataclasses.replace(record, question="why")], "here")


def test_a_record_with_values_of_no_type_is_one_line() -> None:
    with pytest.raises(InputError, match=r"here: records \['nextqa/validation/v0/0'\]: a value of another type"):
        check_records([make_record("v0", 0, frames=None)], "here")


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table]) -> str:
    """A folder with one parquet file of `rows()`, as another program would write it."""
    write_folder(folder, table_to_records(table(rows())))
    [path] = folder.glob("*/*.parquet")
    pq.write_table(change(table(rows())).replace_schema_metadata(None), path)
    return str(folder)


def other_types(feature: Any, kind: pa.DataType) -> pa.DataType:
    """int64, large strings and large lists, floats of 32 bits nowhere, names for class labels."""
    if isinstance(feature, dict):
        return pa.struct(
            [(name, other_types(inner, kind.field(name).type)) for name, inner in reversed(feature.items())]
        )
    if isinstance(feature, List):
        return pa.large_list(other_types(feature.feature, kind.value_type))
    if pa.types.is_string(kind):
        return pa.large_string()
    return pa.int64() if pa.types.is_integer(kind) else kind


def with_names(value: Any, feature: Any) -> Any:
    if isinstance(feature, dict):
        return {name: with_names(value[name], inner) for name, inner in feature.items()}
    if isinstance(feature, ClassLabel):
        return feature.int2str(value)
    return value


def loosely_typed(made: pa.Table) -> pa.Table:
    columns = {}
    for name, feature in FEATURES.items():
        if name == "frame_localization":  # class labels by name
            columns[name] = pa.array([with_names(value, feature) for value in made[name].to_pylist()])
        else:
            columns[name] = pa.array(made[name].to_pylist(), other_types(feature, SCHEMA.field(name).type))
    return pa.table(columns)


def by_pandas(made: pa.Table) -> pa.Table:
    return pa.Table.from_pandas(made.to_pandas(), preserve_index=False)


@pytest.mark.parametrize(
    "change",
    [
        loosely_typed,
        by_pandas,
        lambda t: t.set_column(t.column_names.index("width"), "width", t["width"].cast(pa.float64())),
        lambda t: t.set_column(t.column_names.index("fps"), "fps", t["fps"].cast(pa.int32())),
        lambda t: t.append_column("mine", pa.array(["x"] * 3)).select([*reversed(t.column_names), "mine"]),
        lambda t: t.set_column(0, "id", t["id"].dictionary_encode()),
    ],
    ids=["other types", "pandas", "floats", "whole rates", "other columns", "dictionary"],
)
def test_a_file_that_another_program_wrote_loads_if_it_is_right(
    change: Callable[[pa.Table], pa.Table], tmp_path: Path
) -> None:
    plain = load_records(str(write_folder(tmp_path / "a", table_to_records(table(rows())))))
    other = load_records(rewritten(tmp_path / "b", change))
    assert list(other) == list(plain)
    assert other.at(1) == plain.at(1)
    assert dict(other.rows.features) == FEATURES
    assert other.fingerprint == plain.fingerprint


def test_columns_that_say_nothing_may_lack(tmp_path: Path) -> None:
    lacking = ("frame_count", "width", "height", "additional_answers", "choices")
    made = [{**row, "choices": [], "answer_index": -1} for row in rows()]
    found = list(load_records(rewritten(tmp_path, lambda _: table(made).drop_columns(list(lacking)))))
    assert {getattr(record, name) for record in found for name in lacking} == {None, ()}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("fps", ["25", "25", "25"], "column fps is string; expected double"),
        ("question", [1, 2, 3], "column question is int64; expected string"),
        ("width", [640.0, 640.5, None], "record 'nextqa/validation/v0/1': column width is 640.5; expected int32"),
        ("answer_index", [-1, 2**40, -1], "record 'nextqa/validation/v0/1': column answer_index is 1099511627776"),
        ("clip", [1.0, 2.0, 3.0], "column clip is double; expected fields start_seconds, end_seconds"),
        ("choices", ["a", "b", "c"], "column choices is string; expected a list"),
        ("entity_tracking", [[{"tid": 0}]] * 3, "column entity_tracking is without category"),
        ("id", [None, None, None], "row 0: column id is None"),
    ],
)
def test_values_of_other_types_are_named(name: str, values: list[Any], message: str, tmp_path: Path) -> None:
    folder = rewritten(tmp_path, lambda t: t.set_column(t.column_names.index(name), name, pa.array(values)))
    with pytest.raises(InputError) as caught:
        load_records(folder)
    assert message in str(caught.value)


def test_a_box_of_three_numbers_and_an_unknown_origin_are_named(tmp_path: Path) -> None:
    def cut(made: pa.Table) -> pa.Table:
        loose = [copy.deepcopy(row) for row in made.to_pylist()]
        loose[1]["scene"]["entity_tracking"][1]["boxes"][2]["xyxy"].pop()
        return pa.Table.from_pylist(loose)

    def rename(made: pa.Table) -> pa.Table:
        loose = loosely_typed(made).to_pylist()
        loose[1]["frame_localization"]["span_origin"] = "guess"
        return pa.Table.from_pylist(loose)

    for number, (change, words) in enumerate(
        ((cut, "expected 4 numbers"), (rename, "is 'guess'; expected one of human"))
    ):
        with pytest.raises(InputError, match=rf"record 'nextqa/validation/v0/1': column .*{words}"):
            load_records(rewritten(tmp_path / str(number), change))
