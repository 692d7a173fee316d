"""The look that all pages share."""

from __future__ import annotations

from pathlib import Path


def base_style() -> str:
    """`base.css`: colours by light and dark, text, buttons, the bar at the top, dialogs. A page's own rules follow."""
    return (Path(__file__).parent / "base.css").read_text(encoding="utf-8")
