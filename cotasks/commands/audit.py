"""`cotasks audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import DATA, OUTPUT, Config, Dataset, default_folder


def audit(
    dataset: Dataset,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to.", rich_help_panel=OUTPUT, show_default="audits/DATASET"),
    ] = None,
    config: Config = None,
    localization: Annotated[
        str | None,
        typer.Option(
            help="Hold spans against those that people marked, beside the whole clip: a JSONL file of model proposals, "
            "or lexical for those of question words.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Count what is in a data set, check its boxes, and measure how often its steps give the answer away.

    Reads DATASET, all splits. Writes OUT/audit.md (one page), its plots as PNG, and OUT/audit.json (all numbers).
    """
    require("report")
    from cotasks.audit import audit as audit_dataset
    from cotasks.audit.localization import LEXICAL
    from cotasks.tools.progress import progress_bar

    spans: Any = localization
    if localization not in (None, LEXICAL):
        from cotasks.builders.localize import read_proposals

        spans = {proposal.id: proposal.spans for proposal in read_proposals(str(localization)).values()}
    out = out or default_folder("audits", dataset, config)
    with progress_bar("records") as update:
        paths = audit_dataset(dataset, out, config=config, on_progress=update, spans=spans)
    print(f"Audit {paths.markdown}")
