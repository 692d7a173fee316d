"""How often 95% intervals hold the true mean: simulated scores of questions on videos, by every method that was tried.

    nice -n 15 python -m tests.benchmarks.coverage [--data-sets 2000] [--seed 0] [--out table.md]

Scores are right or wrong, 0 to 5, or 0 to 100; true means 2 to 98; a share ICC of their variance lies between videos;
5 to 500 videos have 3 to 15 questions each, as in NExT-QA's multiple-choice validation split (mean 8.8).
Differences are of two conditions that give 60% of the questions the same answer, where the true difference is 0 or 4.
`score` is what `cotasks.metrics` does, run as it is; the others are what it could have been.

Prints, for each method, in how many of the cells its coverage lies in 93% to 97%, and the lowest and highest; then for
`score` a table with every cell, in which `*` marks those where most intervals are marked as rough. Two minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cotasks.metrics.intervals import cluster_estimates, distributions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SIZES = np.repeat(np.arange(3, 16), [3, 7, 22, 37, 74, 88, 114, 147, 43, 23, 9, 2, 1])
"""Questions of each of the 570 videos of NExT-QA's multiple-choice validation split."""
SPREAD = {"right or wrong": 1.0, "0 to 5": 0.55, "0 to 100": 0.3}
"""Kind of score -> its variance as a share of mean (1 - mean), the most that there can be."""
MEANS = (0.02, 0.05, 0.2, 0.5, 0.8, 0.95, 0.98)
ICCS = (0.0, 0.05, 0.2, 0.5)
VIDEOS = (5, 10, 20, 50, 100, 500)
SAME = 0.6
"""Share of the questions to which both conditions give the same answer."""
DIFFERENCE = 0.1
"""Between the means of the answers that are not the same; the true difference is (1 - SAME) times it."""


@dataclass(frozen=True)
class Cell:
    """What is simulated."""

    what: str
    """`mean` or `difference`."""
    kind: str
    """Of `SPREAD`."""
    mean: float
    """True mean of a condition, 0 to 1; of a difference, the baseline's."""
    gain: float
    """True difference of the answers that are not the same, 0 to 1."""
    icc: float
    videos: int


def cells() -> Iterator[Cell]:
    for kind in SPREAD:
        for mean in MEANS:
            for icc in ICCS:
                yield from (Cell("mean", kind, mean, 0.0, icc, videos) for videos in VIDEOS)
    for gain in (0.0, DIFFERENCE):
        for kind in SPREAD:
            for mean in (0.02, 0.05, 0.2, 0.5, 0.85):
                for icc in ICCS:
                    yield from (Cell("difference", kind, mean, gain, icc, videos) for videos in VIDEOS)


def scores(generator: np.random.Generator, kind: str, mean: float, icc: float, counts: Ints) -> Floats:
    """The sum of so many scores, 0 to 1, of each video; a video's own mean is drawn first.

    The variance of a score is SPREAD[kind] mean (1 - mean), the share `icc` of it between videos.
    """
    between = icc * SPREAD[kind]
    own = np.full(counts.shape, mean)
    if between:
        own = generator.beta(mean * (1 / between - 1), (1 - mean) * (1 / between - 1), counts.shape)
    if kind == "right or wrong":
        return generator.binomial(counts, own).astype(np.float64)
    within = (1 - icc) * SPREAD[kind] / (1 - icc * SPREAD[kind])
    if kind == "0 to 5":  # binomial of five: a fifth of what there can be, the rest is the chance's
        within = (within - 0.2) / 0.8
    there = np.arange(counts.max()) < counts[..., None]
    centre, weight = np.broadcast_to(own[..., None], there.shape)[there], 1 / within - 1
    drawn = generator.beta(np.maximum(centre * weight, 1e-9), np.maximum((1 - centre) * weight, 1e-9))
    if kind == "0 to 5":
        drawn = generator.binomial(5, drawn) / 5
    filled = np.zeros(there.shape)
    filled[there] = drawn
    return np.asarray(filled.sum(axis=-1), np.float64)


