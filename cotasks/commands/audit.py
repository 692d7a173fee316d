"""`cotasks audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.options import Config, Dataset


def audit(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    config: Config = None,
) -> None:
    """Count what is in a data set, check its boxes, and measure how often its steps give the answer away.

    Reads DATASET, all splits. Writes OUT/audit.md (one page), its plots as PNG, and OUT/audit.json (all numbers).
    """
    from cotasks.audit import audit as audit_dataset
    from cotasks.tools.progress import progress_bar

    with progress_bar("records") as update:
        paths = audit_dataset(dataset, out, config=config, on_progress=update)
    print(f"Audit {paths.markdown}")
