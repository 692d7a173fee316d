"""Step-by-step, object-grounded reasoning for video language models.

`import cotasks` makes `datasets.load_dataset("cotasks")` known and loads nothing heavy.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.tools.stopping import end_plainly_while_loading

end_plainly_while_loading()  # before what takes a second to load

from cotasks.records.registration import register  # noqa: E402
from cotasks.records.schema import FEATURES, Record  # noqa: E402
from cotasks.version import VERSION as __version__  # noqa: E402

if TYPE_CHECKING:
    from PIL.Image import Image

    from cotasks.records.own import OwnAnnotation, OwnQuestion

__all__ = ["FEATURES", "Record", "__version__", "draw", "instructions", "make_record"]

if not (Path(__file__).parent / "builders").is_dir():
    # In a source tree `builders/` lies beside this package; installed, it lies inside. Only this one name is mapped:
    # with the whole tree in `__path__`, whoever walks the packages would meet `cotasks` within itself, without end.
    _spec = importlib.util.spec_from_file_location(
        "cotasks.builders", Path(__file__).parents[1] / "builders" / "__init__.py"
    )
    if _spec is not None and _spec.loader is not None:
        builders = sys.modules["cotasks.builders"] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(builders)

register()


def instructions(record: Record | Mapping[str, Any], **options: Any) -> dict[str, list[Any]]:
    """Chat examples of a record for instruction tuning: `instructions(record, tasks=...)`; see
    `cotasks.training.examples.instructions` for the options."""
    from cotasks.training.examples import instructions as make_instructions

    return make_instructions(record, **options)


def make_record(
    question: OwnQuestion | Mapping[str, Any], annotation: OwnAnnotation | Mapping[str, Any], **options: Any
) -> Record:
    """The record of a question about a video with annotation of your own, both as lines of the format that
    `cotasks.records.own` describes; see `cotasks.builders.make_record.make_record` for the options."""
    from cotasks.builders.make_record import make_record as make

    return make(question, annotation, **options)


def draw(record: Record, videos: str | Path | None = None, video_check: str = "fail") -> Image:
    """The picture of a record: grid frames with boxes; see `cotasks.look.record.draw`."""
    from cotasks.look.record import draw as draw_record

    return draw_record(record, videos, video_check)


def _to_html(record: Record) -> str:
    """What a notebook shows of a record: its steps, and the frames with their boxes."""
    from cotasks.look.record import to_html

    return to_html(record)


Record._repr_html_ = _to_html  # type: ignore[attr-defined]
