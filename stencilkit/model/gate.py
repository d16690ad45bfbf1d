"""What the reproducibility gate varies, what it builds, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stencilkit.model.ledger import Entry
from stencilkit.model.signature import Candidate
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour, SpelledTarget
from stencilkit.model.toolchain import Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """One thing that must not change a byte.

    `environment` is set for the build, `prefix` is a program that starts it, `arguments` are added to it. `folder` is a
    name under which a copy of the tree is built instead, `mtime` the time of the copy's files in seconds since 1970.
    """

    name: str
    why: str
    environment: Mapping[str, str]
    prefix: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: str
    mtime: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is built again and again: all builds take the same pyconfig.h, from the folder `pyconfig`."""

    tree: SourceTree
    asked: SpelledTarget
    flavour: Flavour
    toolchain: Toolchain
    pyconfig: Path
    hardened: bool = False

    @property
    def group(self) -> tuple[str, str, Flavour]:
        """Return what all entries have in common that a ledger writes together: all but the LLVM."""
        return str(self.tree.version), self.asked.target.triple, self.flavour


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """What variations did to a build: what differed under which, and which were tried, and which not, and why."""

    unstable: tuple[str, ...]
    varied: tuple[str, ...]
    not_varied: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What one configuration gave: `entry` is what the ledger should say, `candidate` its signatures.

    `unstable` says what differed under which variation, `unexpected` what the ledger says otherwise; `varied` and
    `not_varied` name variations, the latter with the reason. `seconds` is how long all of it took.
    """

    entry: Entry
    candidate: Candidate
    vendor: str
    unstable: tuple[str, ...]
    unexpected: tuple[str, ...]
    varied: tuple[str, ...]
    not_varied: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Return whether nothing changed and all is as the ledger says."""
        return not self.unstable and not self.unexpected


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Which files of the ledger were written, and which were left alone because builds disagree on them."""

    written: tuple[PurePosixPath, ...] = ()
    left: tuple[PurePosixPath, ...] = ()

    def __add__(self, other: Settlement) -> Settlement:
        """Add what came of other builds."""
        return Settlement(written=self.written + other.written, left=self.left + other.left)
