"""run.json -> the options that ask the same again: the same records, conditions, model, sampling and frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotasks.errors import InputError

COMMANDS = ("generate", "predict")
"""What writes a run.json, and can repeat it."""
_ABSENT = object()


def is_run(found: Mapping[str, Any]) -> bool:
    """Whether a mapping is the content of a run.json."""
    return isinstance(found.get("dataset"), dict) and isinstance(found.get("conditions"), dict)


def options_of_run(settings: Mapping[str, Any], command: str, place: Path) -> dict[str, Any]:
    """{option: value} that repeat a run; where it was written (`run`) is not among them.

    What only bears on speed, such as the device and the size of batches, is left to the machine at hand.

    Args:
        settings: the content of run.json.
        command: that is to repeat it.
        place: of the file, for messages.

    Raises InputError where the run was made by another command, or its settings are not those of a run.
    """
    wrote = "predict" if "predict" in settings else "generate"
    if command != wrote:
        raise InputError(f"{place}: a run of `cotasks {wrote}`; expected that command, or a file of options")
    try:
        data, model, sampling = settings["dataset"], settings["model"], settings["sampling"]
        options = {
            "dataset": data["name"],
            "dataset_config": data["config"],
            "split": data["split"],
            "limit": data["limit"],
            "videos": data["videos"],
            "video_check": settings.get("video_check"),
            "model": model["name"],
            "max_new_tokens": settings["max_new_tokens"],
            "thinking": _thinking(settings),
            "predictions": settings.get("predictions", {}).get("folder"),
        }
        options |= _asked(settings) if wrote == "generate" else _steps(settings)
        if wrote == "generate":
            drawn = {name: sampling.get(name) for name in ("temperature", "top_p", "top_k", "seed")}
            options |= {"samples": sampling["num_samples"], **drawn}
        options |= _BACKENDS.get(settings["backend"], _local)(settings)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{place}: does not say how the run was made ({error}); a different version?") from None
    return {name: value for name, value in options.items() if value is not None}


def _thinking(settings: Mapping[str, Any]) -> str | None:
    """As the option has it; None where the model does not think."""
    return str(settings["thinking"]["mode"]) if "thinking" in settings else None


def _asked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions by their names, the frames shown where a name says nothing, and how answers are to be worded."""
    from cotasks.prompts.condition import parse_condition

    found = settings["conditions"]
    shown = {c["num_frames"] for name, c in found.items() if parse_condition(name).num_frames is None}
    return {
        "condition": list(found),
        "num_frames": next(iter(shown), None),
        "answer_style": settings.get("answer_style"),
    }


def _steps(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `cotasks predict` was told; the steps that it took over are not asked again."""
    asked = list(settings["conditions"].values())
    return {
        "steps": "".join(str(condition["asks"]) for condition in asked),
        "given": settings["predict"]["given"],
        "with_answer": settings["predict"]["with_answer"],
        "boxes": asked[0]["boxes_per_entity"],
        "num_frames": asked[0]["num_frames"],
    }


def _local(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How a model was loaded: its number format, and an attention that is not what transformers takes by itself."""
    from cotasks.models.load import ATTENTIONS, DTYPES

    dtype, attention = settings["model"]["dtype"], settings["versions"].get("attention")
    return {
        "dtype": dtype if dtype in DTYPES else None,
        "attention": attention if attention in ATTENTIONS[1:] else None,
    }


def _server(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How a server was asked."""
    from cotasks.generate.server.model import IMAGE_FORMATS

    model, frames, sampling = settings["model"], settings["frames"], settings["sampling"]
    limits = frames["limits"]
    thinking = settings.get("thinking", {})
    longest = settings["max_new_tokens"] + thinking.get("longest_thought", 0)
    ours = {
        "chat_template_kwargs": thinking.get("chat_template"),
        "thinking_token_budget": thinking.get("longest_thought"),
        "max_tokens": longest,
        "max_completion_tokens": longest,
        "temperature": sampling.get("temperature", 0.0),
        "top_p": sampling.get("top_p"),
        "top_k": sampling.get("top_k") or -1,
        "frequency_penalty": 0.0,
        "repetition_penalty": 1.0,
    }
    extra = {
        name: value
        for name, value in settings["request"].items()
        if value != ours.get(name, _ABSENT) and not (name == "top_k" and value == sampling.get("top_k"))
    }
    fixed = limits["fixed"] is not None
    return {
        "backend": "server",
        "base_url": model["base_url"],
        "family": model["family"],
        "tokenizer": model["tokenizer"],
        "server_media": frames["shown_as"],
        "image_format": next(name for name, words in IMAGE_FORMATS.items() if words == frames["format"]),
        "min_pixels": None if fixed else limits["min_pixels"],
        "max_pixels": None if fixed else limits["max_pixels"],
        "extra_body": extra or None,
    }


def _vllm(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How an engine was started; over how many GPUs is left to the machine at hand."""
    engine = dict(settings["engine"])
    return {
        **_local(settings),
        "backend": "vllm",
        "max_model_len": engine.pop("max_model_len"),
        "engine_args": engine or None,
    }


_BACKENDS = {"transformers": _local, "server": _server, "vllm": _vllm}
