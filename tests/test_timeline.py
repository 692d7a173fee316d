"""The grid: uniform, snapped, thinned; spans to frames and back."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.records.schema import Span
from cotasks.records.timeline import (
    frames_in_spans,
    grid_frames,
    overlaps,
    runs,
    snapped_grid,
    spans_of_frames,
    thin,
    uniform_grid,
)
from tests.examples import examples


def test_uniform_grid_is_linspace_rounded() -> None:
    assert uniform_grid(0, 1020, 64) == [int(i) for i in np.unique(np.round(np.linspace(0, 1020, 64)))]
    assert uniform_grid(0, 3, 64) == [0, 1, 2, 3]  # fewer frames than asked for
    assert uniform_grid(7, 7, 64) == [7]
    assert uniform_grid(0, 10, 1) == [5]


@pytest.mark.parametrize(("first", "last", "count"), [(3, 2, 4), (-1, 2, 4), (0, 2, 0)])
def test_uniform_grid_refuses(first: int, last: int, count: int) -> None:
    with pytest.raises(InputError, match="expected"):
        uniform_grid(first, last, count)


def least_shift(uniform: list[int], keys: list[int]) -> int:
    """By trying every choice of places in order."""
    return min(
        sum(abs(uniform[p] - k) for p, k in zip(places, keys, strict=True))
        for places in combinations(range(len(uniform)), len(keys))
    )


@examples(300)
@given(
    uniform=st.lists(st.integers(0, 60), min_size=1, max_size=8, unique=True).map(sorted),
    keys=st.lists(st.integers(0, 60), max_size=8, unique=True),
)
def test_snapped_grid_moves_as_little_as_possible(uniform: list[int], keys: list[int]) -> None:
    snapped = snapped_grid(uniform, keys)
    assert len(snapped) == len(uniform)
    assert snapped == sorted(set(snapped))
    if len(keys) >= len(uniform):
        assert set(snapped) <= set(keys)
    else:
        assert set(keys) <= set(snapped)
        assert set(snapped) <= set(keys) | set(uniform)
        # one to one and in order: position by position, the shifts add up to the least possible
        shift = sum(abs(a - b) for a, b in zip(snapped, uniform, strict=True))
        assert shift == least_shift(uniform, sorted(keys))


def test_more_keyframes_than_places_are_chosen_evenly() -> None:
    assert snapped_grid([0, 50, 100], list(range(1, 102, 10))) == [1, 51, 101]


def test_frames_in_spans_has_both_ends_and_takes_the_nearest_for_an_empty_span() -> None:
    frames = grid_frames([0, 10, 20, 30], fps=10.0)
    assert frames_in_spans(frames, [Span(1.0, 2.0)]) == (10, 20)
    assert frames_in_spans(frames, [Span(1.1, 1.3)]) == (10,)
    assert frames_in_spans(frames, [Span(1.4, 1.6)]) == (10,)  # equally near: the earlier
    assert frames_in_spans(frames, [Span(0.0, 0.0), Span(2.9, 9.0)]) == (0, 30)


@given(
    grid=st.lists(st.integers(0, 200), min_size=1, max_size=20, unique=True).map(sorted),
    data=st.data(),
)
def test_spans_of_frames_give_the_frames_back(grid: list[int], data: st.DataObject) -> None:
    frames = grid_frames(grid, 29.97)
    chosen = tuple(sorted(data.draw(st.sets(st.sampled_from(grid), min_size=1))))
    assert frames_in_spans(frames, spans_of_frames(chosen, frames)) == chosen
    covered = [f.index for first, last in runs(chosen, frames) for f in frames if first.index <= f.index <= last.index]
    assert tuple(covered) == chosen


def test_overlap_is_half_open_in_frames_and_closed_in_seconds() -> None:
    span = [Span(2.0, 3.0)]
    assert not overlaps(10, 20, 10.0, span)  # its last frame, 19, ends where the span begins
    assert overlaps(10, 21, 10.0, span)
    assert overlaps(30, 31, 10.0, span)
    assert not overlaps(31, 40, 10.0, span)


def test_thin() -> None:
    frames = grid_frames(range(0, 640, 10), 10.0)
    assert [f.index for f in thin(frames, 8)] == [10 * int(i) for i in np.round(np.linspace(0, 63, 8))]
    assert thin(frames, 64) == frames
    with pytest.raises(InputError, match="build with --num-frames 128"):
        thin(frames, 128)
    whole = grid_frames(range(5, 12), 10.0)
    assert thin(whole, 64) == whole  # every frame of the clip is there: no more to be had
