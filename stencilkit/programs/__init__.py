"""Parse linked programs and libraries: ELF, PE, and Mach-O, thin or universal.

lief parses, in a process of its own (worker.py): nothing that it does on a hostile file ends ours. What it says of
offsets and sizes is checked against the file before it is believed.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stencilkit.errors import ProcessError, ProgramError
from stencilkit.model.program import Program, Protection, Region
from stencilkit.support import files, process

# The largest python programs have 30 MB, with debug information 100.
LARGEST: Final = 512 << 20
_MOST_REGIONS: Final = 4096
_TIMEOUT_SECONDS: Final = 60.0
# ELF; PE; Mach-O of 64 bits, and universal.
_MAGICS: Final = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_PACKED: Final = b"UPX!"
_HEADERS: Final = 4096


def is_program(content: bytes) -> bool:
    """Return whether a file begins as programs of the formats that are parsed do."""
    return content.startswith(_MAGICS)


def read(content: bytes, label: str) -> tuple[Program, ...]:
    """Parse a program; of a universal one, each slice.

    Raises: ProgramError where it is damaged, too large, packed, or cannot be parsed within the bounds of worker.py.
    """
    if importlib.util.find_spec("lief") is None:
        raise ProgramError("lief, which parses programs, is not installed", fix="pip install 'stencilkit[identify]'")
    if len(content) > LARGEST:
        raise ProgramError(f"it is larger than {LARGEST >> 20} MiB", where=label, fix="name a smaller file")
    with files.scratch("identify") as work:
        path = work / "program"
        path.write_bytes(content)
        found = tuple(_program(row, content, label) for row in _ask(path, label))
    if not found:
        raise ProgramError("it is not a program that can be parsed", where=label, fix="check that the file is whole")
    if len(found) > 1:
        # The slices of a universal file are distinguished by their architecture.
        return tuple(_labelled(program) for program in found)
    return found


def _ask(path: Path, label: str) -> list[Any]:
    try:
        done = process.run(
            [sys.executable, "-I", Path(__file__).with_name("worker.py"), path], timeout=_TIMEOUT_SECONDS
        )
        rows = json.loads(done.out) if done.returncode == 0 else None
    except (ProcessError, ValueError):
        rows = None
    if not isinstance(rows, list):
        raise ProgramError(
            "lief cannot parse it",
            where=label,
            fix="check that the file is whole; a truncated or forged one is refused",
        )
    return rows


def _program(row: dict[str, Any], content: bytes, label: str) -> Program:
    # In all that UPX packs, its mark is behind the headers.
    if _PACKED in content[:_HEADERS]:
        raise ProgramError("it is packed with UPX", where=label, fix="unpack it first: upx -d")
    regions = tuple(_regions(row["regions"], len(content)))
    if not regions:
        raise ProgramError("nothing of it is loaded from the file", where=label, fix="check that the file is whole")
    return Program(
        label=label,
        format=row["format"],
        arch=row["arch"],
        content=content,
        regions=regions,
        protections=tuple(Protection(name=name, on=on, why=why) for name, on, why in row["protections"]),
    )


def _regions(rows: list[tuple[str, int, int]], size: int) -> Iterator[Region]:
    """Take what is within the file, in its order, each byte once."""
    end = 0
    for name, offset, length in sorted(rows, key=lambda row: (row[1], row[2], row[0]))[:_MOST_REGIONS]:
        first, last = max(offset, end), min(offset + length, size)
        if first < last:
            yield Region(name=name, offset=first, size=last - first)
            end = last


def _labelled(program: Program) -> Program:
    return replace(program, label=f"{program.label} ({program.arch or 'another architecture'})")
