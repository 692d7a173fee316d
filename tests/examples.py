"""How many examples a property is tried on.

A test that draws its examples without hypothesis is marked `hypothesis` too: so `-m hypothesis` finds it.
"""

from __future__ import annotations

import math
from typing import Any

from hypothesis import settings


def share(count: int) -> int:
    """Of so many examples in the profile `full`, how many are tried in this one."""
    return math.ceil(count * settings().max_examples / 100)


def examples(count: int, **options: Any) -> settings:
    """As a decorator: `count` examples in the profile `full`, and a share of them in one that takes fewer.

    Of a property that says nothing, the profile `full` tries a hundred.
    """
    suppressed = [*settings().suppress_health_check, *options.pop("suppress_health_check", ())]
    return settings(max_examples=share(count), suppress_health_check=suppressed, **options)
