"""How much of the gain needs no video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotasks.metrics.contrasts import Floats, Scores, Weights, estimates, interval_row, weighted
from cotasks.records.dataset import Records
from cotasks.studies.drawing import groups_of, points, zero
from cotasks.studies.rows import by_question, differences, means, ratios
from cotasks.studies.study import Row, Setup, Study, Tables


def bias(scores: Scores, readable: Floats) -> dict[str, list[Row]]:
    """`means`, `gains` with and without video and their difference, and the `shares` of the gain that need no video.

    Args:
        readable: (questions,) 1 where the answer, its head word or its number can be read off the context, else 0;
            nan where a question has no reference answer.
    """
    groups = scores.groups()
    for name, value in (("answer in the context", 1.0), ("answer not in the context", 0.0)):
        if (readable == value).any():
            groups[name] = readable == value
    with_video: Weights = {"cotasks": 1.0, "baseline": -1.0}
    without: Weights = {"blind-cotasks": 1.0, "blind": -1.0}
    gains = differences(scores, {"gain with video": with_video, "gain without video": without}, groups)
    both = {**with_video, **{condition: -weight for condition, weight in without.items()}}
    columns = [(weighted(scores, both), inside) for inside in groups.values()]
    found = estimates(columns, scores.video_ids, -200.0, 200.0)
    gains += [{"name": "difference", "group": g, **interval_row(*one)} for g, one in zip(groups, found, strict=True)]
    return {
        "means": means(scores, ["baseline", "cotasks", "blind", "blind-cotasks"], groups),
        "gains": gains,
        "shares": ratios(scores, "gain without video / gain with video", without, with_video, groups),
    }


def _tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[Row]]:
    return bias(scores, by_question(scores, readable_answers(setup.records)))


def readable_answers(records: Records) -> dict[str, float]:
    """{id: 1.0 where a reference answer, its head word or its number can be read off the `cotasks` context, else 0.0;
    nan without a reference}, as `cotasks.audit.leakage` defines it."""
    from cotasks.audit import measure_leakage
    from cotasks.audit.counts import SplitCounts, add_video, video_tables
    from cotasks.audit.leakage import CONDITIONS, MEASURES

    counts = SplitCounts()
    for table in video_tables(records.rows):
        add_video(counts, table)
    leakage = measure_leakage([records], {records.split: counts})
    column = leakage.share[:, CONDITIONS.index("cotasks"), MEASURES.index("any")]
    return dict(zip(records.ids, column.astype(float).tolist(), strict=True))


def _bias(figure: Any, tables: Tables) -> None:
    groups = groups_of(tables["gains"])
    figure.set_size_inches(8, 0.62 * len(groups) + 1.5)
    axes = figure.subplots()
    for series, name in enumerate(("gain with video", "gain without video")):
        rows = [row for row in tables["gains"] if row["name"] == name]
        points(axes, groups, rows, series, (series - 0.5) * 0.3, label=name)
    zero(axes)
    axes.set(xlabel="points", title="How much of the gain needs no video")
    figure.legend(loc="outside lower center", frameon=False, ncols=2)


STUDY = Study(
    name="bias",
    title="How much of the gain needs no video",
    reading="""\
`gain with video` is `cotasks` minus `baseline`; `gain without video` is `blind-cotasks` minus `blind`, where the model
sees no frame. Their ratio says how much of the gain needs no video at all; it is not quoted where the gain with video
does not differ from 0. A high ratio means that the context is read, not that it is checked against what is seen. The
questions are also split by whether the answer, its head word or its number stands in the context (see `cotasks audit`):
a gain that lives on those only is a gain from annotation that names the answer.""",
    conditions=lambda setup: ["baseline", "cotasks", "blind", "blind-cotasks"],
    tables=_tables,
    pictures=lambda tables: [("bias", _bias)],
)
