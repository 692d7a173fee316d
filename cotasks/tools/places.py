"""Settings without what says something of this machine, to be shown elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACE = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[\\/]")
"""How a path of this machine begins."""


def without_places(value: Any) -> Any:
    """Settings as JSON has them: of a path the last part alone, and no address of a server.

    >>> without_places({"videos": "/data/clips", "base_url": "http://10.0.0.7/v1", "limits": [4, "~/x"]})
    {'videos': 'clips', 'limits': [4, 'x']}
    """
    if isinstance(value, Mapping):
        return {str(name): without_places(one) for name, one in value.items() if not _is_address(one)}
    if isinstance(value, list | tuple):
        return [without_places(one) for one in value if not _is_address(one)]
    if isinstance(value, str) and _PLACE.match(value):
        return value.replace("\\", "/").rstrip("/").rpartition("/")[2].lstrip("~")
    return value


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and "://" in value
