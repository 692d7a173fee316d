"""Arrow tables -> records, a column at a time: no dict is built for any row, box or triple."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from itertools import accumulate, islice, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, List
from numpy.typing import NDArray

from cotasks.records.schema import Record, Scene, fields_of, is_struct
from cotasks.tools.collector import without_gc

Known = dict[pa.DataType, dict[bytes, tuple[Any, ...]]]
"""Lists of items of fixed width that were read: type and bytes of the items -> the one tuple for all of these bytes."""


def _from_arrow(hint: Any, array: pa.Array, known: Known) -> list[Any]:
    """Arrow array of one field -> its values, a column at a time: the way back of `records_to_table`."""
    if hint is Scene:
        # the questions of a video follow one another and share its scene: read it once
        is_new = [row == 0 or not array[row - 1 : row].equals(array[row : row + 1]) for row in range(len(array))]
        if not all(is_new):
            scenes = _from_arrow(hint, array.filter(pa.array(is_new)), known)
            return [scenes[number - 1] for number in accumulate(is_new)]
    if is_struct(hint):
        columns = zip(fields_of(hint), array.flatten(), strict=True)
        return list(map(hint, *[_from_arrow(h, column, known) for (_, h), column in columns]))
    if typing.get_origin(hint) is tuple:
        return _lists_from_arrow(typing.get_args(hint)[0], array, known)
    feature = hint.__metadata__[0]
    if isinstance(feature, List):
        numbers = iter(array.flatten().to_numpy().tolist())
        return list(zip(*[numbers] * feature.length, strict=True))
    if isinstance(feature, ClassLabel):
        return [feature.names[value] for value in array.to_pylist()]
    is_number = array.null_count == 0 and not pa.types.is_string(array.type)
    return array.to_numpy(zero_copy_only=False).tolist() if is_number else array.to_pylist()


def _lists_from_arrow(item: Any, array: pa.Array, known: Known) -> list[tuple[Any, ...]]:
    """Lists of a kind of item -> tuples. The boxes of step 2 are mostly those of the scene, and the frames of a grid
    those of the question before: what has the same bytes is one object, made once."""
    offsets = array.offsets.to_numpy()
    flat = array.flatten()
    content = _fixed_width(flat)
    if content is None:
        return _cut(_from_arrow(item, flat, known), offsets)
    whole = content.tobytes()
    ends = ((offsets - offsets[0]) * content.shape[1]).tolist()
    keys = [whole[start:end] for start, end in pairwise(ends)]
    tuples = known.setdefault(array.type, {})
    places = {key: place for place, key in enumerate(keys) if key not in tuples}
    if places:
        new = array if len(places) == len(keys) else array.take(pa.array(places.values(), pa.int32()))
        tuples.update(zip(places, _cut(_from_arrow(item, new.flatten(), known), new.offsets.to_numpy()), strict=True))
    return [tuples[key] for key in keys]


def _cut(items: Sequence[Any], offsets: NDArray[np.int32]) -> list[tuple[Any, ...]]:
    """Items -> tuples of as many as lie between two offsets."""
    remaining = iter(items)
    return [tuple(islice(remaining, length)) for length in np.diff(offsets).tolist()]


def _fixed_width(array: pa.Array) -> NDArray[np.uint8] | None:
    """(items, bytes of one): the values of an array of numbers, or of structs or fixed lists of them; None where some
    are null or have no fixed width."""
    if array.null_count:
        return None
    if pa.types.is_struct(array.type):
        parts = [_fixed_width(column) for column in array.flatten()]
        return None if any(part is None for part in parts) else np.concatenate(parts, axis=1)  # type: ignore[arg-type]
    if pa.types.is_fixed_size_list(array.type):
        numbers = _fixed_width(array.flatten())
        return None if numbers is None else numbers.reshape(len(array), numbers.shape[1] * array.type.list_size)
    if not pa.types.is_primitive(array.type):
        return None
    values = np.ascontiguousarray(array.to_numpy(zero_copy_only=False))
    return values.view(np.uint8).reshape(len(array), values.itemsize)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def table_to_records(table: pa.Table) -> list[Record]:
    """Arrow table with the columns of `FEATURES` -> records, equal to `Record.from_row` of its rows and several times
    as fast. Rows that follow one another with equal scenes share one object, and so do equal lists of boxes or frames.
    Extra columns are ignored.

    Raises KeyError where a column is missing.
    """
    columns = [(hint, _one(table.column(name))) for name, hint in fields_of(Record)]
    known: Known = {}
    with without_gc():
        return list(map(Record, *[_from_arrow(hint, column, known) for hint, column in columns]))
