"""Columns that other programs wrote, in the types of a record.

pandas, a hand-made script or JSON lines give `int64` for `int32`, `large_string` for `string`, a list of any length for
four numbers, names for class labels. Such columns are converted where no value is lost; anything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, List

from cotasks.errors import shorten
from cotasks.records.schema import FEATURES

MAY_LACK: Mapping[str, Any] = {
    **dict.fromkeys(("frame_count", "width", "height")),
    "additional_answers": [],
    "choices": [],
}
"""Columns that a data set may do without -> what then stands in every row: what the schema says for "none"."""


class OtherType(ValueError):
    """Values that are not of a record's types; the message says `PATH is VALUE; expected TYPE`."""


def missing_column(name: str, rows: int) -> pa.Array:
    """A column of `MAY_LACK` for so many rows."""
    return pa.array([MAY_LACK[name]] * rows, FEATURES.arrow_schema.field(name).type)


def converted(name: str, array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of a record in its own type, nulls kept. Raises OtherType for a value that the type cannot hold."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    kind = FEATURES.arrow_schema.field(name).type
    if array.type == kind:
        return array
    return _converted(FEATURES[name], array, name).cast(kind)


def _converted(feature: Any, array: pa.Array, path: str) -> pa.Array:
    if pa.types.is_null(array.type):  # a column without any value, of a writer that guesses types from values
        return pa.nulls(len(array), _type(feature))
    if isinstance(feature, dict):
        return _struct(feature, array, path)
    if isinstance(feature, List):
        return _list(feature, array, path)
    if isinstance(feature, ClassLabel):
        return _label(feature, array, path)
    kind = feature.pa_type
    text = pa.types.is_string(kind)
    if text != _is_text(array.type) or pa.types.is_boolean(kind) != pa.types.is_boolean(array.type):
        raise OtherType(f"{path} is {array.type}; expected {kind}")
    if not text and not pa.types.is_boolean(kind) and not _is_number(array.type):
        raise OtherType(f"{path} is {array.type}; expected {kind}")
    if pa.types.is_floating(array.type) and not pa.types.is_floating(kind):
        # whole numbers with a gap among them are floats to pandas, and the gap is no number
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    try:
        return array.cast(kind)
    except pa.ArrowInvalid:
        raise OtherType(f"{path} is {shorten(_misfit(array, kind))}; expected {kind}") from None


def _struct(feature: Mapping[str, Any], array: pa.Array, path: str) -> pa.Array:
    if not pa.types.is_struct(array.type):
        raise OtherType(f"{path} is {array.type}; expected fields {', '.join(feature)}")
    found = {field.name for field in array.type}
    for name in feature:
        if name not in found:
            raise OtherType(f"{path} is without {name}; expected fields {', '.join(feature)}")
    columns = [_converted(inner, array.field(name), f"{path}.{name}") for name, inner in feature.items()]
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(columns, names=list(feature), mask=mask)


def _list(feature: List, array: pa.Array, path: str) -> pa.Array:
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise OtherType(f"{path} is {kind}; expected a list")
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    items = _converted(feature.feature, array.flatten(), path)
    if feature.length >= 0:
        if array.null_count or (lengths != feature.length).any():
            wrong = int(np.flatnonzero(lengths != feature.length)[0])
            raise OtherType(f"{path} is {shorten(array[wrong].as_py())}; expected {feature.length} numbers")
        return pa.FixedSizeListArray.from_arrays(items, feature.length)
    offsets = np.concatenate([[0], lengths.cumsum()])
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, mask=mask)


def _label(feature: ClassLabel, array: pa.Array, path: str) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if not _is_text(array.type):
        if not pa.types.is_integer(array.type):
            raise OtherType(f"{path} is {array.type}; expected one of {', '.join(feature.names)}")
        return array.cast(pa.int64())
    numbers = pc.index_in(array, value_set=pa.array(feature.names, array.type))
    unknown = pc.and_(pc.is_null(numbers), pc.is_valid(array)).to_numpy(zero_copy_only=False)
    if unknown.any():
        value = array[int(np.flatnonzero(unknown)[0])].as_py()
        raise OtherType(f"{path} is {shorten(value)}; expected one of {', '.join(feature.names)}")
    return numbers.cast(pa.int64())


def _type(feature: Any) -> pa.DataType:
    """The Arrow type of a feature."""
    if isinstance(feature, dict):
        return pa.struct([(name, _type(inner)) for name, inner in feature.items()])
    if isinstance(feature, List):
        return (
            pa.list_(_type(feature.feature), feature.length)
            if feature.length >= 0
            else pa.list_(_type(feature.feature))
        )
    return feature.pa_type


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    is_view = getattr(pa.types, "is_string_view", lambda kind: False)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _misfit(array: pa.Array, kind: pa.DataType) -> Any:
    """The first value that cannot be cast, by halves."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            array[low:middle].cast(kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return array[low].as_py()
