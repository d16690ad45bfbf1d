"""pyconfig.h, and which of its macros a stencil can see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PyConfigOrigin = Literal["given", "configured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PyConfig:
    """A pyconfig.h on disk.

    `macros` maps every name that the file mentions in a #define or #undef to its value, None where it is not
    defined. `host` is the host triple of the build folder that it lies in, "" where there is no Makefile.
    """

    folder: Path
    content: bytes
    macros: Mapping[str, str | None]
    origin: PyConfigOrigin
    host: str = ""
