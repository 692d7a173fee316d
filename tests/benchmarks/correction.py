"""How often means and differences that labels correct hold the true ones: simulated judges with a known bias.

    nice -n 15 python -m tests.benchmarks.correction [--runs 1000] [--seed 0] [--out table.md]

A run has 200 videos with 3 to 15 questions each, right or wrong answers under two conditions, a share of 0.1 of their
variance between videos. The judge gives right and wrong answers scores about two values, the farther apart the better
it is, and is kinder to one condition than to the other. People label so many random answers of each condition. Prints
how often the 95% intervals of the judge alone, of the labels alone and of both hold the true value, and how wide they
are.
Three minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cotasks.metrics.corrected import Corrected, Scored, corrected_difference, corrected_mean
from cotasks.metrics.intervals import Estimate, cluster_estimates
from tests.benchmarks.coverage import SIZES

Floats = npt.NDArray[np.float64]
ICC = 0.1


@dataclass(frozen=True)
class Judge:
    """How a judge errs."""

    name: str
    right: float
    """Its mean score of a right answer, 0 to 100."""
    wrong: float
    """Of a wrong one."""
    noise: float
    """Standard deviation about that."""
    kinder: float
    """Points that it gives the second condition for nothing."""


JUDGES = (
    Judge("good", 95, 8, 10, 2),
    Judge("kind", 90, 40, 15, 10),
    Judge("poor", 65, 45, 30, 15),
    Judge("blind", 60, 60, 25, 10),
)


def simulate(
    judge: Judge, means: Sequence[float], labels: int, generator: np.random.Generator, videos: int = 200
) -> list[Scored]:
    """The answers under each condition, with labels of so many of each; the conditions share how hard a video is."""
    counts = generator.choice(SIZES, videos)
    of = np.repeat(np.arange(videos), counts)
    luck = generator.normal(0, 1, videos)
    found = []
    for place, mean in enumerate(means):
        chance = np.clip(mean + luck * np.sqrt(ICC * mean * (1 - mean)), 0, 1)
        true = 100.0 * (generator.random(len(of)) < chance[of])
        centre = np.where(true > 50, judge.right, judge.wrong) + place * judge.kinder
        judged = np.clip(centre + generator.normal(0, judge.noise, len(of)), 0, 100)
        drawn = np.full(len(of), np.nan)
        chosen = generator.choice(len(of), labels, replace=False)
        drawn[chosen] = true[chosen]
        found.append(Scored(judged, drawn, np.ones(len(of)), [str(v) for v in of]))
    return found


def true_mean(mean: float) -> float:
    """Of the answers, 0 to 100: the chances are cut at 0 and 1."""
    points = np.random.default_rng(0).normal(0, 1, 1_000_000)
    return float(100 * np.clip(mean + points * np.sqrt(ICC * mean * (1 - mean)), 0, 1).mean())


def naive(scored: Scored) -> Estimate:
    """The judge's own mean."""
    of = np.unique(np.array(scored.videos), return_inverse=True)[1]
    sums, counts = (np.bincount(of, weights)[:, None].astype(np.float64) for weights in (scored.judged, None))
    return cluster_estimates(sums, counts, [[0]], 0.0, 100.0)[0]


def holds(estimate: Estimate, true: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= true <= estimate.high


def width(estimate: Estimate) -> float:
    return 200.0 if estimate.low is None or estimate.high is None else estimate.high - estimate.low


def lines_of(judge: Judge, labels: int, runs: int, generator: np.random.Generator) -> list[str]:
    """Two rows of the table: of a mean, and of a difference."""
    means = (0.4, 0.5)
    true = [true_mean(mean) for mean in means]
    pairs: dict[str, list[Corrected]] = {"mean": [], "difference": []}
    fooled = []
    for _ in range(runs):
        base, ours = simulate(judge, means, labels, generator)
        for what, found in (("mean", corrected_mean(base)), ("difference", corrected_difference(ours, base))):
            assert found is not None
            pairs[what].append(found)
        fooled.append(holds(naive(base), true[0]))
    lines = []
    for what, value in (("mean", true[0]), ("difference", true[1] - true[0])):
        of = pairs[what]
        alone, both = ([(holds(e, value), width(e)) for e in part] for part in (
            [c.alone for c in of], [c.estimate for c in of]
        ))  # fmt: skip
        cells = [f"{np.mean([h for h, _ in part]):.3f}, {np.mean([w for _, w in part]):.1f}" for part in (alone, both)]
        judged = f"{np.mean(fooled):.3f}" if what == "mean" else "-"
        lines.append(f"| {judge.name} | {labels} | {what} | {judged} | {cells[0]} | {cells[1]} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write the table; else it is printed")
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    lines = [
        "| Judge | Labels of a condition | Of | Judge alone | Labels alone | Corrected |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for judge in JUDGES:
        for labels in (100, 200, 500):
            lines += lines_of(judge, labels, arguments.runs, generator)
    text = "\n".join(lines) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
