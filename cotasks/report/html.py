"""`report.html`: the tables, plots, and a browser of single answers, in one file that needs nothing else.

The file carries its data as JSON in script elements of a type that no browser runs, in columns: entry `i` of each list
of `answers` is answer `i`. Its policy (Content-Security-Policy) allows the one script and the one style sheet that
stand in it, by their hashes, pictures from `data:` addresses, and no connection at all. The script builds what it
shows from text nodes only, so an answer cannot become markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import MissingExtra
from cotasks.pages import style as shared
from cotasks.pages.style import asset
from cotasks.report import claims, controls, costs, joint, judges, leakage, origins, people, plots, tables
from cotasks.report.evidence import Panels, Sources, collect
from cotasks.report.notes import all_notes
from cotasks.report.summary import STATES, Row, Scored, baseline_run, gains_of, state_of
from cotasks.runs.folder import without_origins
from cotasks.words.types import category_labels, group_title, kind_of, type_labels, type_title

TEMPLATES = Path(__file__).parent / "templates"
MOST_CARDS = 8
"""Differences shown large at the top."""


def render(summary: Row, scored: Sequence[Scored], sources: Sources) -> str:
    """The whole page.

    Args:
        summary: As `summary.summarise` returns it.
        scored: The runs it was made from.
        sources: Where records and videos are.

    Raises MissingExtra without Jinja2.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise MissingExtra("jinja2", "report") from None
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, shared.HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = lambda text: str(text).replace("-", "\u2212")
    evidence = collect(scored, sources, _changed(summary, scored))
    script = asset("nodes.js", "boxes.js", "browse.js", TEMPLATES / "answer.js", TEMPLATES / "page.js")
    style = asset("base.css", "browse.css", "boxes.css", TEMPLATES / "page.css")
    answers, order = answer_data(summary, scored)
    names = tables.judges_in(summary)
    return environment.get_template("page.html").render(
        summary=summary,
        policy=policy(script, style),
        script=Markup(script),
        style=Markup(style),
        data=Markup(embed({**answers, **evidence_data(evidence, order)})),
        scenes=Markup(embed(evidence.scenes)),
        prompts=Markup(embed(evidence.texts)),
        images=Markup(embed(evidence.images)),
        count=len(order),
        models=list(dict.fromkeys(run["model"] for run in summary["runs"])),
        questions=max(run["questions"] for run in summary["runs"]),
        videos=max(run["videos"] for run in summary["runs"]),
        judges=[_judge_view(summary, judge) for judge in names],
        joint=joint.joint_table(summary),
        agreement=judges.agreement_table(summary),
        spread=judges.spread_table(summary),
        controls=controls.table(summary),
        people=people.tables_of(summary),
        unscored=tables.unscored_table(summary),
        origins=origins.origin_table(summary),
        leakage=leakage.leakage_table(summary),
        generation=tables.generation_table(summary),
        costs=costs.table(summary),
        settings=tables.settings_tables(summary),
        notes=all_notes(summary, names),
        missing=evidence.notes,
        kind_of=lambda cell: type(cell).__name__,
    )


def embed(value: Any) -> str:
    """JSON that can stand in a script element: no `<` that could end it or begin a comment."""
    return orjson.dumps(value).decode().replace("<", "\\u003c")


