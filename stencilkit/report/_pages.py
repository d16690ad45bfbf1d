"""What pages show -> HTML, through templates that escape every word, and the JSON beside it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stencilkit import __version__
from stencilkit.model.comparison import Row
from stencilkit.model.qualification import Differing, Result
from stencilkit.report import _plots, _views
from stencilkit.report._views import Site, Square, Variant
from stencilkit.support import escape

SCHEMA: Final = 1
_BYTES: Final = "utf-8"
_HOLE: Final = "  ; "
_BLANKS: Final = re.compile(r"\n\s*\n+")

AsJson = Callable[[Result], object]
ItemAsJson = Callable[[Differing], object]


def _shown(value: object) -> object:
    """Spell control characters out; what is markup already was made here."""
    return escape.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stencilkit", "templates/report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals |= {
        "version": __version__,
        "words": _views.WORDS,
        "answers": _views.ANSWERS,
        "glyphs": _views.GLYPHS,
        "outcomes": _views.OUTCOMES,
        "title_of": _views.title,
        "marker": _plots.marker,
        "parted": parted,
    }
    # Not jinja's capitalize, which writes the rest of it small: CPython, LLVM.
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    return environment


def parted(text: str) -> tuple[str, str]:
    """Part a line of a listing from the holes in it."""
    code, _, holes = text.partition(_HOLE)
    return code, holes


def pages(site: Site, plots: Mapping[str, str], summary: AsJson, differing: ItemAsJson) -> Iterator[tuple[str, bytes]]:
    """Render every file of the site."""
    yield "style.css", f"{_render('style.css.j2')}\n".encode(_BYTES)
    drawn = {name: Markup(plot) for name, plot in plots.items()}  # noqa: S704  # matplotlib escapes its texts
    yield "index.html", _page("index.html.j2", root="", site=site, plots=drawn)
    yield "site.json", _json("report", {"cells": [_linked(square, summary) for square in site.squares]})
    shown = [_plot(plot) for group in site.groups for plot in group.plots.values()]
    yield "plots.json", _json("report-plots", {"plots": shown})
    for square in site.squares:
        links = {item.name: site.pages[square.result.cell, item.name] for item in square.result.differing}
        yield f"{square.page}.html", _page("cell.html.j2", root="../", square=square, links=links)
        table = [_brief(item, links) for item in square.result.differing]
        yield f"{square.page}.json", _json("report-cell", {**_linked(square, summary), "differing": table})
    for variant in site.variants:
        yield f"{variant.page}.html", _page("stencil.html.j2", root="../", variant=variant, **_sides(variant))
        where = [f"{square.page}.html" for square in variant.squares]
        yield f"{variant.page}.json", _json("report-stencil", {"cells": where, "stencil": differing(variant.item)})


def _render(name: str, **values: object) -> str:
    return _environment().get_template(name).render(**values)


def _page(name: str, **values: object) -> bytes:
    return (_BLANKS.sub("\n", _render(name, **values)).rstrip() + "\n").encode(_BYTES)


def _json(kind: str, content: Mapping[str, Any]) -> bytes:
    return (json.dumps({"schema": SCHEMA, "kind": kind, **content}, separators=(",", ":")) + "\n").encode()


def _linked(square: Square, summary: AsJson) -> dict[str, Any]:
    found: Any = summary(square.result)
    return {**found, "why": square.result.why, "page": f"{square.page}.html"}


def _brief(item: Differing, links: Mapping[str, str]) -> dict[str, Any]:
    sizes = {"code": list(item.code), "data": list(item.data_size)}
    return {
        "name": item.name,
        "likeness": item.likeness,
        **sizes,
        "proof": item.proof,
        "page": f"{links[item.name]}.html",
    }


def _plot(plot: _views.Plot) -> dict[str, Any]:
    return {"title": plot.title, "unit": plot.unit, "llvms": list(plot.llvms), "lines": dict(plot.lines)}


def _sides(variant: Variant) -> dict[str, object]:
    llvms = dict.fromkeys(square.result.cell.llvm for square in variant.squares)
    rows: tuple[Row, ...] = variant.item.rows
    return {
        "before": f"LLVM {variant.reference}",
        "after": f"LLVM {', '.join(llvms)}",
        "rows": rows,
        "other": sum(not row.same for row in rows),
    }
