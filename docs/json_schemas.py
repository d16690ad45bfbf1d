"""Write docs/schemas, the JSON Schemas of answers and files in JSON, from the tables of stencilkit/cli/_schemas.

make schemas
"""

from __future__ import annotations

import json
from pathlib import Path

from stencilkit.cli import _schemas

FOLDER = Path(__file__).parent / "schemas"


def pages() -> dict[Path, str]:
    """Render every schema."""
    kinds = (*_schemas.ANSWERS, *_schemas.FILES)
    return {FOLDER / f"{kind}.json": json.dumps(_schemas.document(kind), indent=2) + "\n" for kind in kinds}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for place, text in pages().items():
        place.write_text(text, "utf-8")
