"""`cotasks audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import OUTPUT, Config, Dataset, default_folder


def audit(
    dataset: Dataset,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to.", rich_help_panel=OUTPUT, show_default="audits/DATASET"),
    ] = None,
    config: Config = None,
) -> None:
    """Count what is in a data set, check its boxes, and measure how often its steps give the answer away.

    Reads DATASET, all splits. Writes OUT/audit.md (one page), its plots as PNG, and OUT/audit.json (all numbers).
    """
    require("report")
    from cotasks.audit import audit as audit_dataset
    from cotasks.tools.progress import progress_bar

    out = out or default_folder("audits", dataset, config)
    with progress_bar("records") as update:
        paths = audit_dataset(dataset, out, config=config, on_progress=update)
    print(f"Audit {paths.markdown}")
