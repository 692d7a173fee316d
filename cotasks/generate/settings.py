"""What `run.json` says of a run: model, data set, conditions, sampling, versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, shorten
from cotasks.generate.sampling import Sampling
from cotasks.models.families import FAMILIES, Family, Limits
from cotasks.models.load import Model, versions
from cotasks.prompts.condition import PHRASE, Condition, condition_settings, read_condition
from cotasks.records.dataset import Records
from cotasks.runs.questions import dataset_settings
from cotasks.video.check import check_mode


def run_settings(
    records: Records,
    conditions: Sequence[Condition],
    video_folder: Path | None,
    sampling: Sampling,
    video_check: str = "fail",
) -> dict[str, Any]:
    """What `run.json` holds of that which shapes an answer, whatever the model. Raises InputError where `video_check`
    is unknown."""
    styles = {c.answer_style for c in conditions if c.asks is None} - {PHRASE}
    return {
        "dataset": dataset_settings(records, video_folder),
        "conditions": {c.name: condition_settings(c) for c in conditions},
        **({"answer_style": "+".join(sorted(styles))} if styles else {}),  # runs begun before say nothing
        "max_new_tokens": sampling.max_new_tokens,
        "video_check": check_mode(video_check),
    }


def model_settings(model: Model, sampling: Sampling) -> dict[str, Any]:
    """What `run.json` says of a model in this process, of frames and sampling, and the versions that take part."""
    return {
        "backend": "transformers",
        "model": model.settings,
        "sampling": sampling.settings(),
        **model.thought.settings(),
        "frames": {
            "shown_as": "video",
            "resize": "bicubic",
            "limits": dataclasses.asdict(model.limits),
        },
        "versions": versions(model),
    }


def conditions_of(settings: Mapping[str, Any]) -> dict[str, tuple[Condition, Family, Limits]]:
    """{name: how its prompts are built}. Raises InputError where `run.json` does not say."""
    try:
        family = FAMILIES[settings["model"]["family"]]
        limits = dict(settings["frames"]["limits"])
        limits["fixed"] = tuple(limits["fixed"]) if limits["fixed"] else None
        for name, value in limits.items():
            if name in ("fill", "nearest"):
                if type(value) is not bool:
                    raise TypeError(f"{name} {shorten(value)}")
                continue
            least = 0 if name.endswith("pixels") else 1
            if value is not None and not all(
                type(v) is int and v >= least for v in (value if name == "fixed" else [value])
            ):
                raise TypeError(f"{name} {shorten(value)}")
        return {
            name: (read_condition(values), family, Limits(**limits)) for name, values in settings["conditions"].items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"run.json does not say how prompts were built ({error}); a different version?") from None
