"""A machine's annotation against true annotation of the same videos.

Frames with a true box count, and no others: on a frame that nobody annotated a box can be neither right nor wrong. For
a built data set these are frames of its grids.

    detection   a machine's box is right where it overlaps a true one of its category by an IoU of 0.5 or more, one to
                one, so that the most are right, and among these the best overlaps
    IDF1        the identity F1 of tracking (Ristani et al. 2016), of `trackers.eval`: boxes of a machine's thing count
                where it is the true entity that it is paired with over the whole video
    triples     the machine's entities are paired with true ones, one to one, by the number of frames on which they
                overlap so; a triple is right where subject, predicate and object agree, whenever it holds. Spatial and
                temporal ones are scored apart

A machine's category is a true one if the names agree (capitals, blanks and underscores aside), or if the name is a word
for it in `cotasks.words.lexicon` ("man" for `adult`); predicates likewise. Shares are over all boxes or triples of all
videos, with 95% intervals over videos as in reports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cotasks.annotate.track import Xyxy, iou
from cotasks.errors import InputError
from cotasks.metrics.intervals import cluster_estimates
from cotasks.pages.markdown import escape, table
from cotasks.records.own import OwnAnnotation
from cotasks.records.own_fields import Id
from cotasks.records.own_files import annotation_files, read_annotation
from cotasks.tools.files import dump_json
from cotasks.words.lexicon import match_categories, match_predicates

IOU = 0.5
"""Of boxes that are the same thing, as in PASCAL VOC and MOT."""
ALL = "all"

Triple = tuple[Id, str, Id]
Floats = npt.NDArray[np.float64]


@dataclass
class Annotated:
    """What is in a video, by whomever."""

    categories: dict[Id, str] = field(default_factory=dict)
    boxes: dict[int, dict[Id, Xyxy]] = field(default_factory=dict)
    """Frame number -> entity -> box."""
    spatial: set[Triple] = field(default_factory=set)
    temporal: set[Triple] = field(default_factory=set)


@dataclass
class Tally:
    """Of one video: what is right, what the machine has, what there truly is."""

    detection: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    """True category, or the machine's own where it is no true one -> [right, found, true]."""
    identity: list[int] = field(default_factory=lambda: [0, 0, 0])
    """[boxes with the right identity, found, true]"""
    triples: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    """`spatial` or `temporal` or one of their predicates behind a blank -> [right, found, true]."""


def score_against(machine: str | Path, truth: str | Path) -> dict[str, Any]:
    """Score a folder that `cotasks annotate` wrote, and write its `against.json`.

    Args:
        machine: the folder, or any own data.
        truth: a built folder of the same videos, or own data.

    Returns what `against.json` holds: {truth, videos, missing, unknown, detection, identity, spatial, temporal}, the
    last four as rows {name, right, found, true, precision, recall, f1}, each share as {mean, low, high} in per cent.

    Raises InputError where either holds no annotation, or no video is in both.
    """
    machine, truth = Path(machine), Path(truth)
    found = {a.video: a for a in read_annotation(_files(machine))}
    if not found:
        raise InputError(f"{machine}: no annotated video; expected what `cotasks annotate` writes")
    tallies: dict[str, Tally] = {}
    missing = 0
    for video, true in truth_of(truth):
        if video not in found:
            missing += 1
        elif video not in tallies:
            tallies[video] = score_video(of_own(found[video]), true)
    if not tallies:
        raise InputError(f"{truth}: no video of {machine} in it; expected annotation of the same videos")
    rows = list(tallies.values())
    categories = sorted({name for tally in rows for name in tally.detection})
    result = {
        "truth": str(truth),
        "videos": len(rows),
        "missing": missing,
        "unknown": len(found.keys() - tallies.keys()),
        "iou": IOU,
        "detection": _rows(
            {
                ALL: [np.sum(list(t.detection.values()) or [[0, 0, 0]], axis=0) for t in rows],
                **{name: [np.array(t.detection.get(name, [0, 0, 0])) for t in rows] for name in categories},
            }
        ),
        "identity": _rows({ALL: [np.array(t.identity) for t in rows]}),
    }
    for kind in ("spatial", "temporal"):
        names = sorted({name for t in rows for name in t.triples if name.startswith(f"{kind} ")})
        named = {ALL: kind, **{name.removeprefix(f"{kind} "): name for name in names}}
        result[kind] = _rows(
            {name: [np.array(t.triples.get(key, [0, 0, 0])) for t in rows] for name, key in named.items()}
        )
    dump_json(machine / "against.json", result)
    return result


