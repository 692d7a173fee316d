"""Plans: the formula against simulation, pilots against the design they were drawn from, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.metrics.contrasts import Scores
from cotasks.metrics.intervals import cluster_estimates
from cotasks.metrics.planning import (
    Design,
    intraclass_correlation,
    least_difference,
    piloted,
    stated,
    videos_needed,
    with_stated,
)
from cotasks.words.types import Kind
from tests.report_runs import make_world, write_run


def test_the_planned_difference_is_found_with_the_planned_power() -> None:
    """2,000 runs of right and wrong answers with the least difference of 60 videos: four of five find it."""
    generator = np.random.default_rng(3)
    videos, sets, size = 60, 2000, 8
    own = generator.normal(0, 20, (videos, sets))  # a quarter of the variance of 40^2 between videos
    design = Design(40.0, 0.25, size, 0.0)
    least = least_difference(design, videos, 0.8)
    sums = size * (least + own) + generator.normal(0, np.sqrt(1200 * size), (videos, sets))
    found = cluster_estimates(sums, np.full((videos, sets), float(size)), [[c] for c in range(sets)], -100, 100)
    assert 0.76 < np.mean([e.p_value is not None and e.p_value < 0.05 for e in found]) < 0.84


def pilot(videos: int = 400, seed: int = 0) -> Scores:
    """Scores 50 and 50 plus a difference whose deviation is 10 and whose ICC is 0.36, over uneven videos."""
    generator = np.random.default_rng(seed)
    counts = generator.choice([2, 6], videos)
    of = np.repeat(np.arange(videos), counts)
    gains = generator.normal(0, 6, videos)[of] + generator.normal(0, 8, len(of))
    values = np.stack([np.full(len(of), 50.0), 50 + gains])
    values[1, -1] = np.nan
    return Scores(
        conditions=("baseline", "cotasks"),
        ids=tuple(map(str, range(len(of)))),
        video_ids=tuple(map(str, of)),
        kinds=(Kind("own", "all", "all"),) * len(of),
        values=values,
        answers=np.ones(values.shape, np.int64),
        unscored=np.isnan(values).astype(np.int64),
    )


def test_a_pilot_shows_the_design_it_was_drawn_from() -> None:
    design = piloted(pilot(), "cotasks", "baseline")
    assert design.deviation == pytest.approx(10, rel=0.05)
    assert design.icc == pytest.approx(0.36, abs=0.06)
    assert design.questions == pytest.approx(4, rel=0.1)
    assert design.unevenness == pytest.approx(0.5, rel=0.1)
    assert design.mean == 50
    # what it foretells for the pilot's own size is the error that was measured there
    scores = pilot()
    gains, known = scores.values[1] - scores.values[0], ~np.isnan(scores.values[1])
    names, of = np.unique(np.array(scores.video_ids)[known], return_inverse=True)
    sums, counts = np.bincount(of, gains[known])[:, None], np.bincount(of)[:, None].astype(np.float64)
    measured = cluster_estimates(sums, counts, [[0]], -100, 100)[0]
    assert measured.error == pytest.approx(design.error(len(names)), rel=0.1)
    assert with_stated(design, 0.0, None).error(100) < design.error(100)


def test_the_intraclass_correlation_by_hand() -> None:
    assert intraclass_correlation(np.array([1.0, 1, 5, 5]), [0, 0, 1, 1]) == 1
    assert intraclass_correlation(np.array([1.0, 5, 1, 5]), [0, 0, 1, 1]) == 0  # less alike than by chance
    assert intraclass_correlation(np.array([1.0, 2, 3]), [0, 1, 2]) == 0
    # between: 2 * (1.5^2 * 2) = 9 by 1 degree; within: 4 * 0.5^2 = 1 by 2 degrees; (9 - 0.5) / (9 + 0.5)
    assert intraclass_correlation(np.array([1.0, 2, 4, 5]), [0, 0, 1, 1]) == pytest.approx(8.5 / 9.5)


@pytest.mark.parametrize("difference", [1.0, 3.0, 20.0])
def test_the_videos_needed_are_the_fewest(difference: float) -> None:
    design = stated(40, 0.5, 0.1, 8.8)
    needed = videos_needed(design, difference, 0.8)
    assert needed is not None
    assert least_difference(design, needed, 0.8) <= difference < least_difference(design, needed - 1, 0.8)
    assert videos_needed(design, 1e-6, 0.8) is None


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ((0, 0.5, 0.1, 8.8), "mean 0; expected a number between 0 and 100"),
        ((50, 1, 0.1, 8.8), "correlation 1; expected"),
        ((50, 0.5, 1.5, 8.8), "icc 1.5; expected a number between 0 and 1"),
        ((50, 0.5, 0.1, 0), "questions 0; expected"),
    ],
)
def test_figures_out_of_range_are_named(figures: tuple[float, float, float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stated(*figures)


def test_plan_from_stated_figures_and_from_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--num-videos", "50", "--num-videos", "570", "--mean", "40", "--icc", "0.2"]) == 0
    printed = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("|")][2:] == ["50", "570"]
    assert "0.20 of its variance between videos" in printed

    records = make_world(tmp_path / "world", videos=4)
    run = write_run(
        tmp_path / "run", records, lambda r, c: r.answer if c == "cotasks" or r.video_id == "v1" else "no idea"
    )
    assert main(["plan", str(run), "--difference", "5"]) == 0
    printed = capsys.readouterr().out
    assert f"From cotasks minus baseline in {run}, judge exact" in printed
    assert printed.splitlines()[-1].startswith("A difference of 5: ")
    capsys.readouterr()
    for wrong in (["--num-videos", "1"], ["--power", "1"], ["--difference", "0"]):
        assert main(["plan", *wrong]) == 2
        said = capsys.readouterr()
        assert not said.out  # nothing is said before all is known to be sound
        assert said.err.count("\n") == 1
    assert main(["plan", str(run), "--mean", "40"]) == 2
    assert main(["plan", str(run), "--condition", "nothing"]) == 2
    assert main(["plan", "--power", "2"]) == 2
    assert "Traceback" not in capsys.readouterr().err
