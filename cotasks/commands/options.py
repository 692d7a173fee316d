"""The options of every command that asks a model: how it is loaded and run, or which server has it."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from cotasks.commands.common import with_parameters
from cotasks.errors import InputError, shorten
from cotasks.tools.launch import RANK, environment_number

if TYPE_CHECKING:
    from cotasks.generate.server.model import ServerOptions
    from cotasks.generate.vllm.engine import VllmOptions
    from cotasks.models.thinking import Wanted

DATA = "Data"
MODEL = "Model"
PROMPT = "Prompts and answers"
SPEED = "Speed and memory"
SERVER = "A model behind a server"
VLLM = "A model in vLLM"
JUDGE = "Judge"
OUTPUT = "Output"
"""Panels of `--help`."""

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="A built folder, a Hub id, or `sample`; NAME#sub-questions for its sub-questions.",
        show_default=False,
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--dataset-config",
        help="Which config of a folder or Hub data set that holds several.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="train, validation (or val), test.", rich_help_panel=DATA, show_default="validation"),
]
Videos = Annotated[
    Path | None,
    typer.Option(help="Folder of the videos; the sample brings its own.", rich_help_panel=DATA, show_default=False),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="About so many questions: whole videos in a fixed random order.", rich_help_panel=DATA, show_default="all"
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="Model folder, Hub id, `toy`, or `tiny` (random weights).", rich_help_panel=MODEL, show_default=False
    ),
]


def name_of(path: str) -> str:
    """The last part of a folder, Hub id or model name, as it can stand in a folder's name."""
    return re.sub(r"[^\w.-]+", "_", os.path.basename(os.path.normpath(path))) or "_"


AnswerStyle = Annotated[
    str,
    typer.Option(
        help="How open-ended answers are asked for: phrase (a short phrase), short (five words at most), or natural "
        "(no numbered names, no times).",
        rich_help_panel=PROMPT,
    ),
]


def default_folder(kind: str, *names: str | None) -> Path:
    """`KIND/NAME-NAME-...`, of the names that are given; told the user, as nobody named it."""
    folder = Path(kind, "-".join(name_of(name) for name in names if name))
    if environment_number(RANK, 0) == 0:  # the other processes of a launch need not say so
        print(f"Folder {folder}", flush=True)
    return folder


