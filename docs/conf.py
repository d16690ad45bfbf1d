"""The documentation as a site: `make docs` (docs/adr/0900)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stencilkit import __version__
from stencilkit.cli import group

project = "stencilkit"
author = "the stencilkit developers"
project_copyright = author
release = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
# Headings can be linked to, as on GitHub: building.md#patch-releases.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

html_theme = "furo"
html_title = f"stencilkit {release}"
html_copy_source = False
html_last_updated_fmt = None
# Most code blocks are shell sessions with options in brackets, which no lexer takes for shell.
highlight_language = "none"

# A link to a page or heading that does not exist is an error with -W, which `make docs` and the tests use.
nitpicky = True


# Pages that stand elsewhere in the repository, where people and code hosts look for them.
ELSEWHERE = {
    "README.md": "readme",
    "SECURITY.md": "security",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "recipes/README.md": "recipes",
}
PAGES = {page: path for path, page in ELSEWHERE.items()}
LINK = re.compile(r"(?P<text>!?\[[^]]*\])\((?P<path>[^)#:]+)(?P<anchor>#[^)]*)?\)")


def _commands() -> str:
    """Write the help of every command as a section."""
    parent = click.Context(group, info_name="stencilkit")
    sections = []
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command
        text = click.Context(command, info_name=name, parent=parent, terminal_width=96).get_help()
        sections.append(f"## {name}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def _relinked(text: str, folder: Path) -> str:
    """Point the links of a page of the repository to pages of the site; drop those to what is not in the site."""

    def relink(link: re.Match[str]) -> str:
        path = (folder / link["path"]).resolve().relative_to(ROOT).as_posix()
        page = f"{ELSEWHERE[path]}.md" if path in ELSEWHERE else path.removeprefix("docs/")
        if page == path and path not in ELSEWHERE:
            return link["text"].strip("![]")
        return f"{link['text']}(/{page}{link['anchor'] or ''})"

    return LINK.sub(relink, text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    path = PAGES.get(page, app.env.doc2path(page))
    source[0] = _relinked((ROOT / path).read_text("utf-8"), (ROOT / path).parent)
    if page == "commands":
        source[0] += _commands()


def setup(app: Sphinx) -> None:
    """Be a Sphinx extension: some pages are made when the site is built."""
    app.connect("source-read", _read)
