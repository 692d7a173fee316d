"""The five studies: which conditions each compares, and how its numbers are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from cotasks.errors import InputError

STEPS = (1, 2, 3, 4)
CORRUPTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Probabilities with which step 1 is corrupted."""
FEWEST_FRAMES = 8
"""The paper's models see 64 frames; the study goes from 8 upwards, doubling."""


@dataclass(frozen=True)
class Plan:
    """What a study asks."""

    conditions: tuple[str, ...]
    """Texts of `cotasks.prompts.parse_condition`, all for one run."""
    predicts: bool = False
    """Whether the model's own steps are needed first."""


def subset_condition(steps: Sequence[int]) -> str:
    """The condition that holds exactly these steps: `baseline` for none, `cotasks` for all."""
    if not steps:
        return "baseline"
    return "cotasks" if tuple(steps) == STEPS else "cotasks-" + "".join(map(str, steps))


def subsets() -> list[tuple[int, ...]]:
    """All sets of steps, from none to all four."""
    return [chosen for size in range(len(STEPS) + 1) for chosen in combinations(STEPS, size)]


def corrupt_condition(corruption: float, seed: int) -> str:
    """`cotasks` with step 1 corrupted; without corruption, `cotasks` itself, which reads the same."""
    return "cotasks" if corruption == 0 else f"cotasks:corrupt={corruption:g},seed={seed}"


def frame_numbers(grid: int) -> list[int]:
    """8, 16, 32 ... up to the grid, and the grid itself. Raises InputError where it has fewer than 8 frames."""
    if grid < FEWEST_FRAMES:
        raise InputError(f"frames study over a grid of {grid} frames; expected {FEWEST_FRAMES} or more")
    numbers = [FEWEST_FRAMES]
    while numbers[-1] * 2 < grid:
        numbers.append(numbers[-1] * 2)
    return numbers if numbers[-1] == grid else [*numbers, grid]


def frame_conditions(number: int) -> dict[str, str]:
    """Arm -> condition at so many frames. At the fewest, the two cotasks arms are the same prompt."""
    rebuilt = f"cotasks:frames={number}"
    return {
        "baseline": f"baseline:frames={number}",
        "rebuilt": rebuilt,
        "fixed": rebuilt if number == FEWEST_FRAMES else f"{rebuilt},context={FEWEST_FRAMES}",
    }


def plan(study: str, grid: int = FEWEST_FRAMES, corruptions: Sequence[float] = CORRUPTIONS, seeds: int = 1) -> Plan:
    """The conditions of a study.

    Args:
        study: One of `READINGS`.
        grid: Most frames that all records have, for `frames`.
        corruptions: Probabilities, for `error-propagation`; ascending, 0 is added.
        seeds: How many corruptions of each probability are drawn, for `error-propagation`.

    Raises InputError for an unknown study, and where there are too few frames.
    """
    if study == "ablation":
        return Plan(tuple(map(subset_condition, subsets())))
    if study == "error-propagation":
        levels = [0.0, *(level for level in corruptions if level)]
        texts = [corrupt_condition(level, seed) for level in levels for seed in range(seeds)]
        return Plan(("baseline", *dict.fromkeys(texts)))
    if study == "frames":
        found = [condition for number in frame_numbers(grid) for condition in frame_conditions(number).values()]
        return Plan(tuple(dict.fromkeys(found)))
    if study == "bias":
        return Plan(("baseline", "cotasks", "blind", "blind-cotasks"))
    if study == "oracle-gap":
        return Plan(("baseline", "predicted", "cotasks"), predicts=True)
    raise InputError(f"unknown study {study!r}; known: {', '.join(READINGS)}")


READINGS = {
    "ablation": """\
Every set of the four steps is a condition. `difference` is a condition's score minus `baseline` on the same questions.
The **share of a step** is its Shapley value: what the score gains when the step is added to a set of the others, over
all sets, with the weights that make the four shares add up to the difference between `cotasks` and `baseline`
(Shapley 1953). A share near 0 beside a large difference of the step alone says that the others tell the same. The paper
compares steps 1-2 with 3-4; that is one line of the table of pairs.""",
    "error-propagation": """\
Step 1 is corrupted with probability p: each of its frames moves to a random one, each of its entities is swapped or
dropped, and steps 2 to 4 are rebuilt from the scene. p = 0 is the oracle. The step scores need no model: they say how
wrong the context is, each step against its truth. The answer scores say what that does to answers. The first point at
which the answers' interval holds the baseline's mean is where such a step 1 stops being worth its tokens.""",
    "frames": """\
`rebuilt`: the model sees N frames, and the steps are rebuilt on those, so that more frames show more and tell more.
`fixed`: the model sees N frames, and the steps speak of the same 8 frames whatever N is, so that more frames only show
more. `baseline` sees N frames and is told nothing. The rise of `fixed` is what the frames give; the rise of `rebuilt`
beyond it is what the longer context gives. `gain` is each arm minus `baseline` at the same N.""",
    "bias": """\
`gain with video` is `cotasks` minus `baseline`; `gain without video` is `blind-cotasks` minus `blind`, where the model
sees no frame. Their ratio says how much of the gain needs no video at all; it is not quoted where the gain with video
does not differ from 0. A high ratio means that the context is read, not that it is checked against what is seen. The
questions are also split by whether the answer, its head word or its number stands in the context (see `cotasks audit`):
a gain that lives on those only is a gain from annotation that names the answer.""",
    "oracle-gap": """\
`predicted` answers from steps that the model itself produced, `cotasks` from the annotation, which nobody has at hand
when a model is deployed. The **share kept** is (`predicted` - `baseline`) / (`cotasks` - `baseline`), with Fieller's
interval; it is not quoted where the oracle's gain does not differ from 0. A negative share says that the model's own
steps do harm.""",
}
"""Study -> how to read it."""
