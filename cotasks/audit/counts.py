"""What is in the records: counts, sizes, names, and the sanity of boxes, a video at a time and a column at a time.

Boxes are those of the scenes, each counted once however many questions a video has: once for each (video, tid, frame).

- **empty**: x2 <= x1 or y2 <= y1.
- **outside**: beyond the frame by more than `OUTSIDE_PIXELS` on some side.
- **tiny**: an area below `TINY_SHARE` of the frame's (18 x 18 pixels in 640 x 480).
- **generated**: written by a tracker, as the source says.
- **frozen**: part of a run of at least `FROZEN_FRAMES` frames, successive among those of its track on the grid, whose
  boxes are equal in all four numbers. A thing that lies still before a still camera can be frozen too, and so is a
  tracker that has stopped; a *track* (an entity of a video) is frozen where it has such a run, and can be only where
  it has so many boxes (`long_tracks`).

Where a video's size is unknown, its boxes cannot be `outside` or `tiny`: they are `unchecked`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cotasks.records.schema import FEATURES, Record
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.words.types import Kind, kind_of

Ints = npt.NDArray[np.int64]

OUTSIDE_PIXELS = 0.01
TINY_SHARE = 0.001
FROZEN_FRAMES = 8
"""As many boxes of an entity as a prompt shows by default."""
MOST_EXAMPLES = 10
"""Examples kept of each kind of odd box."""
QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
BINS = 24
"""Bins of a histogram, at most."""

LABELS = {
    "span_origins": "span_origin",
    "entity_origins": "entity_origin",
}
"""Name of a count -> field of the record's frame_localization."""
SIZES = {
    "grid_frames": "frames of the grid",
    "a1_frames": "frames in A1",
    "scene_entities": "entities annotated in the video",
    "a1_entities": "entities in A1",
    "a2_boxes": "boxes in A2",
    "prompt_boxes": "boxes in a prompt",
    "a3_triples": "triples in A3",
    "a4_triples": "triples in A4",
}
"""What is counted in each record -> in words."""


@dataclass
class BoxCounts:
    """Sanity of the boxes of the scenes; the module defines the words."""

    boxes: int = 0
    unchecked: int = 0
    generated: int = 0
    empty: int = 0
    outside: int = 0
    farthest_outside: float = 0.0
    """Pixels."""
    tiny: int = 0
    frozen: int = 0
    tracks: int = 0
    long_tracks: int = 0
    frozen_tracks: int = 0
    area: Counter[float] = field(default_factory=Counter)
    """Histogram: lower end of a bin of log10(box area / frame area), 0.25 wide -> boxes."""
    longest_run: Counter[int] = field(default_factory=Counter)
    """Length of a track's longest run of equal boxes -> tracks."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Kind -> the first few: {video_id, tid, frame, xyxy}, for frozen runs also `frames`."""


@dataclass
class SplitCounts:
    """What one split holds."""

    records: int = 0
    videos: int = 0
    used_answer: int = 0
    """Records whose step 1 saw the answer."""
    labels: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in LABELS})
    sources: Counter[str] = field(default_factory=Counter)
    kinds: Counter[Kind] = field(default_factory=Counter)
    """Records of each source, category and type."""
    origins: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """(group, category, span origin, entity origin) -> records."""
    kept: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    """(span origin, entity origin) -> of each record, what step 1 keeps: (share of the grid's frames, share of the
    scene's entities; nan where it has none)."""
    sizes: dict[str, list[Ints]] = field(default_factory=lambda: {name: [] for name in SIZES})
    """Arrays over records, in order."""
    entity_categories: dict[str, Counter[str]] = field(
        default_factory=lambda: {n: Counter() for n in ("scene", "steps", "records")}
    )
    """Category -> entities of the videos; entities in the records' A1; records with one."""
    predicates: dict[str, dict[str, Counter[str]]] = field(
        default_factory=lambda: {s: {n: Counter() for n in ("scene", "steps", "records")} for s in ("a3", "a4")}
    )
    """The same for triples: distinct (subject, predicate, object) of the videos; triples in A3 or A4; records."""
    boxes: BoxCounts = field(default_factory=BoxCounts)


def video_tables(rows: Any) -> Iterator[pa.Table]:
    """The rows of a split as Arrow tables, one a video; rows of a video must lie side by side."""
    video_ids = list(rows["video_id"])
    arrow = rows.with_format("arrow")
    start = 0
    for end in range(1, len(video_ids) + 1):
        if end == len(video_ids) or video_ids[end] != video_ids[start]:
            yield arrow[start:end]
            start = end


