"""What all pictures share: the style, where figures come from, and how they are written.

Figures are made without pyplot, so that nothing is kept, no window opens and no setting of the caller
changes. The same figure is written with the same bytes: pictures can be compared by digest.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepchallenge.exceptions import UsageError
from hepchallenge.text import clean

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DARK",
    "FAINT",
    "WRONG",
    "figure_style",
    "new_figure",
    "require_plots",
    "save",
    "write",
]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#5b4a9e")
"""Told apart with every kind of colour vision; red is kept for what is wrong."""
WRONG = "#d62500"
FAINT = "#c9c9c9"
DARK = "#333333"

_SUFFIXES = (".png", ".svg")

# mplhep's style is made for slides; these pictures are read on a screen, several panels at once.
_CHANGES: dict[str, Any] = {
    "font.size": 11,
    "font.sans-serif": ["TeX Gyre Heros", "DejaVu Sans"],
    "axes.titlesize": "medium",
    "axes.labelsize": "large",
    "axes.labelpad": 4,
    "axes.unicode_minus": True,
    "axes.autolimit_mode": "data",
    "xtick.labelsize": "medium",
    "ytick.labelsize": "medium",
    "ytick.major.size": 7,
    "ytick.minor.size": 4,
    "lines.linewidth": 1.2,
    "lines.markersize": 5,
    "legend.borderpad": 0.4,
    "legend.borderaxespad": 0.4,
    "savefig.dpi": 150,
    "svg.hashsalt": "hepchallenge",
    "svg.fonttype": "path",
}


def require_plots() -> None:
    """Check that the libraries for pictures are there.

    Raises
    ------
    UsageError
        If they are not, with the command that installs them.
    """
    for name in ("matplotlib", "mplhep"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(
                f'pictures need {name}, which cannot be imported ({error}): pip install "hepchallenge[plots]"'
            ) from None


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Make and write figures in the style of this package, whatever the user's own settings are."""
    require_plots()
    import matplotlib as mpl
    import matplotlib.style
    import mplhep.styles

    # Names may have signs that no font has; a box in their place is no reason to warn.
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        fonts.setLevel(logging.ERROR)
        try:
            matplotlib.style.use(["default", mplhep.styles.ATLAS, _CHANGES])
            yield
        finally:
            fonts.setLevel(level)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, drawn by Agg and known to nobody else."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def write(place: Any, x: float, y: float, text: str, *, limit: int = 110, **style: Any) -> Artist:
    """Write one line of anybody's text on a figure or in axes coordinates; nothing in it is markup."""
    if hasattr(place, "transAxes"):
        style.setdefault("transform", place.transAxes)
    # A dollar sign would begin a formula, and an odd one would raise.
    artist: Artist = place.text(x, y, clean(text, limit), parse_math=False, **style)
    return artist


def save(figure: Figure, file: Path) -> Path:
    """Write a figure as `.png` or `.svg`, whole or not at all, without date or version in it.

    Raises
    ------
    ValueError
        If the name has another ending.
    StoreError
        If the file cannot be written.
    """
    from hepchallenge.store.files import write_atomically

    if file.suffix not in _SUFFIXES:
        raise ValueError(f"{file.name}: expected a name that ends in {' or '.join(_SUFFIXES)}")
    metadata = {"Software": None} if file.suffix == ".png" else {"Date": None, "Creator": None}
    content = io.BytesIO()
    figure.savefig(content, format=file.suffix[1:], metadata=metadata)
    return write_atomically(file, content.getvalue())
