"""What the processes of `processes.FORKSERVER` start with."""

from __future__ import annotations

import cotasks.generate.run
import cotasks.predict.run  # noqa: F401
from cotasks.models.tiny import build_tiny

build_tiny("qwen2_5_vl")  # which imports the family's modules
