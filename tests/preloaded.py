"""What the processes of `processes.FORKSERVER` start with."""

from __future__ import annotations

from contextlib import suppress

import cotasks.cli
import cotasks.generate.run
import cotasks.generate.server.model
import cotasks.predict.run
from cotasks.models.tiny import build_tiny

with suppress(ImportError):
    import cotasks.generate.server.ask
    import cotasks.judge.llm.loop  # noqa: F401

build_tiny("qwen2_5_vl")  # which imports the family's modules
