"""Results -> a folder of static pages that opens from disk: text for people, and JSON of every table.

No scripts, nothing from elsewhere. What results say is other people's text: every word of it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stencilkit.model.qualification import Result
from stencilkit.report import _arranging, _pages, _plots
from stencilkit.report._pages import SCHEMA, AsJson, ItemAsJson

__all__ = ("SCHEMA", "Page", "render")

Page = tuple[str, bytes]
"""A path below the site's folder, and the content of that file."""


def render(results: Sequence[Result], summary: AsJson, differing: ItemAsJson) -> Iterator[Page]:
    """Render all pages; `summary` and `differing` give what JSON says of a result and of a stencil.

    Raises: UsageError where the library for plots is missing.
    """
    site = _arranging.site(results)
    plots = {name: _plots.draw(name, plot) for group in site.groups for name, plot in group.plots.items()}
    yield from _pages.pages(site, plots, summary, differing)
