"""The options of the fine-tuning examples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.tools.tracking import TRACKERS, check_tracker
from cotasks.training.examples import TASKS
from cotasks.training.thoughts import THOUGHTS
from cotasks.video.cache import FOLDER_BYTES
from cotasks.video.check import MODES

COUNTS = (
    *("batch_size", "accumulate", "log_every", "eval_every", "save_every", "keep"),
    *("max_steps", "max_tokens", "num_frames", "boxes_per_entity", "limit", "eval_limit"),
)
"""Options that are 1 or more where they are given."""
PLACES = ("out", "workers", "log_every", "eval_every", "save_every", "keep", "frame_cache", "frame_cache_gb", "track")
"""Options that may change when training goes on."""
LATER = ("stream", "noise", "own_predictions", "own_share", "weights")
"""Options that settings hold only where they say something, as runs begun before have none."""


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `training_examples` and `training_collator` read."""
    group = parser.add_argument_group("data")
    group.add_argument("--model", required=True, help="`tiny`, `toy`, a model folder, or a Hub id")
    group.add_argument("--data", required=True, help="`sample`, a folder of `cotasks build`, or a Hub id")
    group.add_argument("--dataset-config", dest="config", help="config of the data set, where it has several")
    group.add_argument("--split", default="train", help="split to learn from (default: train)")
    group.add_argument("--eval-split", help="split to evaluate on, none by default")
    group.add_argument("--limit", type=int, help="about so many questions of the split to learn from")
    group.add_argument("--eval-limit", type=int, help="about so many questions of the split to evaluate on")
    group.add_argument("--videos", type=Path, help="folder of the videos; the sample brings its own")
    group.add_argument(
        "--video-check",
        choices=MODES,
        default="fail",
        help="what is done about a video that is not the annotated one (default: fail, its examples are skipped)",
    )
    group.add_argument(
        "--task",
        action="append",
        dest="tasks",
        metavar="TASK",
        help="what to learn, once or several times: a step such as frame_localization, `chain`, or a condition such as "
        f"cotasks-12 (default: {' '.join(TASKS)})",
    )
    group.add_argument(
        "--think",
        choices=tuple(THOUGHTS),
        help="the chain in one turn, the steps within <think> in this form, the answer within <answer>",
    )
    group.add_argument("--num-frames", type=int, help="frames shown (default: the grid of the records)")
    group.add_argument(
        "--boxes-per-entity", type=int, default=BOXES_PER_ENTITY, help=f"in step 2 (default: {BOXES_PER_ENTITY})"
    )
    group.add_argument(
        "--max-tokens", type=int, help="budget of an example, video included; beyond it, items of steps 2 to 4 go"
    )
    group.add_argument(
        "--stream",
        action="store_true",
        help="read --data, a folder or a Hub id, as it comes, for sets that no disk holds; frames come from the rows, "
        "where they hold them (`python -m cotasks.training.shards`), else from --videos; needs --max-steps",
    )
    group.add_argument("--workers", type=int, default=0, help="processes that read videos ahead (default: 0)")
    group.add_argument(
        "--frame-cache", type=Path, metavar="DIR", help="keep decoded frames in this folder, for all processes and runs"
    )
    group.add_argument(
        "--frame-cache-gb",
        type=float,
        default=FOLDER_BYTES / 1e9,
        metavar="GB",
        help=f"size of that folder; what was used longest ago goes first (default: {FOLDER_BYTES / 1e9:.0f})",
    )


def add_mixing_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of what examples are told, and how often they are met; see `cotasks.training.mixing`."""
    group = parser.add_argument_group(
        "mixture", "a SCHEDULE is a share: 0.3, or 0..0.5 from the first step to the last, or 0..0.5@0.2..0.8"
    )
    group.add_argument(
        "--noise",
        action="append",
        default=[],
        metavar="SCHEDULE:corrupt=P[,kind=K]",
        help="tell a share of the examples steps with noise of this kind and strength, as conditions name it",
    )
    group.add_argument("--own-predictions", type=Path, metavar="DIR", help="predicted steps, of `cotasks predict`")
    group.add_argument(
        "--own-share",
        metavar="SCHEDULE",
        help="tell these in a share of the examples that ask for an answer (default: 0..0.5)",
    )
    group.add_argument(
        "--weight",
        action="append",
        default=[],
        dest="weights",
        metavar="TASK=W",
        help="meet the examples of a task W times an epoch; 0.5 takes half of the records",
    )


def add_training_arguments(parser: argparse.ArgumentParser, learning_rate: float) -> argparse._ArgumentGroup:
    """The options of training that both examples have; the group, for those that one of them adds."""
    group = parser.add_argument_group("training")
    group.add_argument("--out", type=Path, required=True, help="folder to write to, or to go on with")
    group.add_argument("--epochs", type=float, default=1.0)
    group.add_argument("--max-steps", type=int, help="stop after so many steps, whatever --epochs says")
    group.add_argument("--batch-size", type=int, default=1, help="examples at once, a process (default: 1)")
    group.add_argument("--accumulate", type=int, default=1, help="batches of a process before a step (default: 1)")
    group.add_argument("--learning-rate", type=float, default=learning_rate, help=f"(default: {learning_rate})")
    group.add_argument("--warmup", type=float, default=0.03, help="share of the steps before the peak (default: 0.03)")
    group.add_argument("--weight-decay", type=float, default=0.0)
    group.add_argument("--max-grad-norm", type=float, default=1.0)
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--log-every", type=int, default=10, help="steps between two lines on the screen (default: 10)")
    group.add_argument("--eval-every", type=int, default=200, help="steps between two evaluations (default: 200)")
    group.add_argument("--save-every", type=int, default=200, help="steps between two checkpoints (default: 200)")
    group.add_argument("--keep", type=int, default=2, help="checkpoints kept (default: 2)")
    told = "log losses and rates there too"
    group.add_argument("--track", "--log-to", dest="track", choices=TRACKERS, help=told)
    return group


def parse_positive(parser: argparse.ArgumentParser, *names: str) -> argparse.Namespace:
    """The command line, whose options that count something, and `names`, are to be 1 or more.

    Raises MissingExtra where what `--track` names is not installed.
    """
    args = parser.parse_args()
    for name in (*COUNTS, *names):
        if (value := getattr(args, name)) is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} is {value}; expected 1 or more")
    if not args.epochs > 0:
        parser.error(f"--epochs is {args.epochs}; expected more than 0")
    check_tracker(args.track)
    return args


def settings_of(args: argparse.Namespace, changeable: Sequence[str] = ()) -> dict[str, Any]:
    """The options that shape what is learned; those that say where and how fast, and `changeable` ones, do not."""
    left_out = {*PLACES, *changeable, *(name for name in LATER if not getattr(args, name, None))}
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k not in left_out}