def simulate(cell: Cell, sets: int, generator: np.random.Generator) -> tuple[Floats, Floats, float]:
    """(sums, counts, true mean) of so many data sets, (videos, sets) each; scores from 0 to 100."""
    counts = generator.choice(SIZES, (cell.videos, sets))
    if cell.what == "mean":
        sums = scores(generator, cell.kind, cell.mean, cell.icc, counts)
        return 100 * sums, counts.astype(np.float64), 100 * cell.mean
    changed = generator.binomial(counts, 1 - SAME)
    ours = scores(generator, cell.kind, cell.mean + cell.gain, cell.icc, changed)
    base = scores(generator, cell.kind, cell.mean, cell.icc, changed)
    return 100 * (ours - base), counts.astype(np.float64), 100 * (1 - SAME) * cell.gain


def score(sums: Floats, counts: Floats, lowest: float) -> tuple[Floats, Floats, Floats]:
    """(low, high, rough) of `cotasks.metrics`."""
    found = cluster_estimates(sums, counts, [[c] for c in range(sums.shape[1])], lowest, 100.0)
    low, high = (np.array([getattr(e, end) for e in found], np.float64) for end in ("low", "high"))
    return low, high, np.array([float(e.rough) for e in found])


def student(sums: Floats, counts: Floats, lowest: float) -> tuple[Floats, Floats]:
    """CR2 and Student's quantile, on the scale itself, cut at its ends."""
    mean, error, videos = _linear(sums, counts)
    width = distributions().t.ppf(0.975, videos - 1) * error
    return _or_rule_of_three(mean - width, mean + width, mean, error, videos, lowest)


def logit(sums: Floats, counts: Floats, lowest: float) -> tuple[Floats, Floats]:
    """The same on the scale of log odds."""
    mean, error, videos = _linear(sums, counts)
    p, error = (mean - lowest) / (100 - lowest), error / (100 - lowest)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        centre, width = np.log(p / (1 - p)), distributions().t.ppf(0.975, videos - 1) * error / (p * (1 - p))
        low, high = (lowest + (100 - lowest) / (1 + np.exp(-(centre + s * width))) for s in (-1, 1))
    return _or_rule_of_three(low, high, mean, error, videos, lowest)


def percentile(sums: Floats, counts: Floats, lowest: float) -> tuple[Floats, Floats]:
    """Hesterberg's expanded percentile bootstrap over videos, of 999 resamples."""
    return _bootstrap(sums, counts, lowest, studentised=False)


def studentised(sums: Floats, counts: Floats, lowest: float) -> tuple[Floats, Floats]:
    """The bootstrap over videos of the mean in units of its error, of 999 resamples."""
    return _bootstrap(sums, counts, lowest, studentised=True)


METHODS: dict[str, Callable[[Floats, Floats, float], tuple[Floats, Floats]]] = {
    "CR2, Student": student,
    "CR2, logit": logit,
    "percentile bootstrap": percentile,
    "studentised bootstrap": studentised,
}
BOOTSTRAPPED = 150
"""Data sets that a bootstrap is tried on, of up to a hundred videos."""


def _linear(sums: Floats, counts: Floats) -> tuple[Floats, Floats, int]:
    totals = counts.sum(axis=0)
    mean = sums.sum(axis=0) / totals
    error = np.sqrt(((sums - mean * counts) ** 2 / (1 - counts / totals)).sum(axis=0)) / totals
    return mean, error, len(sums)


def _or_rule_of_three(
    low: Floats, high: Floats, mean: Floats, error: Floats, videos: int, lowest: float
) -> tuple[Floats, Floats]:
    share, constant = 1 - 0.05 ** (1 / videos), error < 1e-10
    low = np.where(constant, mean - share * (mean - lowest), np.maximum(low, lowest))
    return low, np.where(constant, mean + share * (100 - mean), np.minimum(high, 100))


