"""How many examples a property is tried on."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import settings


def examples(count: int, **options: Any) -> settings:
    """As a decorator: `count` examples in the profile `full`, and a share of them in one that takes fewer.

    Of a property that says nothing, the profile `full` tries a hundred.
    """
    return settings(max_examples=math.ceil(count * settings().max_examples / 100), deadline=None, **options)
