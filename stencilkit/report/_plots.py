"""Plots as SVG, to stand in a page: text stays text, and colours are the page's, light or dark."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any, Final

from stencilkit.report._views import Plot
from stencilkit.support import escape
from stencilkit.support.extras import needing

# Colours that stand for the page's: what CSS calls them is put in their place.
_TEXT: Final = "#010203"
_GRID: Final = "#010204"
_SERIES: Final = tuple(f"#0102{number:02x}" for number in range(16, 24))
_MARKERS: Final = "osD^vPX*"
_DASHES: Final = ("-", "--", "-.", ":")
# As wide as a small telephone's page, in inches of 72 points, so that letters keep their size there.
_SIZE: Final = (4.5, 2.7)
_PREFIXED: Final = re.compile(r'(\bid="|href="#|url\(#)')
_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    # What names a version is somebody's text, and no formula.
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _TEXT,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
}


def draw(name: str, plot: Plot) -> str:
    """Draw a plot as an SVG element; `name` is unique in its page.

    Raises: UsageError where matplotlib is missing.
    """
    with needing("report", "a plot"):
        import matplotlib as mpl
        from matplotlib.figure import Figure

    written = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The reader's fonts show the text, not those that it is measured with here.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=_SIZE, layout="constrained")
        _fill(figure.add_subplot(), plot)
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inlined(written.getvalue(), name)


def _fill(axes: Any, plot: Plot) -> None:  # noqa: ANN401  # matplotlib is loaded when a plot is drawn
    places = range(len(plot.llvms))
    for number, (label, values) in enumerate(plot.lines.items()):
        axes.plot(
            places,
            [float("nan") if value is None else value for value in values],
            color=_SERIES[number % len(_SERIES)],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle=_DASHES[number // len(_SERIES) % len(_DASHES)],
            markersize=5,
            linewidth=1.6,
            label=label,
        )
    axes.set_xticks(places, list(map(escape.plain, plot.llvms)), rotation=30 if len(plot.llvms) > 4 else 0)
    axes.set_ylabel(plot.unit)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.margins(x=0.06, y=0.15)
    axes.ticklabel_format(axis="y", useOffset=False)


def _inlined(svg: str, name: str) -> str:
    """Cut the element out of the document, with identifiers of its own and the page's colours."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", element, count=1, flags=re.DOTALL)
    element = re.sub(r"\s*<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = _PREFIXED.sub(lambda match: f"{match[0]}{name}-", element.replace("xlink:href", "href"))
    named = {_TEXT: "var(--text)", _GRID: "var(--line)"}
    named |= {colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES)}
    for colour, variable in named.items():
        element = element.replace(colour, variable)
    return re.sub(r"\n\s*", "\n", element)


def marker(number: int) -> str:
    """Name the shape of a line's points, as a legend in HTML has it."""
    shapes = {"o": "\u25cf", "s": "\u25a0", "D": "\u25c6", "^": "\u25b2", "v": "\u25bc", "P": "\u271a", "X": "\u2716"}
    return shapes.get(_MARKERS[number % len(_MARKERS)], "\u2605")
