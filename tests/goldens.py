"""Compare a text with the one that is kept."""

from __future__ import annotations

import os
from pathlib import Path


def check(path: Path, text: str) -> None:
    """Compare; with STENCILKIT_UPDATE_GOLDEN=1, write it anew."""
    if os.environ.get("STENCILKIT_UPDATE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert path.is_file(), f"{path} does not exist: run with STENCILKIT_UPDATE_GOLDEN=1, and read what it says"
    hint = f"{path.name} differs; if the new text is meant, run with STENCILKIT_UPDATE_GOLDEN=1"
    assert text == path.read_text("utf-8"), hint
