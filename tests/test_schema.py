"""Record, features and Arrow: one truth, no loss."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, List, Value, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from cotasks.records import schema
from cotasks.records.from_arrow import table_to_records
from cotasks.records.schema import FEATURES, Record, records_to_table
from tests.examples import examples
from tests.strategies import records


@examples(60)
@given(rows=st.lists(records(), max_size=4))
def test_records_survive_arrow_and_rows(rows: list[Record]) -> None:
    dataset = Dataset(records_to_table(rows))
    assert dataset.features == FEATURES
    assert [Record.from_row(row) for row in dataset] == rows  # class labels as numbers
    assert [Record.from_row(record.to_row()) for record in rows] == rows  # and as names


@examples(30)
@given(rows=st.lists(records(), min_size=1, max_size=3), shared=st.lists(st.integers(0, 2), min_size=2, max_size=6))
def test_records_that_share_a_scene_are_written_alike(rows: list[Record], shared: list[int]) -> None:
    same = [dataclasses.replace(rows[0], scene=rows[i % len(rows)].scene) for i in shared]
    assert [Record.from_row(row) for row in Dataset(records_to_table(same))] == same


@examples(30)
@given(rows=st.lists(records(), max_size=4), shared=st.sets(st.integers(1, 3)), start=st.integers(0, 3))
def test_a_table_reads_back_as_its_rows_do(rows: list[Record], shared: set[int], start: int) -> None:
    for row in range(len(rows)):
        if row in shared:
            rows[row] = dataclasses.replace(rows[row], scene=rows[row - 1].scene)
    table = records_to_table(rows).slice(start)
    read = table_to_records(table.append_column("more", pa.array([0] * len(table))))
    assert read == rows[start:] == [Record.from_row(row) for row in Dataset(table)]
    assert all((one.scene is two.scene) == (one.scene == two.scene) for one, two in pairwise(read))


@examples(30)
@given(rows=st.lists(records(), min_size=2, max_size=4))
def test_equal_lists_of_boxes_are_read_once(rows: list[Record]) -> None:
    same = [dataclasses.replace(row, entity_tracking=row.scene.entity_tracking, frames=rows[0].frames) for row in rows]
    read = table_to_records(records_to_table(same))
    assert repr(read) == repr(same)  # -0.0 is no 0.0, and an int no float
    assert all(one.frames is read[0].frames for one in read)
    for one in read:
        pairs = zip(one.entity_tracking, one.scene.entity_tracking, strict=True)
        assert all(track.boxes is in_scene.boxes for track, in_scene in pairs)


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(KeyError, match="fps"):
        table_to_records(records_to_table([_record()]).drop_columns(["fps"]))


@examples(15)
@given(rows=st.lists(records(), min_size=1, max_size=3))
def test_table_equals_what_datasets_encodes(rows: list[Record]) -> None:
    encoded = Dataset.from_list([FEATURES.encode_example(r.to_row()) for r in rows], features=FEATURES)
    assert encoded.data.table.combine_chunks().equals(records_to_table(rows).combine_chunks())


def test_features_are_typed() -> None:
    assert FEATURES["source"] == FEATURES["question_type"] == FEATURES["category"] == Value("string")
    assert isinstance(FEATURES["frame_localization"]["span_origin"], ClassLabel)
    box = FEATURES["entity_tracking"].feature["boxes"].feature
    assert box == {"frame": Value("int32"), "xyxy": List(Value("float64"), length=4), "generated": Value("bool")}
    assert isinstance(FEATURES["frames"], List)
    assert FEATURES["scene"]["entity_tracking"] == FEATURES["entity_tracking"]


def test_parquet_loads_with_plain_datasets(tmp_path: Path) -> None:
    row = _record()
    pq.write_table(records_to_table([row]), tmp_path / "train.parquet")
    loaded = load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), split="train")
    assert loaded.features == FEATURES
    assert Record.from_row(loaded[0]) == row
    streamed = load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), split="train", streaming=True)
    assert Record.from_row(next(iter(streamed))) == row


def _record() -> Record:
    span = schema.Span(0.0, 1.0)
    entity = schema.Entity(3, "dog")
    track = schema.Track(3, "dog", (schema.Box(0, (0.5, 1.0, 2.0, 3.25), True),))
    return Record(
        id="star/train/Interaction_T1_0",
        source="star",
        question_type="Interaction",
        category="interaction",
        video_id="ABCDE",
        video_path="ABCDE.mp4",
        fps=29.97,
        frame_count=None,
        width=None,
        height=None,
        clip=span,
        question="Which?",
        answer="The dog.",
        additional_answers=(),
        choices=("The dog.", "None"),
        answer_index=0,
        frames=(schema.Frame(0, 0.0),),
        frame_localization=schema.FrameLocalization((0,), (span,), (entity,), "annotation", "annotation", False),
        entity_tracking=(track,),
        spatial_relations=(),
        temporal_relations=(schema.TemporalRelation(3, "hold", 3, 0, 1),),
        scene=schema.Scene((entity,), (track,), (), ()),
    )


def test_unknown_sizes_are_null() -> None:
    row = Dataset(records_to_table([_record()]))[0]
    assert row["width"] is None
    assert row["frame_count"] is None


def field_docs(cls: type) -> dict[str, str]:
    """The string under each field of a dataclass."""
    body = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: " ".join(doc.value.value.split())
        for field, doc in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr)
    }


@pytest.mark.parametrize(
    "cls",
    [c for c in vars(schema).values() if dataclasses.is_dataclass(c) and c.__module__ == schema.__name__],
    ids=lambda c: c.__name__,
)
def test_each_field_has_a_docstring(cls: type) -> None:
    assert list(field_docs(cls)) == [field.name for field in dataclasses.fields(cls)]


def test_the_card_lists_each_field_with_the_same_words() -> None:
    card = (Path(__file__).parents[1] / "dataset_card.md").read_text(encoding="utf-8")
    for name, doc in field_docs(Record).items():
        assert f"| `{name}` | {doc} |" in card
