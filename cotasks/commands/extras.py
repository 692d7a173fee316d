"""Which extras a command needs, said all at once before it begins."""

from __future__ import annotations

from importlib.util import find_spec

from cotasks.errors import MissingExtra

EXTRAS: dict[str, dict[str, str]] = {
    "video": {"av": "av", "PIL": "pillow"},
    "decord": {"decord": "decord"},
    "models": {
        "torch": "torch",
        "torchvision": "torchvision",
        "transformers": "transformers",
        "accelerate": "accelerate",
    },
    "judge": {"openai": "openai"},
    "report": {"jinja2": "jinja2", "matplotlib": "matplotlib", "scipy": "scipy"},
    "wups": {"nltk": "nltk"},
    "sheets": {"openpyxl": "openpyxl"},
    "train": {"peft": "peft", "trl": "trl"},
    "annotate": {"trackers": "trackers", "scipy": "scipy"},
}
"""Extra -> {module: package} that it brings, but for those of other extras."""
INCLUDES = {
    "decord": ("video",),
    "models": ("video",),
    "train": ("models", "video"),
    "annotate": ("models", "video"),
}
"""Extra -> the extras that it includes."""
OPTIONAL = ("accelerate",)
"""Modules that an extra brings and most work does without."""


def require(*extras: str) -> None:
    """Raises MissingExtra that names every missing package and every extra that brings one.

    Args:
        extras: that the command needs as it was called.
    """
    missing = {
        extra: absent
        for extra in dict.fromkeys(extras)
        if (absent := [p for m, p in EXTRAS[extra].items() if m not in OPTIONAL and not is_there(m)])
    }
    if missing:
        packages = [package for absent in missing.values() for package in absent]
        named = packages[0] if len(packages) == 1 else f"each of {', '.join(packages)}"
        included = {inner for extra in missing for inner in INCLUDES.get(extra, ())}
        raise MissingExtra(named, ",".join(extra for extra in missing if extra not in included))


def judge_extras(judge: str | None) -> tuple[str, ...]:
    """What a judge needs: WordNet's reader for WUPS, a client for a model behind a server."""
    from cotasks.judge.wups import THRESHOLDS

    if judge is None:
        return ()
    return ("wups",) if judge in THRESHOLDS else ("judge",) if ":" in judge else ()


def is_there(module: str) -> bool:
    """Whether a module could be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ValueError:  # what a program put among the modules itself has no spec
        return True
