"""One door per form of output: what comes from elsewhere is shown, and changes nothing around it.

Manifests, bundles, policies and compilers' vendors are other people's texts. A terminal obeys control characters, XML
cannot hold them, a table ends at a `|`, and GitHub's runner takes a line that starts with `::` for a command.
"""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls but tab and line feed, marks that turn or hide text, other line ends, halves of surrogate pairs.
CONTROL: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
# actions/runner, ActionCommand.cs: `::name` after leading space, `##[name` anywhere.
_WORKFLOW_COMMAND: Final = re.compile(r"^(\s*):(?=:)|##(?=\[)", re.MULTILINE)


def plain(text: str) -> str:
    """Spell control characters as their escapes in Python; line ends and tabs stay."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def terminal(text: str) -> str:
    """Make a text safe for terminals and for the logs of workflows."""
    return _WORKFLOW_COMMAND.sub(lambda match: f"{match[0]}\\", plain(text))


def xml(text: str) -> str:
    """Make a text one that XML 1.0 can hold; markup is the serialiser's business."""
    return plain(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def cell(text: str) -> str:
    """Make a text one cell of a markdown table, without HTML and without links."""
    return re.sub(r"([|<\[])", r"\\\1", terminal(text).replace("\n", " "))


def code(text: str) -> str:
    """Make a text a span of code in markdown, also inside a table."""
    return f"`{terminal(text).replace(chr(10), ' ').replace('|', chr(92) + '|').replace('`', chr(39))}`"
