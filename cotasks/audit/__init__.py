"""What is in a data set, what is wrong with it, and how much of the answers its contexts give away.

`audit.json` holds every number of the page:

    format       version of this layout
    dataset, config
    versions     {cotasks}
    definitions  the constants that the counts and intervals depend on
    warnings     what a reader must know before quoting a number
    types        rows of all question types, by source, then category: {group, category, question_type, name,
                 category_name}; the names are unique, and are what the splits count by
    skipped      split -> {questions, records, reasons {reason: questions}}; null where no build's files are there
    splits       split -> {fingerprint, records, videos, used_answer,
                 sources, categories, question_types, span_origins, entity_origins ({name: records}),
                 origins [{category, span_origin, entity_origin, records}],
                 localizes [{span_origin, entity_origin, records, grid_share, entity_share (of each mean and
                 quantiles; null where no scene has entities), everything}]: what step 1 keeps,
                 sizes {name: mean, quantiles, total, histogram {edges, counts}}; `counts.SIZES` says of what,
                 entity_categories [{name, scene, steps, records}], predicates {a3, a4: the same},
                 boxes: as `counts.BoxCounts`}
    localization {spans (whose), and the fields of `localization.compare`} of each split with human spans, where asked
                 for; else null
    leakage      flat rows as `chance.Leakage.rows` describes them; `leakage` defines the measures

The same data set gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from cotasks.errors import InputError, MissingExtra, shorten
from cotasks.metrics.intervals import CONFIDENCE
from cotasks.tools.files import read_json, read_jsonl, whole_file
from cotasks.version import VERSION

if TYPE_CHECKING:
    from cotasks.audit.chance import Leakage
    from cotasks.audit.counts import BoxCounts, SplitCounts
    from cotasks.records.dataset import Records
    from cotasks.records.schema import Span
    from cotasks.words.types import Kind

FORMAT = 1


@dataclass(frozen=True)
class AuditPaths:
    """The files of an audit."""

    summary: Path
    """`audit.json`, all numbers."""
    markdown: Path
    """`audit.md`, the page."""
    plots: tuple[Path, ...]
    """PNG files that the page shows."""


def audit(
    dataset: str,
    out: Path,
    config: str | None = None,
    on_progress: Callable[[str, int, int], None] = lambda split, done, total: None,
    spans: Mapping[str, Sequence[Span]] | str | None = None,
) -> AuditPaths:
    """Audit a data set: write `<out>/audit.json`, `<out>/audit.md` and the plots that it shows.

    Args:
        dataset: `sample`; a folder that `cotasks build` wrote; or a Hub id `ORG/NAME`.
        out: folder to write to; made where it is missing.
        config: which of the data set's configs; by default its default.
        on_progress: called with (split, records done, records in all).
        spans: record id -> spans that a model proposed, or `lexical` for those of question words: held against
            people's, see `cotasks.audit.localization`.

    Memory does not grow with the size of records: a video's are held at a time.

    Raises InputError where the data set cannot be loaded, where `build.json` or `skipped.jsonl` of a built folder is
    damaged, where `out` is a file or cannot be written; MissingExtra where the extra `report` is not installed.
    """
    for package in ("matplotlib", "scipy"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtra(package, "report") from None
    from cotasks.audit import page, plots

    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; expected a folder to write to")
    summary = summarise(dataset, config, on_progress, spans)
    pictures = plots.draw(summary, out)
    paths = AuditPaths(out / "audit.json", out / "audit.md", tuple(pictures))
    with whole_file(paths.summary) as part:
        part.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    with whole_file(paths.markdown) as part:
        part.write_text(page.render(summary, [picture.name for picture in pictures]), encoding="utf-8")
    return paths


def summarise(
    dataset: str,
    config: str | None = None,
    on_progress: Callable[[str, int, int], None] = lambda split, done, total: None,
    spans: Mapping[str, Sequence[Span]] | str | None = None,
) -> dict[str, Any]:
    """The content of `audit.json`; arguments and errors as of `audit`."""
    from cotasks.audit import counts
    from cotasks.records.dataset import load_splits

    loaded = load_splits(dataset, config)
    config = loaded[0].config
    found: dict[str, SplitCounts] = {}
    for records in loaded:
        found[records.split] = counts.SplitCounts()
        for table in counts.video_tables(records.rows):
            counts.add_video(found[records.split], table)
    compared = None if spans is None else compare_spans(loaded, spans)
    leakage = measure_leakage(loaded, found, on_progress)
    kinds = {kind for counted in found.values() for kind in counted.kinds}
    skipped, warnings = read_skipped(dataset, config, {r.split: len(r) for r in loaded})
    return {
        "format": FORMAT,
        "dataset": dataset,
        "config": config,
        "versions": {"cotasks": VERSION},
        "definitions": {
            "outside_pixels": counts.OUTSIDE_PIXELS,
            "tiny_share": counts.TINY_SHARE,
            "frozen_frames": counts.FROZEN_FRAMES,
            "confidence": CONFIDENCE,
        },
        "warnings": warnings,
        "types": _types(kinds),
        "skipped": skipped,
        "splits": {r.split: {"fingerprint": r.fingerprint, **_split_summary(found[r.split], kinds)} for r in loaded},
        "localization": compared,
        "leakage": leakage.rows(),
    }


def compare_spans(loaded: Sequence[Records], spans: Mapping[str, Sequence[Span]] | str) -> dict[str, Any]:
    """Split -> how its spans compare; of the splits whose records have human spans.

    Raises InputError where none has, or nothing is proposed for any of them.
    """
    from cotasks.audit.localization import LEXICAL, by_spans, by_words, compare

    propose = by_words if isinstance(spans, str) else by_spans(spans)
    compared: dict[str, Any] = {}
    faults = []
    for records in loaded:
        try:
            found = compare(records, propose)
        except InputError as error:
            faults.append(error)
        else:
            compared[records.split] = {"spans": LEXICAL if isinstance(spans, str) else "proposed", **found}
    if not compared:
        raise faults[-1]
    return compared


def measure_leakage(
    loaded: Sequence[Records],
    found: Mapping[str, SplitCounts],
    on_progress: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> Leakage:
    """The leakage of every record, question by question, in the order of the splits and of their records.

    Args:
        loaded: the splits.
        found: split -> what was counted of it.
        on_progress: called with (split, records done, records in all).
    """
    from cotasks.audit import chance, counts
    from cotasks.audit.leakage import Question, Vocabulary

    vocabulary = Vocabulary(
        categories=frozenset(name for f in found.values() for name in f.entity_categories["scene"]),
        predicates=frozenset(name for f in found.values() for p in f.predicates.values() for name in p["scene"]),
    )
    questions = [
        Question.of(records.split, row) for records in loaded for row in records.rows.select_columns(Question.columns())
    ]
    leakage = chance.Leakage(questions, vocabulary)
    number = 0
    for records in loaded:
        done = 0
        for table in counts.video_tables(records.rows):
            for record in counts.light_records(table):
                leakage.measure(number, record)
                number, done = number + 1, done + 1
            on_progress(records.split, done, len(records))
    return leakage


def _types(kinds: Collection[Kind]) -> list[dict[str, str]]:
    from cotasks.words.types import category_labels, type_labels

    categories = category_labels(kinds)
    return [
        {**kind._asdict(), "name": name, "category_name": categories[kind.group, kind.category]}
        for kind, name in type_labels(kinds).items()
    ]


def _split_summary(found: SplitCounts, kinds: Collection[Kind]) -> dict[str, Any]:
    """The content of a split; `kinds` are those of all splits."""
    from cotasks.audit.counts import summarise_sizes
    from cotasks.records.schema import ORIGINS
    from cotasks.words.types import category_labels, group_place, type_labels

    categories, types = category_labels(kinds), type_labels(kinds)
    by_category = Counter[str]()
    for kind, number in found.kinds.items():
        by_category[categories[kind.group, kind.category]] += number
    labels = {
        "sources": {source: found.sources[source] for source in sorted(found.sources, key=group_place)},
        "categories": {name: by_category[name] for name in categories.values() if by_category[name]},
        "question_types": {name: found.kinds[kind] for kind, name in types.items() if found.kinds[kind]},
        **{
            name: {label: counter[label] for label in sorted(counter, key=ORIGINS.index)}
            for name, counter in found.labels.items()
        },
    }
    place = {pair: number for number, pair in enumerate(categories)}
    origins = [
        {"category": categories[group, category], "span_origin": span, "entity_origin": entity, "records": number}
        for (group, category, span, entity), number in sorted(
            found.origins.items(),
            key=lambda item: (place[item[0][:2]], ORIGINS.index(item[0][2]), ORIGINS.index(item[0][3])),
        )
    ]
    return {
        "records": found.records,
        "videos": found.videos,
        "used_answer": found.used_answer,
        **labels,
        "origins": origins,
        "localizes": _localizes(found),
        "sizes": {name: summarise_sizes(arrays) for name, arrays in found.sizes.items()},
        "entity_categories": _name_rows(found.entity_categories),
        "predicates": {step: _name_rows(counters) for step, counters in found.predicates.items()},
        "boxes": _box_summary(found.boxes),
    }


def _localizes(found: SplitCounts) -> list[dict[str, Any]]:
    from cotasks.audit.counts import summarise_shares
    from cotasks.records.schema import ORIGINS

    rows = []
    for pair in sorted(found.kept, key=lambda pair: tuple(map(ORIGINS.index, pair))):
        grid, entities = (np.array(values) for values in zip(*found.kept[pair], strict=True))
        rows.append(
            {
                "span_origin": pair[0],
                "entity_origin": pair[1],
                "records": len(grid),
                "grid_share": summarise_shares(grid),
                "entity_share": summarise_shares(entities),
                "everything": int(((grid == 1) & ((entities == 1) | np.isnan(entities))).sum()),
            }
        )
    return rows


def _name_rows(counters: Mapping[str, Counter[str]]) -> list[dict[str, Any]]:
    """Rows of all names, the most frequent in steps first."""
    names = sorted(counters["scene"], key=lambda n: (-counters["steps"][n], -counters["scene"][n], n))
    return [{"name": name, **{key: counter[name] for key, counter in counters.items()}} for name in names]


def _box_summary(boxes: BoxCounts) -> dict[str, Any]:
    numbers = {k: v for k, v in vars(boxes).items() if k not in ("area", "longest_run", "examples")}
    return {
        **numbers,
        "area_histogram": [{"log10_area_share": b, "boxes": n} for b, n in sorted(boxes.area.items())],
        "longest_run_histogram": [{"frames": f, "tracks": n} for f, n in sorted(boxes.longest_run.items())],
        "examples": {kind: items for kind, items in sorted(boxes.examples.items()) if items},
    }


def read_skipped(dataset: str, config: str, records: Mapping[str, int]) -> tuple[dict[str, Any] | None, list[str]]:
    """(`skipped` of `audit.json`, warnings) from a built folder; `records` are those that were loaded of each split.

    Raises InputError where `build.json` or `skipped.jsonl` is damaged.
    """
    folder = Path(dataset) / config
    if dataset == "sample" or not (folder / "build.json").is_file():
        return None, []
    path = folder / "build.json"
    build = read_json(path)
    splits = build.get("splits") if isinstance(build, dict) else None
    if not isinstance(splits, dict) or not all(_has_counts(found) for found in splits.values()):
        raise InputError(f"{path}: splits is {shorten(splits)}; expected questions and records of each split")
    reasons: dict[str, Counter[str]] = {split: Counter() for split in splits}
    path = folder / "skipped.jsonl"
    for number, row in enumerate(read_jsonl(path) if path.is_file() else (), 1):
        if row.get("split") not in reasons or not isinstance(row.get("reason"), str):
            raise InputError(f"{path}:{number}: {shorten(row)}; expected a split of build.json and a reason")
        reasons[row["split"]][row["reason"]] += 1
    skipped = {
        split: {
            "questions": found["questions"],
            "records": found["records"],
            "reasons": dict(sorted(reasons[split].items(), key=lambda item: (-item[1], item[0]))),
        }
        for split, found in splits.items()
    }
    warnings = [
        f"{split}: {found['questions']} questions, but {found['records']} records and "
        f"{reasons[split].total()} lines of skipped.jsonl"
        for split, found in skipped.items()
        if found["questions"] != found["records"] + reasons[split].total()
    ]
    warnings += [
        f"{split}: {records.get(split, 0)} records were loaded, build.json counts {found['records']}"
        for split, found in skipped.items()
        if records.get(split, 0) != found["records"]
    ]
    return skipped, warnings


def _has_counts(found: Any) -> bool:
    return isinstance(found, dict) and all(type(found.get(name)) is int for name in ("questions", "records"))