def _bootstrap(sums: Floats, counts: Floats, lowest: float, studentised: bool) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(0)
    mean, error, videos = _linear(sums, counts)
    stats = distributions()
    low, high = np.empty_like(mean), np.empty_like(mean)
    tail = stats.norm.cdf(-np.sqrt(videos / (videos - 1)) * stats.t.ppf(0.975, videos - 1))
    for column in range(len(mean)):
        drawn = generator.integers(videos, size=(videos, 999))
        again, spread, _ = _linear(sums[drawn, column], counts[drawn, column])
        if studentised:
            with np.errstate(divide="ignore", invalid="ignore"):
                units = (again - mean[column]) / spread
            units = np.where(spread > 1e-10, units, np.nan)
            upper, lower = np.nanquantile(units, [0.975, 0.025]) if not np.isnan(units).all() else (0, 0)
            low[column], high[column] = mean[column] - upper * error[column], mean[column] - lower * error[column]
        else:
            low[column], high[column] = np.quantile(again, [tail, 1 - tail])
    return _or_rule_of_three(low, high, mean, error, videos, lowest)


def held(low: Floats, high: Floats, true: float) -> float:
    """The share of intervals that hold the true mean."""
    return float(np.mean((low <= true + 1e-9) & (true - 1e-9 <= high)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-sets", type=int, default=2000, help="of each cell; half with 500 videos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write the table; else it is printed")
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    found: dict[str, dict[str, list[float]]] = {"mean": {}, "difference": {}}
    rows: dict[tuple[str, str, float, float, float], list[str]] = {}
    firm: dict[str, list[float]] = {"mean": [], "difference": []}
    for cell in cells():
        sets = max(1, arguments.data_sets // (2 if cell.videos >= 500 else 1))
        sums, counts, true = simulate(cell, sets, generator)
        lowest = 0.0 if cell.what == "mean" else -100.0
        low, high, rough = score(sums, counts, lowest)
        share = held(low, high, true)
        found[cell.what].setdefault("score", []).append(share)
        if rough.mean() < 0.5:
            firm[cell.what].append(share)
        mark = "*" if rough.mean() >= 0.5 else ""
        row = (cell.what, cell.kind, cell.mean, cell.gain, cell.icc)
        rows.setdefault(row, []).append(f"{share:.3f}{mark}")
        for name, method in METHODS.items():
            boot = "bootstrap" in name
            if not boot or (cell.videos <= 50 and cell.icc in (0.0, 0.5)):
                kept = slice(None, BOOTSTRAPPED if boot else None)
                ends = method(sums[:, kept], counts[:, kept], lowest)
                found[cell.what].setdefault(name, []).append(held(*ends, true))
    lines = ["| Of | Method | Cells | In 0.93 to 0.97 | Below | Above | Lowest | Highest |", "|---|---|" + "---:|" * 6]
    for what, methods in found.items():
        methods = {"score": methods["score"], "score, not rough": firm[what], **methods}
        for name, shares in methods.items():
            values = np.array(shares)
            below, above = int((values < 0.93).sum()), int((values > 0.97).sum())
            inside = f"{1 - (below + above) / len(values):.0%}"
            ends = f"{values.min():.3f} | {values.max():.3f}"
            lines.append(f"| {what} | {name} | {len(values)} | {inside} | {below} | {above} | {ends} |")
    header = " | ".join(f"{videos} videos" for videos in VIDEOS)
    for what in found:
        lines += ["", f"| {what.capitalize()} of | True mean | ICC | {header} |", "|---|---:|---:|" + "---:|" * 6]
        for (of, kind, mean, gain, icc), shares in rows.items():
            if of == what:
                shown = f"{100 * mean:g}" + (f", difference {100 * (1 - SAME) * gain:g}" if what != "mean" else "")
                lines.append(f"| {kind} | {shown} | {icc:g} | {' | '.join(shares)} |")
    text = "\n".join(lines) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