def add_video(counts: SplitCounts, table: pa.Table) -> None:
    """Count a video's records."""
    counts.records += table.num_rows
    counts.videos += 1
    localization, scene = _column(table, "frame_localization"), _column(table, "scene")
    counts.used_answer += int(pc.sum(localization.field("used_answer")).as_py() or 0)
    labels: dict[str, list[str]] = {}
    for name, column in LABELS.items():
        feature, values = FEATURES["frame_localization"][column], localization.field(column)
        labels[name] = [feature.int2str(int(value)) for value in values.to_numpy(zero_copy_only=False)]
        counts.labels[name].update(labels[name])
    named = table.select(["source", "category", "question_type"]).to_pylist()
    kinds = [kind_of(row) for row in named]
    counts.sources.update(row["source"] for row in named)
    counts.kinds.update(kinds)
    places = [(kind.group, kind.category) for kind in kinds]
    counts.origins.update(
        (*place, span, entity)
        for place, span, entity in zip(places, labels["span_origins"], labels["entity_origins"], strict=True)
    )

    tracks = _column(table, "entity_tracking")
    boxes = _lengths(_items(tracks).field("boxes"))  # of each track
    sizes = {
        "grid_frames": _lengths(_column(table, "frames")),
        "a1_frames": _lengths(localization.field("frames")),
        "scene_entities": _lengths(scene.field("entities")),
        "a1_entities": _lengths(localization.field("entities")),
        "a2_boxes": _sum_by_row(boxes, _lengths(tracks)),
        "prompt_boxes": _sum_by_row(np.minimum(boxes, BOXES_PER_ENTITY), _lengths(tracks)),
        "a3_triples": _lengths(_column(table, "spatial_relations")),
        "a4_triples": _lengths(_column(table, "temporal_relations")),
    }
    for name, values in sizes.items():
        counts.sizes[name].append(values)

    with np.errstate(invalid="ignore"):
        shares = sizes["a1_frames"] / sizes["grid_frames"], sizes["a1_entities"] / sizes["scene_entities"]
    for span, entity, grid_share, entity_share in zip(
        labels["span_origins"], labels["entity_origins"], *shares, strict=True
    ):
        counts.kept.setdefault((span, entity), []).append((float(grid_share), float(entity_share)))

    entities = _items(scene.field("entities"))
    pairs = dict(zip(entities.field("tid").to_pylist(), entities.field("category").to_pylist(), strict=True))
    counts.entity_categories["scene"].update(pairs.values())
    _count_names(counts.entity_categories, localization.field("entities"), "category")
    for step, column in (("a3", "spatial_relations"), ("a4", "temporal_relations")):
        triples = _items(scene.field(column))
        fields = [triples.field(name).to_pylist() for name in ("subject_tid", "predicate", "object_tid")]
        counts.predicates[step]["scene"].update(predicate for _, predicate, _ in set(zip(*fields, strict=True)))
        _count_names(counts.predicates[step], _column(table, column), "predicate")
    _add_boxes(counts.boxes, table, scene.field("entity_tracking"))


def _column(table: pa.Table, name: str) -> Any:
    column = table[name]
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _lengths(lists: Any) -> Ints:
    return np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)


def _items(lists: Any) -> Any:
    """The items of all lists in a row."""
    return lists.flatten()


def _sum_by_row(values: Ints, lengths: Ints) -> Ints:
    """The sum of the next `lengths[i]` values, for each i."""
    ends = np.cumsum(lengths)
    totals = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(totals[ends] - totals[ends - lengths], dtype=np.int64)


def _count_names(counters: dict[str, Counter[str]], lists: Any, name: str) -> None:
    """Add the names of each row's items to `steps`, and once a row to `records`."""
    names = _items(lists).field(name).to_pylist()
    start = 0
    for length in _lengths(lists):
        counters["steps"].update(names[start : start + length])
        counters["records"].update(set(names[start : start + length]))
        start += length


