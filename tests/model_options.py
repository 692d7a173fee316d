"""The arguments of `generate` from flat ones, as a command line has them."""

from __future__ import annotations

import dataclasses
from typing import Any

from cotasks.generate import Batching, Loading, Sampling


def grouped(**options: Any) -> dict[str, Any]:
    """`batch_size=4` becomes `batching=Batching(batch_size=4)`, and so on; `max_new_tokens` changes `sampling`."""
    for name, kind in (("loading", Loading), ("batching", Batching)):
        fields = [field.name for field in dataclasses.fields(kind)]
        if given := {field: options.pop(field) for field in fields if field in options}:
            options[name] = kind(**given)
    if "max_new_tokens" in options:
        longest = options.pop("max_new_tokens")
        options["sampling"] = dataclasses.replace(options.get("sampling", Sampling()), max_new_tokens=longest)
    return options
