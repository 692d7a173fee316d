"""The options of every command that asks a model: how it is loaded and run, or which server has it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from cotasks.errors import InputError, shorten

if TYPE_CHECKING:
    from cotasks.generate.server.model import ServerOptions

Model = Annotated[
    str,
    typer.Option(help="Model folder, Hub id, `toy`, or `tiny` (random weights).", show_default=False),
]
Limit = Annotated[int | None, typer.Option(help="About so many questions: whole videos in a fixed random order.")]


@dataclass(frozen=True)
class ModelOptions:
    """How a model is asked; the fields are the command line's options."""

    batch_size: Annotated[int, typer.Option(help="Most prompts at once.", min=1)] = 64
    batch_tokens: Annotated[
        int | None, typer.Option(help="Most tokens at once, those of videos included; by default what memory suggests.")
    ] = None
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto"
    device: Annotated[str | None, typer.Option(help="cuda, cpu, ...; the best there is by default.")] = None
    device_map: Annotated[
        str | None, typer.Option(help="Spread one model over the devices of this machine: auto, balanced, ...")
    ] = None
    attention: Annotated[str | None, typer.Option(help="sdpa, flash_attention_2 or eager.")] = None
    torch_compile: Annotated[bool, typer.Option("--torch-compile", help="Compile the model.")] = False
    vision_reuse: Annotated[bool, typer.Option(help="Run the vision tower once a clip, not once a prompt.")] = True
    prefix_reuse: Annotated[
        bool,
        typer.Option(help="Run the language model over system text and video once a clip; off with FlashAttention."),
    ] = True
    workers: Annotated[int | None, typer.Option(help="Threads that decode videos ahead.", min=1)] = None
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the checkpoint.")
    ] = False
    retry_failures: Annotated[bool, typer.Option("--retry-failures", help="Try again what failed before.")] = False
    backend: Annotated[
        str, typer.Option(help="transformers, or server: a model behind an OpenAI-compatible server.")
    ] = "transformers"
    base_url: Annotated[
        str | None, typer.Option(help="Of the server, up to and with /v1; OPENAI_BASE_URL by default.")
    ] = None
    family: Annotated[
        str | None, typer.Option(help="Of the server's model, such as qwen2_5_vl; by default what its name says.")
    ] = None
    server_media: Annotated[
        str | None, typer.Option(help="images or video_url; by default video_url for vLLM, else images.")
    ] = None
    image_format: Annotated[str | None, typer.Option(help="jpeg (by default) or png, of frames for a server.")] = None
    min_pixels: Annotated[int | None, typer.Option(help="Least area of a frame for a server.", min=1)] = None
    max_pixels: Annotated[int | None, typer.Option(help="Greatest area of a frame for a server.", min=1)] = None
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or Hub id, for conditions with tokens=N at a server.")
    ] = None
    concurrency: Annotated[int | None, typer.Option(help="Most calls to a server at once; 32 by default.")] = None
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for one call, 600 by default; where they pass, fewer at once.")
    ] = None
    check_frames: Annotated[
        bool | None, typer.Option(help="Stop where a server's token count says that frames did not arrive as sent.")
    ] = None
    extra_body: Annotated[str | None, typer.Option(help="JSON object: further fields of each request.")] = None

    def arguments(self) -> dict[str, Any]:
        """What `cotasks.generate` takes as loading, batching, server and retry_failures.

        Raises InputError where options contradict one another.
        """
        from cotasks.generate.local.batching import Batching
        from cotasks.models.load import Loading

        def of(kind: type[Any]) -> Any:
            return kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})

        loading, batching = of(Loading), of(Batching)
        here = {field.name for group in (loading, batching) for field in dataclasses.fields(group)}
        server = self._server(here | {"retry_failures", "backend"})
        return {"loading": loading, "batching": batching, "server": server, "retry_failures": self.retry_failures}

    def _server(self, others: Set[str]) -> ServerOptions | None:
        """What the options but `others` say of a server; None for the other backend. Raises InputError where they
        contradict it."""
        from cotasks.generate.server.model import ServerOptions

        names = [field.name for field in dataclasses.fields(self) if field.name not in others]
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.backend not in ("transformers", "server"):
            raise InputError(f"backend {self.backend!r}; expected transformers or server")
        if self.backend == "transformers":
            if given:
                raise InputError(f"{', '.join(given)}: only for a server; expected --backend server with it")
            return None
        given.setdefault("base_url", os.environ.get("OPENAI_BASE_URL", ""))
        if not given["base_url"]:
            raise InputError("backend server without an address; expected --base-url, such as http://localhost:8000/v1")
        if "server_media" in given:
            given["media"] = given.pop("server_media")
        if "extra_body" in given:
            try:
                given["extra_body"] = json.loads(given["extra_body"])
            except ValueError as error:
                raise InputError(f"extra body: not JSON: {error}") from None
            if not isinstance(given["extra_body"], dict):
                raise InputError(f"extra body {shorten(given['extra_body'])}; expected a JSON object")
        return ServerOptions(**given)


def takes_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `ModelOptions`, which it gets together as its argument `options`."""
    hints = get_type_hints(ModelOptions, include_extras=True)
    added = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in dataclasses.fields(ModelOptions)
    ]
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        options = ModelOptions(**{parameter.name: given.pop(parameter.name) for parameter in added})
        command(**given, options=options)

    kept = [parameter for parameter in own.parameters.values() if parameter.name != "options"]
    # typer reads these two, and not the function itself
    with_options.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in [*kept, *added]}
    return with_options


Dataset = Annotated[str, typer.Argument(help="A built folder, a Hub id, or `sample`.", show_default=False)]


Config = Annotated[str | None, typer.Option(help="Which config of a folder or Hub data set that holds several.")]


Split = Annotated[str | None, typer.Option(help="train, validation (or val), test.")]


Videos = Annotated[Path | None, typer.Option(help="Folder of the videos; the sample brings its own.")]
