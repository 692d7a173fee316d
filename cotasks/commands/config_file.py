"""A file of options: YAML or JSON, flat, its keys the names of a command's options and arguments.

    dataset: built
    model: Qwen/Qwen2.5-VL-3B-Instruct
    condition: [baseline, cotasks]
    num-frames: 16

`-` and `_` are the same in a key. A value is read as it would be on the command line; a list is for options that can be
repeated, a mapping for `extra-body`, and null is as if the key were not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from cotasks.commands.repeat import is_run, options_of_run
from cotasks.errors import InputError, shorten
from cotasks.tools.files import read_text

NOT_IN_A_FILE = ("config_file", "verbose", "quiet", "debug", "help")
"""Parameters that say how a command speaks, not what it does."""
OBJECTS = ("extra_body", "engine_args")
"""Parameters that are a JSON object on the command line, and may be a mapping in a file."""


def read_options(path: Path, command: Any, name: str) -> dict[str, Any]:
    """{parameter: value} of a file, as `Context.default_map` takes it.

    Args:
        path: of the file; one that `cotasks generate` or `cotasks predict` wrote as run.json gives the options that
            repeat the run.
        command: the click command that reads it.
        name: of the command, as it is called.

    Raises InputError where the file is not there or no flat mapping, and for a key that is no option of the command.
    """
    found = _read(path, name)
    if is_run(found):
        found = options_of_run(found, name, path)
    known = {key: p for p in command.params if p.name not in NOT_IN_A_FILE for key in _keys(p)}
    values: dict[str, Any] = {}
    for key, value in found.items():
        parameter = known.get(str(key).replace("-", "_"))
        if parameter is None:
            shown = ", ".join(dict.fromkeys(_keys(p)[-1].replace("_", "-") for p in known.values() if not _hidden(p)))
            raise InputError(f"{path}: unknown key {str(key)!r}; expected options of `cotasks {name}`: {shown}")
        if parameter.name in values:
            raise InputError(f"{path}: {key!r} is there twice, as two names of one option")
        if value is not None:
            values[parameter.name] = _value(f"{path}: {key}", parameter, value)
    return values


def _read(path: Path, name: str) -> dict[Any, Any]:
    """The mapping that a file holds."""
    if not path.is_file():
        raise InputError(
            f"--config {path}: no such file; expected a YAML or JSON file of options of `cotasks {name}` (a config of "
            "DATASET is named with --dataset-config)"
        )
    text = read_text(path)
    try:
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:  # the last where it is nested too deep
        raise InputError(f"{path}: neither YAML nor JSON: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{path}: {shorten(found)}; expected a mapping of options to values")
    return found


def _keys(parameter: Any) -> list[str]:
    """The keys that name a parameter: its options without dashes, or an argument's name."""
    names = [option.lstrip("-") for option in parameter.opts if option.startswith("--")] or [parameter.name]
    return [name.replace("-", "_") for name in names]


def _hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False))


def _value(place: str, parameter: Any, value: Any) -> Any:
    """A value as the command line would bring it: text, but for what is on or off, and lists of text."""
    several = getattr(parameter, "multiple", False) or parameter.nargs != 1
    if isinstance(value, Mapping) and parameter.name in OBJECTS:
        return json.dumps(value)
    if isinstance(value, list) and several:
        return [_text(place, item) for item in value]
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise InputError(f"{place}: {shorten(value)}; expected true or false")
        return value
    text = _text(place, value)
    return [text] if several else text


def _text(place: str, value: Any) -> str:
    if isinstance(value, bool | list | Mapping) or value is None:
        raise InputError(f"{place}: {shorten(value)}; expected a text or a number")
    return str(value)
