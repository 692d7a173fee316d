"""How the pictures of audits and studies look, and how they are written.

Colours are those of Okabe and Ito (2008), which colour-blind people can tell apart; shape or fill must differ as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cotasks.tools.files import whole_file

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,  # names are data; a dollar sign in one is no formula
}


@contextmanager
def figure_file(path: Path) -> Iterator[Any]:
    """A matplotlib figure, written to a PNG whole or not at all, without a display and without a trace of the version.

    Raises InputError as `cotasks.tools.files.whole_file` does.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure()
        yield figure
        with whole_file(path) as part:
            figure.savefig(part, format="png", dpi=110, metadata={"Software": None})
