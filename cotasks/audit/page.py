"""`audit.json` as one Markdown page. Whatever comes from data is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cotasks.audit.counts import FROZEN_FRAMES, MOST_EXAMPLES, OUTSIDE_PIXELS, SIZES, TINY_SHARE
from cotasks.audit.explanations import DEFINITIONS, HOW_TO_READ
from cotasks.audit.leakage import CONDITIONS, NAMED, QUESTION, YES_NO
from cotasks.audit.localization import LEXICAL, beats_whole
from cotasks.pages.markdown import LONGEST, escape, table
from cotasks.records.schema import ORIGINS
from cotasks.words.types import type_title

Row = Mapping[str, Any]

NOTHING = "-"
MOST_NAMES = 20
"""Categories and predicates that the page lists; `audit.json` has all."""
NAMED_CONDITIONS = (QUESTION, "cotasks", "cotasks-12", "cotasks-34", "cotasks without actions")
"""Conditions of the page's last table; `audit.json` has all."""


def render(summary: Row, pictures: Sequence[str]) -> str:
    """The whole page.

    Args:
        summary: the content of `audit.json`.
        pictures: file names of the plots, beside the page.
    """
    parts = [f"# Audit of {escape(summary['dataset'])}"]
    parts.append(f"Config {escape(summary['config'])}; cotasks {escape(summary['versions']['cotasks'])}.")
    if summary["warnings"]:
        parts.append("\n".join(f"- **Note**: {escape(text, LONGEST)}" for text in summary["warnings"]))
    splits = summary["splits"]
    titles = {row["name"]: type_title(row["group"], row["name"]) for row in summary["types"]}
    parts += ["## Records", *_records(summary, titles), *_pictures(pictures, "counts")]
    if summary["localization"] is not None:
        parts += _compared(summary["localization"])
    parts += ["## Sizes", *_sizes(splits), *_pictures(pictures, "sizes")]
    parts += ["## Names", *_names(splits), *_pictures(pictures, "names")]
    parts += ["## Boxes", *_boxes(splits), *_pictures(pictures, "boxes")]
    parts.append(HOW_TO_READ.rstrip())
    for split in splits:
        rows = [row for row in summary["leakage"] if row["split"] == split]
        parts += [f"## Leakage, {split}", *_leakage(rows), *_pictures(pictures, f"leakage-{split}")]
        parts += [*_by_type(rows, titles), *_pictures(pictures, f"leakage-by-type-{split}"), *_named(rows)]
    parts.append(DEFINITIONS.rstrip())
    return "\n\n".join(parts) + "\n"


def _pictures(pictures: Sequence[str], name: str) -> Iterator[str]:
    for picture in pictures:
        if picture == f"{name}.png":
            yield f"![{name}]({picture})"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f}"