def _files(folder: Path) -> list[Path]:
    files = annotation_files(folder)
    if not files:
        raise InputError(f"{folder}: no annotation.jsonl; expected own data, such as `cotasks annotate` writes")
    return files


def truth_of(path: Path) -> Iterator[tuple[str, Annotated]]:
    """(video, what is truly in it) of own data, or of a built data set, of which all records of a video are put
    together."""
    if annotation_files(path):
        for annotation in read_annotation(annotation_files(path)):
            yield annotation.video, of_own(annotation)
        return
    from cotasks.records.dataset import load_splits

    videos: dict[str, Annotated] = {}
    for records in load_splits(str(path), None):
        for record in records:
            video, scene = videos.setdefault(record.video_path, Annotated()), record.scene
            video.categories |= {entity.tid: entity.category for entity in scene.entities}
            for track in scene.entity_tracking:
                for box in track.boxes:
                    video.boxes.setdefault(box.frame, {})[track.tid] = box.xyxy
            video.spatial |= {(r.subject_tid, r.predicate, r.object_tid) for r in scene.spatial_relations}
            video.temporal |= {(r.subject_tid, r.predicate, r.object_tid) for r in scene.temporal_relations}
    yield from videos.items()


def of_own(annotation: OwnAnnotation) -> Annotated:
    """Own annotation by frames. Raises InputError where boxes are in seconds and no rate is given."""
    found = Annotated({entity.id: entity.category for entity in annotation.entities})
    for number, box in enumerate(annotation.boxes):
        if box.frame is None and annotation.fps is None:
            raise InputError(f"{annotation.place}: boxes[{number}] is in seconds, and no fps is given; expected it")
        frame = box.frame if box.frame is not None else round((box.second or 0.0) * (annotation.fps or 0.0))
        found.boxes.setdefault(frame, {})[box.entity] = box.xyxy
    for relation in annotation.relations:
        into = found.spatial if relation.spatial else found.temporal
        into.add((relation.subject, relation.predicate, relation.object))
    return found


def score_video(machine: Annotated, truth: Annotated) -> Tally:
    """The tally of one video."""
    tally = Tally()
    true_names = frozenset(truth.categories.values())
    means = {name: meant(name, true_names, match_categories) for name in set(machine.categories.values())}
    ids = [list(machine.categories), list(truth.categories)]
    place = [{id_: number for number, id_ in enumerate(of)} for of in ids]
    together = np.zeros((len(ids[0]), len(ids[1])))
    by_frame: list[tuple[list[int], list[int], Floats]] = []
    for frame, true_boxes in truth.boxes.items():
        ours = machine.boxes.get(frame, {})
        overlap = np.zeros((len(ours), len(true_boxes)))
        for i, (one, box) in enumerate(ours.items()):
            for j, (other, true_box) in enumerate(true_boxes.items()):
                if truth.categories[other] in means[machine.categories[one]]:
                    overlap[i, j] = iou(box, true_box)
        rows, columns = [place[0][id_] for id_ in ours], [place[1][id_] for id_ in true_boxes]
        by_frame.append((rows, columns, overlap))
        together[np.ix_(rows, columns)] += overlap >= IOU
        right = {j for _, j in pairs(np.where(overlap >= IOU, 1 + overlap, 0.0))}
        matched = {i for i, _ in pairs(np.where(overlap >= IOU, 1 + overlap, 0.0))}
        for j, other in enumerate(true_boxes):
            tally.detection[truth.categories[other]][2] += 1
            if j in right:
                tally.detection[truth.categories[other]][0] += 1
                tally.detection[truth.categories[other]][1] += 1
        for i, one in enumerate(ours):
            if i not in matched:
                name = machine.categories[one]
                tally.detection[min(means[name], default=name)][1] += 1
    tally.identity = _identity(by_frame)
    same = {ids[0][i]: ids[1][j] for i, j in pairs(together)}
    for kind in ("spatial", "temporal"):
        _score_triples(tally, kind, getattr(machine, kind), getattr(truth, kind), same)
    return tally