def _add_boxes(counts: BoxCounts, table: pa.Table, tracks: Any) -> None:
    """Add the boxes of one video: `tracks` is the scenes' column of lists of tracks."""
    of_track = _items(tracks)
    lists = of_track.field("boxes")
    flat = _items(lists)
    tid = np.repeat(of_track.field("tid").to_numpy(zero_copy_only=False).astype(np.int64), _lengths(lists))
    frame = flat.field("frame").to_numpy(zero_copy_only=False).astype(np.int64)
    xyxy = flat.field("xyxy").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    generated = flat.field("generated").to_numpy(zero_copy_only=False).astype(bool)
    # one of each (tid, frame), in this order
    _, first = np.unique(np.stack([tid, frame]), axis=1, return_index=True)
    tid, frame, xyxy, generated = tid[first], frame[first], xyxy[first], generated[first]
    if not len(tid):
        return
    video_id = table["video_id"][0].as_py()

    def examples(kind: str, places: Ints, **more: Sequence[int]) -> None:
        kept = counts.examples.setdefault(kind, [])
        for position, place in enumerate(places[: MOST_EXAMPLES - len(kept)]):
            where = {"video_id": video_id, "tid": int(tid[place]), "frame": int(frame[place])}
            extra = {name: int(values[position]) for name, values in more.items()}
            kept.append({**where, "xyxy": xyxy[place].tolist(), **extra})

    counts.boxes += len(tid)
    counts.generated += int(generated.sum())
    empty = (xyxy[:, 2] <= xyxy[:, 0]) | (xyxy[:, 3] <= xyxy[:, 1])
    counts.empty += int(empty.sum())
    examples("empty", np.flatnonzero(empty))

    width, height = table["width"][0].as_py(), table["height"][0].as_py()
    if width and height:
        beyond = np.maximum(-xyxy[:, :2], xyxy[:, 2:] - (width, height)).max(axis=1)
        beyond = np.maximum(beyond, np.maximum(-xyxy[:, 2:], xyxy[:, :2] - (width, height)).max(axis=1))
        outside = beyond > OUTSIDE_PIXELS
        counts.outside += int(outside.sum())
        counts.farthest_outside = max(counts.farthest_outside, float(beyond.max()))
        examples("outside", np.flatnonzero(outside))
        share = np.prod(np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0), axis=1) / (width * height)
        tiny = (share < TINY_SHARE) & ~empty
        counts.tiny += int(tiny.sum())
        examples("tiny", np.flatnonzero(tiny))
        bins = np.floor(np.log10(share[share > 0]) * 4) / 4
        counts.area.update(bins.tolist())
    else:
        counts.unchecked += len(tid)

    # runs of equal boxes along a track
    begins = np.ones(len(tid), bool)
    begins[1:] = (tid[1:] != tid[:-1]) | (xyxy[1:] != xyxy[:-1]).any(axis=1)
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(tid)))
    frozen = lengths >= FROZEN_FRAMES
    counts.frozen += int(lengths[frozen].sum())
    examples("frozen", starts[frozen], frames=lengths[frozen].tolist())
    tids, of_run = np.unique(tid[starts], return_inverse=True)
    longest = np.zeros(len(tids), np.int64)
    np.maximum.at(longest, of_run, lengths)
    counts.longest_run.update(longest.tolist())
    counts.tracks += len(tids)
    counts.long_tracks += int((np.bincount(of_run, lengths) >= FROZEN_FRAMES).sum())
    counts.frozen_tracks += int((longest >= FROZEN_FRAMES).sum())


def light_records(table: pa.Table) -> list[Record]:
    """The records of a table without what no word of a prompt depends on: one box a track, and of the scene the
    entities only: reading these would take most of the time.
    """
    tracks, scene = _column(table, "entity_tracking"), _column(table, "scene")
    of_track = _items(tracks)
    offsets = pa.array(np.concatenate([[0], np.cumsum(_lengths(tracks))]), pa.int32())
    one_box = pa.StructArray.from_arrays(
        [of_track.field("tid"), of_track.field("category"), pc.list_slice(of_track.field("boxes"), 0, 1)],
        names=["tid", "category", "boxes"],
    )
    light = table.drop_columns(["scene", "entity_tracking"]).append_column(
        "entity_tracking", pa.ListArray.from_arrays(offsets, one_box)
    )
    empty: dict[str, Any] = {"entity_tracking": [], "spatial_relations": [], "temporal_relations": []}
    entities = scene.field("entities").to_pylist()
    return [
        Record.from_row({**row, "scene": {"entities": found, **empty}})
        for row, found in zip(light.to_pylist(), entities, strict=True)
    ]


def summarise_shares(values: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float] | None:
    """Mean and quantiles (nearest rank below) of shares; None where all are nan."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    return {
        "mean": float(known.mean()),
        **{name: float(np.quantile(known, q, method="lower")) for name, q in QUANTILES.items()},
    }


def summarise_sizes(arrays: Sequence[Ints]) -> dict[str, Any]:
    """Mean, quantiles (nearest rank below) and histogram of whole numbers; `counts[i]` counts the values v with
    edges[i] <= v < edges[i + 1].
    """
    values = np.concatenate(arrays)
    quantiles = {name: int(np.quantile(values, q, method="lower")) for name, q in QUANTILES.items()}
    width = max(1, -(-(int(values.max()) + 1) // BINS))
    edges = np.arange(0, int(values.max()) + width + 1, width)
    histogram, _ = np.histogram(values, edges)
    return {
        "mean": float(values.mean()),
        **quantiles,
        "total": int(values.sum()),
        "histogram": {"edges": edges.tolist(), "counts": histogram.tolist()},
    }
