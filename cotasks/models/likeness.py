"""Which row of `cotasks.models.rows` a checkpoint has, or resembles, and what of it no test has seen.

Nothing of a checkpoint but its configuration and the settings of its processor is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from cotasks.errors import InputError, MissingExtra
from cotasks.models.families import FAMILIES, check_needs, limits_of, used_elsewhere
from cotasks.models.family import Family
from cotasks.models.load import DEFAULT_LOADING, TINY, Loading, source_of
from cotasks.models.tensors import render
from cotasks.models.thinking import thinking_of

WEIGHTS = {"video processor": 4, "processor": 3, "vision tower": 2, "name": 2, "language model": 1}
"""What two checkpoints can have in common -> how much that says."""
UNSEEN = (
    "how it writes coordinates, and what its prompts call a frame",
    "that frames of our size pass its processor as they are",
    "that a batch gives the answers of its prompts one by one",
    "that positions in time are those of the clip",
    "that vision output and a prompt's beginning can be kept",
    "labels of training, and export",
)
"""What the tests look at for each row, and no test has looked at for a model without one."""


@dataclass(frozen=True)
class Likeness:
    """What is known of a checkpoint."""

    model_type: str
    """Of its configuration; empty where there is none that transformers knows."""
    family: Family | None
    """The row that covers it, or that it resembles most; None where it resembles none."""
    covered: bool
    """Whether that row lists its model type."""
    shared: tuple[str, ...] = ()
    """What it has in common with the row, such as `video processor Qwen3VLVideoProcessor`."""
    notes: tuple[str, ...] = field(default=())
    """What its own files say that bears on a run."""
    elsewhere: str = ""
    """How it is used, after "model type ...", where it is of the family but its code is its own."""


def likeness(name: str, loading: Loading = DEFAULT_LOADING) -> Likeness:
    """Look at a model folder, a Hub id, `tiny` or `toy`.

    Raises InputError where there is no configuration, MissingExtra where transformers is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "models") from None
    if name == TINY:
        from cotasks.models.tiny import build_tiny

        model, processor = build_tiny()
        config = model.config
    else:
        options = {"trust_remote_code": loading.trust_remote_code}
        try:
            raw, _ = transformers.PreTrainedConfig.get_config_dict(source_of(name))
        except (OSError, ValueError) as error:
            raise InputError(f"model {name}: no configuration to be read: {str(error).splitlines()[0]}") from None
        model_type = str(raw.get("model_type"))
        for row in FAMILIES.values():
            if model_type in row.elsewhere:
                return Likeness(model_type, row, False, elsewhere=str(used_elsewhere(model_type)))
        config, processor = _read(transformers.AutoConfig, name, options), None
        if config is not None:
            processor = _read(transformers.AutoProcessor, name, options)
        if config is None:
            notes = (f"transformers {transformers.__version__} knows no model type {model_type!r}",)
            return Likeness("", _by_name(name), False, (), notes)
    covered = next((row for row in FAMILIES.values() if config.model_type in row.model_types), None)
    if covered is not None:
        return Likeness(config.model_type, covered, True, (), tuple(_notes(covered, processor)))
    own = _traits(config, processor)
    common = {row.name: _common(own, row, name) for row in FAMILIES.values()}
    best = max(common, key=lambda row: sum(WEIGHTS[trait] for trait, _ in common[row]))
    if not common[best]:
        return Likeness(config.model_type, None, False)
    return Likeness(config.model_type, FAMILIES[best], False, tuple(f"{a} {b}".strip() for a, b in common[best]))


def _read(kind: Any, name: str, options: dict[str, Any]) -> Any:
    """A configuration or processor; None where transformers cannot make one."""
    try:
        return kind.from_pretrained(source_of(name), **options)
    except (OSError, ValueError, KeyError, ImportError, TypeError, AttributeError):
        return None


def _traits(config: Any, processor: Any) -> dict[str, str]:
    """What can be compared of a checkpoint."""
    traits = {}
    for trait, part in (("vision tower", "vision_config"), ("language model", "text_config")):
        traits[trait] = str(getattr(getattr(config, part, None), "model_type", ""))
    if processor is not None:
        traits["processor"] = type(processor).__name__
        traits["video processor"] = type(getattr(processor, "video_processor", None)).__name__
    return {trait: value for trait, value in traits.items() if value and value != "NoneType"}


def _common(own: dict[str, str], row: Family, name: str) -> list[tuple[str, str]]:
    """(trait, value) of what a checkpoint shares with a row, by what transformers has for the row's model types."""
    from transformers.models.auto import configuration_auto, processing_auto, video_processing_auto

    found = [("name", "")] if re.search(row.names, name.lower()) else []
    for model_type in row.model_types:
        if model_type not in configuration_auto.CONFIG_MAPPING_NAMES:
            continue
        of_row = _traits(configuration_auto.CONFIG_MAPPING[model_type](), None)
        of_row["processor"] = str(processing_auto.PROCESSOR_MAPPING_NAMES.get(model_type))
        seen = video_processing_auto.VIDEO_PROCESSOR_MAPPING_NAMES.get(model_type)
        of_row["video processor"] = str(seen.get("torchvision") if isinstance(seen, dict) else seen)
        found += [(trait, value) for trait, value in own.items() if of_row.get(trait) == value]
    return list(dict.fromkeys(found))


def _by_name(name: str) -> Family | None:
    return next((row for row in FAMILIES.values() if re.search(row.names, name.lower())), None)


def _notes(row: Family, processor: Any) -> list[str]:
    """What a covered checkpoint's own files say."""
    try:
        check_needs(row)
    except InputError as error:
        return [str(error)]
    if processor is None:
        return ["its processor cannot be read"]
    notes = []
    try:
        limits = limits_of(processor, row)
        notes.append(f"frames of its own limits: {limits}" if limits != row.limits else "frames of the row's limits")
    except InputError as error:
        notes.append(str(error))
    try:
        told = render(processor, [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "?"}]}])
        if told.count(processor.video_token) != 1:
            notes.append("its chat template leaves a video out")
        notes.append(f"thinking: {thinking_of(processor, row, None).mode}, unless told otherwise")
    except InputError as error:
        notes.append(str(error))
    return notes