def pairs(gain: Floats) -> list[tuple[int, int]]:
    """The one-to-one pairs of rows and columns with the greatest total gain, those without gain left out."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]


def _identity(by_frame: Sequence[tuple[list[int], list[int], Floats]]) -> list[int]:
    from trackers.eval.identity import compute_identity_metrics

    if not by_frame:
        return [0, 0, 0]
    ours, true, overlaps = zip(*by_frame, strict=True)
    found = compute_identity_metrics(
        [np.array(of, int) for of in true], [np.array(of, int) for of in ours], [o.T for o in overlaps], threshold=IOU
    )
    right = int(found["IDTP"])
    return [right, right + int(found["IDFP"]), right + int(found["IDFN"])]


def _score_triples(tally: Tally, kind: str, ours: set[Triple], truth: set[Triple], same: Mapping[Id, Id]) -> None:
    known = frozenset(predicate for _, predicate, _ in truth)
    right: set[Triple] = set()
    for subject, predicate, target in ours:
        names = meant(predicate, known, match_predicates)
        hits = {(same[subject], name, same[target]) for name in names if subject in same and target in same} & truth
        right |= hits
        name = min((hit[1] for hit in hits), default=min(names, default=predicate))
        for key in (kind, f"{kind} {name}"):
            tally.triples[key][1] += 1
    for triple in truth:
        for key in (kind, f"{kind} {triple[1]}"):
            tally.triples[key][2] += 1
            tally.triples[key][0] += triple in right


@lru_cache(maxsize=4096)
def meant(name: str, known: frozenset[str], match: Any) -> frozenset[str]:
    """Those of the true names that a machine's name stands for."""
    plain = _plain(name)
    same = frozenset(other for other in known if _plain(other) == plain)
    return same or frozenset(match(plain, known))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


def _rows(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows of name -> (videos, 3) counts of right, found, true."""
    rows = []
    for name, counts in columns.items():
        right, found, true = np.array(counts, np.float64).reshape(-1, 3).T
        sums = np.stack([right, right, 2 * right], 1) * 100
        totals = np.stack([found, true, found + true], 1)
        estimates = cluster_estimates(sums, totals, [[0], [1], [2]], 0.0, 100.0)
        shares = {
            share: {"mean": one.mean, "low": one.low, "high": one.high}
            for share, one in zip(("precision", "recall", "f1"), estimates, strict=True)
        }
        rows.append(
            {"name": name, "right": int(right.sum()), "found": int(found.sum()), "true": int(true.sum())} | shares
        )
    return rows


def describe(result: Mapping[str, Any]) -> str:
    """`against.json` as tables in Markdown."""
    parts = [
        f"{result['videos']} videos against {escape(result['truth'])}; {result['missing']} of its videos are not "
        f"annotated, {result['unknown']} annotated ones are not in it. Boxes count from an IoU of {result['iou']:g} on."
    ]
    titles = {
        "detection": "Boxes",
        "identity": "Boxes with their identity over the video (IDF1)",
        "spatial": "Spatial triples",
        "temporal": "Temporal triples",
    }
    for key, title in titles.items():
        rows = [row for row in result[key] if row["found"] or row["true"]]
        if rows:
            body = [
                [
                    escape(row["name"]),
                    *(_cell(row[share]) for share in ("precision", "recall", "f1")),
                    *(str(row[count]) for count in ("found", "true")),
                ]
                for row in rows
            ]
            parts.append(f"{title}\n\n{table(['', 'precision', 'recall', 'F1', 'found', 'true'], body)}")
    return "\n\n".join(parts)


def _cell(share: Mapping[str, float | None]) -> str:
    if share["mean"] is None:
        return "-"
    text = f"{share['mean']:.1f}"
    return text if share["low"] is None else f"{text} ({share['low']:.1f} to {share['high']:.1f})"
