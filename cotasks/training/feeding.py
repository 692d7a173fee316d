"""What the options of the fine-tuning examples make of examples on their way: mixtures and streams."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.errors import InputError
from cotasks.models.families import limits_of
from cotasks.prompts.condition import PHRASE, parse_condition, with_defaults
from cotasks.records.dataset import Records, load_records
from cotasks.runs.predictions import load_predictions, read_predictions
from cotasks.training.base import Base, TokenCount
from cotasks.training.collator import TrainingCollator
from cotasks.training.examples import TASKS, parse_task
from cotasks.training.mixing import (
    Mix,
    MixedRows,
    Told,
    check_mixed,
    parse_noise,
    parse_schedule,
    parse_weights,
    predicted_task,
)

if TYPE_CHECKING:
    from cotasks.training.stream import Stream

OWN_SHARE = "0..0.5"
"""Schedule of own predictions by default."""


def told_of(
    args: argparse.Namespace, base: Base, records: Records | None, folder: Path | None, steps: int
) -> Told | None:
    """What the options of `add_mixing_arguments` make of examples; None where they ask for nothing.

    Args:
        records: what is learned from; None where nobody holds it all, and predictions are not checked against it.
        folder: of the videos.
        steps: of the whole training.

    Raises InputError where the options are wrong, or there is nothing to mix.
    """
    noise = tuple(map(parse_noise, args.noise))
    if args.own_share and args.own_predictions is None:
        raise InputError("--own-share without predictions; expected --own-predictions, a folder of `cotasks predict`")
    own = parse_schedule(args.own_share or OWN_SHARE) if args.own_predictions is not None else None
    if not noise and own is None:
        return None
    mix = Mix(noise, own, args.seed)
    tasks = tuple(args.tasks or TASKS)
    check_mixed(mix, tasks)
    predictions = None
    if own is not None:
        told = [parse_condition(name) for name in map(predicted_task, tasks) if name is not None]
        asked = [with_defaults(condition, args.num_frames, PHRASE) for condition in told]
        predictions = (
            read_predictions(args.own_predictions)
            if records is None
            else load_predictions(args.own_predictions, records, asked)
        )
    return Told(mix, steps, {**_example_options(args, base, folder), "predictions": predictions})


def _example_options(args: argparse.Namespace, base: Base, folder: Path | None) -> dict[str, Any]:
    """Arguments of `instructions` but for the tasks."""
    return {
        "family": base.family.name,
        "limits": limits_of(base.processor, base.family),
        "num_frames": args.num_frames,
        "boxes_per_entity": args.boxes_per_entity,
        "videos": folder,
        "video_check": args.video_check,
        "count_tokens": TokenCount(base.processor.tokenizer),
    }


def stream_of(args: argparse.Namespace, base: Base, collator: TrainingCollator, process: int, processes: int) -> Stream:
    """What one of the processes learns from with --stream. Raises InputError as `Stream` does, and where an option does
    not go with it."""
    from cotasks.training.stream import Examples, Source, Stream

    for name, value in (("--limit", args.limit), ("--eval-split", args.eval_split)):
        if value is not None:
            raise InputError(f"{name} with --stream: nobody holds the whole set; expected one without the other")
    if args.max_steps is None:
        raise InputError("--stream without --max-steps: nobody knows how many steps an epoch has; expected both")
    tasks = tuple(args.tasks or TASKS)
    for task in tasks:
        parse_task(task)
    options = _example_options(args, base, args.videos) | ({} if args.think is None else {"think": args.think})
    return Stream(
        Source(args.data, args.split, args.config, tasks, parse_weights(args.weights, tasks), args.seed),
        Examples(options, told_of(args, base, None, args.videos, args.max_steps), collator.report),
        collator,
        batch_size=args.batch_size,
        accumulate=args.accumulate,
        process=process,
        processes=processes,
        workers=args.workers,
    )


def mixed_rows(args: argparse.Namespace, base: Base, rows: Any, folder: Path | None, steps: int) -> MixedRows | None:
    """The examples of `training_examples`, told what the options say; None where they ask for nothing.

    Raises InputError as `told_of` does.
    """
    if not args.noise and args.own_predictions is None and not args.own_share:
        return None
    records = load_records(args.data, args.split, args.config, args.limit)
    told = told_of(args, base, records, folder, steps)
    return None if told is None else MixedRows(rows, records.rows, told)