def _difference(row: Row, name: str) -> str:
    """`+8.1 [6.4, 9.9]`, in percentage points."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return NOTHING
    text = f"{_zero(100 * value):+.1f}"
    return text if low is None else f"{text} [{_zero(100 * low):.1f}, {_zero(100 * high):.1f}]"


def _zero(value: float) -> float:
    """Without the sign of what rounds to zero."""
    return round(value, 1) + 0.0


def _count(number: int) -> str:
    return f"{number:,}"


def _of(part: int, whole: int) -> str:
    """`12 (3.4%)`."""
    return f"{part:,} ({100 * part / whole:.1f}%)" if whole else f"{part:,}"


def _records(summary: Row, titles: Mapping[str, str]) -> Iterator[str]:
    """Counts of records.

    Args:
        summary: the content of `audit.json`.
        titles: name of a question type -> the same in words.
    """
    splits = summary["splits"]
    yield table(
        ["Split", "Records", "Videos", "Step 1 saw the answer"],
        (
            [s, _count(f["records"]), _count(f["videos"]), _of(f["used_answer"], f["records"])]
            for s, f in splits.items()
        ),
    )
    kinds = {
        "sources": "Source",
        "question_types": "Question type",
        "span_origins": "Origin of A1's spans",
        "entity_origins": "Origin of A1's entities",
    }
    for key, title in kinds.items():
        names = list(dict.fromkeys(name for found in splits.values() for name in found[key]))
        if key == "question_types":
            names = [row["name"] for row in summary["types"]]
        rows = [
            [escape(titles.get(n, n)), *(_of(f[key].get(n, 0), f["records"]) for f in splits.values())] for n in names
        ]
        yield table([title, *splits], rows)
    crossed = {
        (split, row["category"], row["span_origin"], row["entity_origin"]): row["records"]
        for split, found in splits.items()
        for row in found["origins"]
    }
    order = [*dict.fromkeys(row["category_name"] for row in summary["types"])]
    places = sorted(
        {key[1:] for key in crossed}, key=lambda p: (order.index(p[0]), ORIGINS.index(p[1]), ORIGINS.index(p[2]))
    )
    yield "Origins by category of the question (a difference between categories can be one between origins):"
    yield table(
        ["Category", "Spans", "Entities", *splits],
        ([*map(escape, place), *(_count(crossed.get((split, *place), 0)) for split in splits)] for place in places),
        text_columns=3,
    )
    yield from _localizes(splits)
    yield "### Skipped questions"
    if summary["skipped"] is None:
        yield "Not known: `build.json` and `skipped.jsonl` lie in a built folder only."
        return
    rows = []
    for split, found in summary["skipped"].items():
        rows.append([split, "questions", _count(found["questions"])])
        rows.append([split, "records", _count(found["records"])])
        rows += [[split, f"skipped: {escape(reason)}", _count(n)] for reason, n in found["reasons"].items()]
    yield table(["Split", "", "Number"], rows, text_columns=2)


def _localizes(splits: Mapping[str, Row]) -> Iterator[str]:
    """What step 1 keeps."""
    yield (
        "What step 1 keeps of the grid's frames and of the scene's entities (%): mean, and in brackets 5%, median and "
        "95% of the records. *Everything*: records that keep all of both, whose step 1 chooses nothing:"
    )
    yield table(
        ["Split", "Spans", "Entities", "Records", "Frames kept", "Entities kept", "Everything"],
        (
            [
                split,
                row["span_origin"],
                row["entity_origin"],
                _count(row["records"]),
                *(_shares(row[name]) for name in ("grid_share", "entity_share")),
                _of(row["everything"], row["records"]),
            ]
            for split, found in splits.items()
            for row in found["localizes"]
        ),
        text_columns=3,
    )


def _shares(found: Row | None) -> str:
    """`22.3 [3.1, 14.1, 71.9]`"""
    if found is None:
        return NOTHING
    return f"{_percent(found['mean'])} [{', '.join(_percent(found[name]) for name in ('p5', 'median', 'p95'))}]"


def _compared(comparison: Mapping[str, Row]) -> Iterator[str]:
    """Spans against the whole clip."""
    titles = {"f1": "F1", "iou": "IoU", "iop": "IoP"}
    yield "## Spans against those of people"
    for split, found in comparison.items():
        whose = "question words" if found["spans"] == LEXICAL else "the proposals"
        verdict = "are nearer to people's than the whole clip is"
        if not beats_whole(found):
            verdict = "have not been shown to be nearer to people's than the whole clip is: leave them out"
        yield (
            f"{split}: spans of {whose} {verdict}. People marked {_count(found['marked'])} questions "
            f"({_count(found['marked_with_answer'])} of them having seen the answer); "
            f"{_of(found['proposed'], found['marked'])} have a proposal and are compared, frame by frame of the grid "
            "(%):"
        )
        yield table(
            ["Questions", "Measure", "Number", "Grid kept", "Proposal", "Whole clip", "Difference"],
            (
                [
                    escape(row["category"]),
                    titles[row["measure"]],
                    _count(row["questions"]),
                    *(_percent(row[name]) for name in ("kept", "proposal", "whole")),
                    _difference({**row, "difference_low": row["low"], "difference_high": row["high"]}, "difference"),
                ]
                for row in found["rows"]
            ),
            text_columns=2,
        )


def _sizes(splits: Mapping[str, Row]) -> Iterator[str]:
    header = ["Split", "In a record", "Mean", "Min", "5%", "25%", "Median", "75%", "95%", "Max"]
    keys = ("min", "p5", "p25", "median", "p75", "p95", "max")
    yield table(
        header,
        (
            [split, title, f"{found['sizes'][name]['mean']:.1f}", *(_count(found["sizes"][name][k]) for k in keys)]
            for split, found in splits.items()
            for name, title in SIZES.items()
        ),
        text_columns=2,
    )


def _names(splits: Mapping[str, Row]) -> Iterator[str]:
    yield (
        "*Annotated* counts entities, and distinct triples, of the videos; *in steps* those in A1, A3 or A4, over all "
        "records; *records* the records with at least one."
    )
    for split, found in splits.items():
        lists = {
            "Category": found["entity_categories"],
            "Spatial predicate": found["predicates"]["a3"],
            "Temporal predicate": found["predicates"]["a4"],
        }
        for title, rows in lists.items():
            shown = [
                [escape(row["name"]), *(_count(row[k]) for k in ("scene", "steps", "records"))]
                for row in rows[:MOST_NAMES]
            ]
            yield f"{title}, {split}: {len(rows)}" + (f", the first {MOST_NAMES}" if len(rows) > MOST_NAMES else "")
            if shown:
                yield table([title, "Annotated", "In steps", "Records"], shown)


def _boxes(splits: Mapping[str, Row]) -> Iterator[str]:
    titles = {
        "generated": "written by a tracker",
        "empty": "empty: no width or no height",
        "outside": f"outside the frame by more than {OUTSIDE_PIXELS:g} pixels",
        "tiny": f"tiny: under {100 * TINY_SHARE:g}% of the frame",
        "frozen": f"frozen: equal in {FROZEN_FRAMES} or more frames in a row",
        "unchecked": "unchecked, for the frame's size is unknown",
    }
    yield (
        "Boxes of the videos' scenes on the grid, each counted once. A thing that lies still before a still camera is "
        "frozen too: look before you call it wrong."
    )
    rows = [["boxes", *(_count(f["boxes"]["boxes"]) for f in splits.values())]]
    rows += [
        [title, *(_of(f["boxes"][name], f["boxes"]["boxes"]) for f in splits.values())]
        for name, title in titles.items()
    ]
    far = [f"{f['boxes']['farthest_outside']:.1f}" for f in splits.values()]
    rows.append(["farthest outside (pixels)", *far])
    rows.append(["tracks", *(_count(f["boxes"]["tracks"]) for f in splits.values())])
    long = [f["boxes"]["long_tracks"] for f in splits.values()]
    rows.append([f"tracks of {FROZEN_FRAMES} boxes or more", *map(_count, long)])
    rows.append(
        [
            "frozen tracks, of those",
            *(_of(f["boxes"]["frozen_tracks"], n) for f, n in zip(splits.values(), long, strict=True)),
        ]
    )
    yield table(["", *splits], rows)
    examples = [
        [split, kind, escape(e["video_id"]), str(e["tid"]), str(e["frame"]), _xyxy(e["xyxy"]), str(e.get("frames", ""))]
        for split, found in splits.items()
        for kind, items in found["boxes"]["examples"].items()
        for e in items
    ]
    if examples:
        yield f"The first {MOST_EXAMPLES} of each kind:"
        yield table(["Split", "Kind", "Video", "tid", "Frame", "Box", "Frames"], examples, text_columns=3)


def _xyxy(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _condition(name: str) -> str:
    return "question's own text" if name == QUESTION else name


def _leakage(rows: Sequence[Row]) -> Iterator[str]:
    """Answer, head word or number: categories and conditions."""
    cells = {(row["condition"], row["level"], row["name"], row["measure"]): row for row in rows}
    any_rows = [row for row in rows if row["measure"] == "any" and row["level"] in ("all", "category", "origin")]
    choice = any(row["distractors"] is not None for row in rows)
    header = ["Questions", "Condition", "Number", "Readable", "Chance", "Excess", "New (excess)"]
    lines = []
    for name in dict.fromkeys(row["name"] for row in any_rows):
        for condition in CONDITIONS:
            row = next((r for r in any_rows if r["name"] == name and r["condition"] == condition), None)
            if row is None:
                continue
            new = cells.get((condition, row["level"], name, "new"))
            line = [escape(name), _condition(condition), _count(row["questions"]), _percent(row["share"])]
            line += [_percent(row["chance"]), _difference(row, "excess")]
            line.append(NOTHING if new is None else _difference(new, "excess"))
            if choice:
                line += [_percent(row["distractors"]), _difference(row, "margin")]
            lines.append(line)
    yield "Questions (%) whose answer, head word or number can be read off the context:"
    yield table(header + (["Wrong options", "Margin"] if choice else []), lines, text_columns=2)


def _by_type(rows: Sequence[Row], types: Mapping[str, str]) -> Iterator[str]:
    """All four steps: question types, which `types` has in words, and measures."""
    titles = {
        "answer": "Whole answer",
        "head": "Head word",
        "number": "Number",
        "counted": "Number asked for",
        "related": "Related name",
        YES_NO: "Yes where affirmed",
    }
    inside = [row for row in rows if row["condition"] == "cotasks"]
    names = list(dict.fromkeys((row["level"], row["name"]) for row in inside))
    cells = {(row["level"], row["name"], row["measure"]): row for row in inside}
    lines = []
    for level, name in names:
        line = [escape(name) if level != "question_type" else f"- {escape(types.get(name, name))}"]
        for measure in titles:
            row = cells.get((level, name, measure))
            line.append(
                NOTHING
                if row is None
                else f"{_percent(row['share'])} ({_percent(row['chance'])}) of {_count(row['questions'])}"
            )
        lines.append(line)
    yield "What can be read off the context of all four steps (`cotasks`): share (chance) of questions that have such:"
    yield table(["Questions", *titles.values()], lines)


def _named(rows: Sequence[Row]) -> Iterator[str]:
    """Always choosing what is named most: one line a category and rule, one column a condition."""
    titles = {
        "named_category": "category named most",
        "named_predicate": "predicate named most",
        "named_option": "option named most",
    }
    order = list(dict.fromkeys(row["name"] for row in rows if row["level"] in ("all", "category")))
    rows = [row for row in rows if row["measure"] in titles and row["level"] in ("all", "category")]
    shown = [c for c in NAMED_CONDITIONS if any(row["condition"] == c for row in rows)]
    cells = {(row["name"], row["measure"], row["condition"]): row for row in rows}
    lines = []
    for name, measure in sorted(
        {(row["name"], row["measure"]) for row in rows}, key=lambda cell: (order.index(cell[0]), NAMED.index(cell[1]))
    ):
        found = [cells.get((name, measure, condition)) for condition in shown]
        questions = max(row["questions"] for row in found if row is not None)
        accuracies = [
            NOTHING if row is None else f"{_percent(row['share'])} ({_percent(row['chance'])})" for row in found
        ]
        lines.append([escape(name), titles[measure], _count(questions), *accuracies])
    if lines:
        yield "Accuracy (%) of always answering with what the context names most, and chance:"
        yield table(["Questions", "Answer", "Number", *map(_condition, shown)], lines, text_columns=2)
