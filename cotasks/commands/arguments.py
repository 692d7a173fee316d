"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Dataset = Annotated[str, typer.Argument(help="A built folder, a Hub id, or `sample`.", show_default=False)]
Config = Annotated[str | None, typer.Option(help="Which config of a folder or Hub data set that holds several.")]
Split = Annotated[str | None, typer.Option(help="train, validation (or val), test.")]
Videos = Annotated[Path | None, typer.Option(help="Folder of the videos; the sample brings its own.")]