Track = Annotated[
    str | None,
    typer.Option(
        help="trackio or wandb: log rates, counts and scores there, and nothing else.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
VideoCheck = Annotated[
    str,
    typer.Option(
        help="What is done about a video that is not the annotated one, see `cotasks check`: fail, warn or off.",
        rich_help_panel=DATA,
    ),
]
RunVideoCheck = Annotated[
    str | None,
    typer.Option(help="fail, warn or off, as of `cotasks generate`; by default as the run did.", rich_help_panel=DATA),
]


@dataclass(frozen=True)
class ModelOptions:
    """How a model is asked; the fields are the command line's options."""

    batch_size: Annotated[int, typer.Option(help="Most prompts at once.", min=1, rich_help_panel=SPEED)] = 64
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            help="Most tokens at once, those of videos included; by default what memory suggests.",
            rich_help_panel=SPEED,
        ),
    ] = None
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=MODEL)] = "auto"
    device: Annotated[
        str | None, typer.Option(help="cuda, cpu, ...; the best there is by default.", rich_help_panel=MODEL)
    ] = None
    device_map: Annotated[
        str | None,
        typer.Option(
            help="Spread one model over the devices of this machine: auto, balanced, ...", rich_help_panel=MODEL
        ),
    ] = None
    attention: Annotated[str | None, typer.Option(help="sdpa, flash_attention_2 or eager.", rich_help_panel=MODEL)] = (
        None
    )
    torch_compile: Annotated[
        bool, typer.Option("--torch-compile", help="Compile the model.", rich_help_panel=SPEED)
    ] = False
    vision_reuse: Annotated[
        bool, typer.Option(help="Run the vision tower once a clip, not once a prompt.", rich_help_panel=SPEED)
    ] = True
    prefix_reuse: Annotated[
        bool,
        typer.Option(
            help="Run the language model over system text and video once a clip; off with FlashAttention.",
            rich_help_panel=SPEED,
        ),
    ] = True
    workers: Annotated[
        int | None, typer.Option(help="Threads that decode videos ahead.", min=1, rich_help_panel=SPEED)
    ] = None
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code", help="Run Python code that comes with the checkpoint.", rich_help_panel=MODEL
        ),
    ] = False
    retry_failures: Annotated[
        bool, typer.Option("--retry-failures", help="Try again what failed before.", rich_help_panel=OUTPUT)
    ] = False
    video_check: VideoCheck = "fail"
    thinking: Annotated[
        str | None,
        typer.Option(
            help="on, off, or the tokens of the longest thought before an answer; it is kept apart from the answer.",
            rich_help_panel=PROMPT,
            show_default="off where the model can be kept from it",
        ),
    ] = None
    backend: Annotated[
        str,
        typer.Option(
            help="transformers; vllm: the same in vLLM; or server: a model behind an OpenAI-compatible server.",
            rich_help_panel=MODEL,
        ),
    ] = "transformers"
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the server, up to and with /v1; OPENAI_BASE_URL by default. Repeat it for several with one model.",
            rich_help_panel=SERVER,
        ),
    ] = None
    family: Annotated[
        str | None,
        typer.Option(
            help="Of the server's model, such as qwen2_5_vl; by default what its name says.", rich_help_panel=SERVER
        ),
    ] = None
    server_media: Annotated[
        str | None,
        typer.Option(help="images or video_url; by default video_url for vLLM, else images.", rich_help_panel=SERVER),
    ] = None
    image_format: Annotated[
        str | None, typer.Option(help="jpeg (by default) or png, of frames for a server.", rich_help_panel=SERVER)
    ] = None
    min_pixels: Annotated[
        int | None, typer.Option(help="Least area of a frame for a server.", min=1, rich_help_panel=SERVER)
    ] = None
    max_pixels: Annotated[
        int | None, typer.Option(help="Greatest area of a frame for a server.", min=1, rich_help_panel=SERVER)
    ] = None
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Folder or Hub id, for conditions with tokens=N at a server.", rich_help_panel=SERVER),
    ] = None
    concurrency: Annotated[
        int | None, typer.Option(help="Most calls to each server at once; 32 by default.", rich_help_panel=SERVER)
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds for one call, 600 by default; where they pass, fewer at once.", rich_help_panel=SERVER
        ),
    ] = None
    check_frames: Annotated[
        bool | None,
        typer.Option(
            help="Stop where tokens say that frames did not arrive as sent; at vLLM too.", rich_help_panel=SERVER
        ),
    ] = None
    extra_body: Annotated[
        str | None, typer.Option(help="JSON object: further fields of each request.", rich_help_panel=SERVER)
    ] = None

    tensor_parallel_size: Annotated[
        int | None, typer.Option(help="GPUs that share one model in vLLM.", min=1, rich_help_panel=VLLM)
    ] = None
    max_model_len: Annotated[
        int | None,
        typer.Option(
            help="Most tokens of prompt and answer in vLLM; by default the model's own.", min=1, rich_help_panel=VLLM
        ),
    ] = None
    gpu_memory: Annotated[
        float | None, typer.Option(help="Part of each GPU's memory that vLLM takes.", rich_help_panel=VLLM)
    ] = None
    engine_args: Annotated[
        str | None, typer.Option(help="JSON object: further arguments of vLLM's engine.", rich_help_panel=VLLM)
    ] = None

    def extras(self, video: bool = True) -> tuple[str, ...]:
        """What is needed to ask the model, and to show it videos where `video`; see `cotasks.commands.extras`."""
        return ("judge" if self.backend == "server" else "models", *(["video"] if video else []))

    @property
    def wanted_thinking(self) -> Wanted:
        """`thinking` as `Sampling` takes it. Raises InputError where it is none of what is expected."""
        from cotasks.models.thinking import read_wanted

        return read_wanted(self.thinking)

    def arguments(self) -> dict[str, Any]:
        """What `cotasks.generate` takes as loading, batching, server, vllm, retry_failures and video_check.

        Raises InputError where options contradict one another.
        """
        from cotasks.generate.local.batching import Batching
        from cotasks.models.load import Loading

        def of(kind: type[Any]) -> Any:
            return kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})

        others = {"retry_failures": self.retry_failures, "video_check": self.video_check}
        return {"loading": of(Loading), "batching": of(Batching), **self._elsewhere(), **others}

    def _elsewhere(self) -> dict[str, ServerOptions | VllmOptions | None]:
        """What the options say of a server and of vLLM; None for another backend. Raises InputError where they
        contradict it."""
        if self.backend not in ("transformers", *ONLY_FOR):
            raise InputError(f"backend {self.backend!r}; expected one of transformers, {', '.join(ONLY_FOR)}")
        for backend, (names, called) in ONLY_FOR.items():
            here = names - ONLY_FOR[self.backend][0] if self.backend in ONLY_FOR else names
            given = [
                f.name for f in dataclasses.fields(self) if f.name in here and getattr(self, f.name) not in (None, [])
            ]
            if backend != self.backend and given:
                raise InputError(f"{', '.join(given)}: only for {called}; expected --backend {backend} with it")
        return {"server": self._server(), "vllm": self._vllm()}

    def _given(self) -> dict[str, Any]:
        """Those that are for this backend only, where they are given."""
        names = ONLY_FOR[self.backend][0]
        return {name: value for name in names if (value := getattr(self, name)) not in (None, [])}

    def _server(self) -> ServerOptions | None:
        from cotasks.generate.server.model import ServerOptions

        if self.backend != "server":
            return None
        given = self._given()
        urls = given.pop("base_url", None) or [os.environ.get("OPENAI_BASE_URL", "")]
        if not urls[0]:
            raise InputError("backend server without an address; expected --base-url, such as http://localhost:8000/v1")
        given |= {"base_url": urls[0], "more_urls": tuple(urls[1:])}
        if "server_media" in given:
            given["media"] = given.pop("server_media")
        if "extra_body" in given:
            given["extra_body"] = _read_object("extra body", given["extra_body"])
        return ServerOptions(**given)

    def _vllm(self) -> VllmOptions | None:
        from cotasks.generate.vllm.engine import VllmOptions

        if self.backend != "vllm":
            return None
        given = self._given()
        if "engine_args" in given:
            given["engine_args"] = _read_object("engine args", given["engine_args"])
        return VllmOptions(**given)


ONLY_FOR = {
    "server": (
        frozenset(
            (
                *("base_url", "family", "server_media", "image_format", "min_pixels", "max_pixels"),
                *("tokenizer", "concurrency", "timeout", "check_frames", "extra_body"),
            )
        ),
        "a server",
    ),
    "vllm": (
        frozenset(("tensor_parallel_size", "max_model_len", "gpu_memory", "engine_args", "check_frames")),
        "vLLM",
    ),
}
"""Backend -> (the options that are for it only, or for it and others of these; what it is called)."""


def _read_object(name: str, text: str) -> dict[str, Any]:
    """Raises InputError where `text` is not a JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"{name}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{name} {shorten(found)}; expected a JSON object")
    return found


def takes_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `ModelOptions`, which it gets together as its argument `options`."""
    hints = get_type_hints(ModelOptions, include_extras=True)
    added = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in dataclasses.fields(ModelOptions)
    ]

    def call(**given: Any) -> None:
        options = ModelOptions(**{parameter.name: given.pop(parameter.name) for parameter in added})
        command(**given, options=options)

    return with_parameters(command, added, "options", call)
