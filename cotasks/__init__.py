"""Step-by-step, object-grounded reasoning for video language models.

`import cotasks` makes `datasets.load_dataset("cotasks")` known and loads nothing heavy.
"""

from __future__ import annotations

from pathlib import Path

from cotasks.registration import register
from cotasks.schema import FEATURES, Record
from cotasks.version import VERSION as __version__

__all__ = ["FEATURES", "Record", "__version__"]

if not (Path(__file__).parent / "builders").is_dir():
    # in a source tree `builders/` lies beside this package; installed, it lies inside
    __path__.append(str(Path(__file__).parent.parent))

register()
