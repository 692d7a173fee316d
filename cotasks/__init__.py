"""Step-by-step, object-grounded reasoning for video language models.

`import cotasks` makes `datasets.load_dataset("cotasks")` known and loads nothing heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cotasks.registration import register
from cotasks.schema import FEATURES, Record
from cotasks.version import VERSION as __version__

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FEATURES", "Record", "__version__", "draw"]

if not (Path(__file__).parent / "builders").is_dir():
    # in a source tree `builders/` lies beside this package; installed, it lies inside
    __path__.append(str(Path(__file__).parent.parent))

register()


def draw(record: Record, videos: str | Path | None = None) -> Image:
    """The picture of a record: grid frames with boxes; see `cotasks.looking.draw`."""
    from cotasks.looking import draw as draw_record

    return draw_record(record, videos)
