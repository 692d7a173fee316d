"""Programs that know no Hub but the one on the loopback interface."""

from __future__ import annotations

import os
from pathlib import Path

from tests.hub_server import Hub


def hub_environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    """For a process that knows this Hub alone."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **ours,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **more,
    }