def policy(script: str, style: str) -> str:
    """The page's Content-Security-Policy."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style))
    return (
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ).format(*hashes)


def _changed(summary: Row, scored: Sequence[Scored]) -> list[set[str]]:
    """For each run, the ids of the questions where a condition scores other than the baseline, for any judge."""
    changed = []
    for one in scored:
        lender = baseline_run(one, scored, summary["baseline"])
        gains = [gains_of(one, lender, judge, summary["baseline"]) for judge in one.verdicts] if lender else []
        changed.append({key[0] for found in gains for key, gain in found.items() if gain})
    return changed


def answer_data(summary: Row, scored: Sequence[Scored]) -> tuple[Row, list[tuple[int, str, str]]]:
    """(what the page's script reads, for each answer its (number of the run, condition, record id)).

    Answers come by question, then run, then condition with the baseline first. Those to ids that are no question of
    their run are not among them.
    """
    baseline = summary["baseline"]
    conditions = list(dict.fromkeys(c for one in scored for c in one.run.conditions))
    conditions.sort(key=lambda c: c != baseline)
    questions: dict[bytes, int] = {}
    rows: list[Row] = []
    places: list[tuple[int, int, int, int, str]] = []
    for number, one in enumerate(scored):
        asked = {}
        for id_, row in one.run.questions.items():
            content = orjson.dumps(without_origins(row), option=orjson.OPT_SORT_KEYS)
            asked[id_] = questions.setdefault(content, len(questions))
            if asked[id_] == len(rows):
                rows.append(row)
        places += [
            (asked[id_], number, conditions.index(condition), sample, id_)
            for id_, condition, sample in one.run.wanted
            if id_ in asked
        ]
    places.sort()
    kinds = [kind_of(row) for row in rows]
    categories, types = category_labels(kinds), type_labels(kinds)
    category_at = {pair: place for place, pair in enumerate(categories)}
    type_at = {kind: place for place, kind in enumerate(types)}
    labels = tables.model_labels(summary)
    data: Row = {
        "baseline": baseline,
        "states": list(STATES),
        "runs": [{"name": one.name, "label": labels[one.name]} for one in scored],
        "conditions": conditions,
        "categories": list(categories.values()),
        "types": list(types.values()),
        "typeTitles": [type_title(kind.group, label) for kind, label in types.items()],
        "questions": {
            "id": [row["id"] for row in rows],
            "video": [row["video_id"] for row in rows],
            "category": [category_at[kind.group, kind.category] for kind in kinds],
            "type": [type_at[kind] for kind in kinds],
            "text": [row["question"] for row in rows],
            "references": [
                [text for text in (row["answer"], *row["additional_answers"]) if text is not None] for row in rows
            ],
            "choices": [row["choices"] for row in rows],
            "right": [row["answer_index"] for row in rows],
        },
    }
    answers: dict[str, list[Any]] = {
        name: [] for name in ("question", "run", "condition", "sample", "text", "cut", "cutItems")
    }
    for question, number, condition, sample, id_ in places:
        row = scored[number].run.generations.get((id_, conditions[condition], sample), {})
        text = row.get("answer")
        answers["question"].append(question)
        answers["run"].append(number)
        answers["condition"].append(condition)
        answers["sample"].append(sample)
        answers["text"].append(text if isinstance(text, str) else None)
        answers["cut"].append(int(row.get("finish_reason") == "length"))
        answers["cutItems"].append(row.get("cut_items") or 0)
    data["answers"] = answers
    keys = [(number, (id_, conditions[condition], sample)) for _, number, condition, sample, id_ in places]
    data["verdicts"], data["reasons"] = _verdict_data(scored, baseline, tables.judges_in(summary), keys)
    return data, [(number, key[1], key[0]) for number, key in keys]


def _verdict_data(
    scored: Sequence[Scored], baseline: str, names: Sequence[str], keys: Sequence[tuple[int, tuple[str, str, int]]]
) -> tuple[dict[str, Any], list[str]]:
    """({judge: {score, state, reason, gain}}, reasons); a state is a position in `STATES`, a reason one in the list,
    with what a language model explained.

    A gain is the score minus the baseline's, null where one is missing; an answer of the baseline has none.
    """
    reasons: dict[str, int] = {}
    verdicts = {}
    for judge in names:
        columns: dict[str, list[Any]] = {name: [] for name in ("score", "state", "reason", "gain")}
        gains = [
            gains_of(one, baseline_run(one, scored, baseline), judge, baseline) if judge in one.verdicts else {}
            for one in scored
        ]
        for number, key in keys:
            verdict = scored[number].verdicts.get(judge, {}).get(key)
            gain = gains[number].get(key)
            columns["score"].append(_short(verdict.score if verdict else None))
            columns["state"].append(STATES.index(state_of(verdict) if verdict else "unscored"))
            reason = verdict.reason if verdict else "this judge has not seen the run"
            if verdict is not None and verdict.explanation:
                reason += f": {verdict.explanation}"
            columns["reason"].append(reasons.setdefault(reason, len(reasons)))
            columns["gain"].append(_short(gain))
        verdicts[judge] = columns
    return verdicts, list(reasons)


def _short(value: float | None) -> float | int | None:
    """Fewer digits, so that the page is smaller."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 4)


def evidence_data(evidence: Panels, order: Sequence[tuple[int, str, str]]) -> Row:
    """Which prompt and which scene belong to each answer: positions in the lists of them, -1 for none."""
    return {
        "promptOf": [evidence.prompts.get(place, -1) for place in order],
        "sceneOf": [evidence.scene_of.get((number, id_), -1) for number, _, id_ in order],
    }


def _judge_view(summary: Row, judge: str) -> Mapping[str, Any]:
    """All that the results show of one judge."""
    return {
        "name": judge,
        "cards": _cards(summary, judge),
        "main": origins.main_tables(summary, judge),
        "controls": controls.beside(summary, judge),
        "types": tables.type_tables(summary, judge),
        "forest": _forest(summary, judge),
        "states": _state_lines(summary, judge),
        "equivalence": claims.equivalence_table(summary, judge),
        "outcomes": _outcome_lines(summary, judge),
        "histograms": _histograms(summary, judge),
        "between": claims.between_runs_table(summary, judge),
    }


def _cards(summary: Row, judge: str) -> list[Row]:
    """The average difference of each condition, in the widest group of questions that it has."""
    found: dict[tuple[str, str], Row] = {}
    for d, (model, conditions, over) in tables.difference_lines(summary, judge):
        if d["level"] == "micro":  # the group `all` comes last
            found[d["run"], d["condition"]] = {
                "model": model,
                "conditions": conditions,
                "over": over,
                "cell": tables.interval(d),
                "p": str(tables.PValue(d["p_value"])),
            }
    return list(found.values())[:MOST_CARDS]


def _forest(summary: Row, judge: str) -> Row | None:
    """The differences with their plots, by model and conditions, then by data set; None where there are none."""
    lines = tables.difference_lines(summary, judge)
    if not lines:
        return None
    axis = plots.difference_axis([tables.interval(d) for d, _ in lines])
    groups: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for d, (model, conditions, _) in lines:
        cell = tables.interval(d)
        groups.setdefault((model, conditions), {}).setdefault(group_title(d["group"]), []).append(
            {
                "part": tables.part_name(d),
                "is_average": d["level"] == "micro",
                "questions": d["questions"],
                "videos": d["videos"],
                "cell": cell,
                "p": str(tables.PValue(d["p_value"])),
                "holm": str(tables.PValue(d["p_holm"])),
                "bounds": claims.bounds(d),
                "plot": _markup(plots.interval_svg(cell, axis)),
            }
        )
    return {"axis": _markup(plots.axis_svg(axis)), "groups": groups}


def _state_lines(summary: Row, judge: str) -> list[Row]:
    labels = tables.model_labels(summary)
    rows = [row for row in summary["verdicts"] if row["judge"] == judge]
    return [
        {
            "model": labels[row["run"]],
            "run": row["run"],
            "condition": row["condition"],
            "counts": plots.state_shares(row),
            "plot": _markup(plots.share_svg(plots.state_shares(row))),
        }
        for row in _baseline_first(summary, rows)
    ]


def _outcome_lines(summary: Row, judge: str) -> list[Row]:
    labels = tables.model_labels(summary)
    lines = []
    for row in summary["outcomes"]:
        if row["judge"] == judge:
            counts = {name: row[name] for name in ("won", "tied", "lost", "not_compared")}
            line = {"model": labels[row["run"]], "run": row["run"], "condition": row["condition"], "counts": counts}
            lines.append({**line, "plot": _markup(plots.share_svg(counts))})
    return lines


def _histograms(summary: Row, judge: str) -> list[Row]:
    """The score distribution of each condition; none where the judge gives right and wrong only."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in _baseline_first(summary, [row for row in summary["scores"] if row["judge"] == judge]):
        found.setdefault((row["run"], row["condition"]), []).append(row)
    if all(len(bins) <= 2 for bins in found.values()):
        return []
    labels = tables.model_labels(summary)
    return [
        {
            "title": f"{labels[run]}, {condition}" if len(summary["runs"]) > 1 else condition,
            "plot": _markup(
                plots.histogram_svg(
                    bins, found.get((run, summary["baseline"]), []) if condition != summary["baseline"] else []
                )
            ),
        }
        for (run, condition), bins in found.items()
    ]


def _baseline_first(summary: Row, rows: Sequence[Row]) -> list[Row]:
    order = [run["run"] for run in summary["runs"]]
    return sorted(rows, key=lambda row: (order.index(row["run"]), row["condition"] != summary["baseline"]))


def _markup(svg: str) -> Any:
    """An SVG of `plots`, which escapes what it is given."""
    from markupsafe import Markup

    return Markup(svg)
