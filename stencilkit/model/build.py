"""What a build needs and produces, between the stages that plan it, run it and describe it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stencilkit.model import cflags
from stencilkit.model.source import SourceTree, Unit
from stencilkit.model.target import Flag, Flavour, KnownDeviation, Place, Step, Target
from stencilkit.model.toolchain import Toolchain

HeaderOrigin = Literal["system", "cross", "toolchain", "sysroot", "mingw"]
Emits = Literal["object", "llvm-ir", "assembly"]
FileOrigin = Literal["tree", "pyconfig", "build", "compiler", "system"]
Driver = Literal["batched", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """Where the C library's headers come from: driver arguments, and the folder that system paths start at."""

    origin: HeaderOrigin
    arguments: tuple[str, ...]
    root: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class IncludedFile:
    """A file that the template includes; `name` is relative to the place that `origin` names, with slashes."""

    origin: FileOrigin
    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Everything that the units' shared prefix includes.

    `digest` is over the preprocessed text with all macro definitions; `paths` says where each file is here,
    pyconfig.h excluded.
    """

    files: tuple[IncludedFile, ...]
    digest: str
    paths: tuple[tuple[Path, IncludedFile], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that decides what a compiler will make of the units of one build.

    `order` and `entry_order` are those of the parts of a command line; `flags` have their placeholders; `cflags` are
    the user's own words, in order, and relative paths in them start at `build`, None where no build folder is known.
    `emits` is what the first step makes of C; `deviations` are those that apply, beside those of flags.
    """

    tree: SourceTree
    target: Target
    flavour: Flavour
    toolchain: Toolchain
    headers: Headers
    pyconfig: Path
    order: tuple[Place, ...]
    entry_order: tuple[Place, ...]
    flags: tuple[Flag, ...]
    cflags: tuple[str, ...]
    units: tuple[Unit, ...]
    emits: Emits
    deviations: tuple[KnownDeviation, ...] = ()
    build: Path | None = None

    @property
    def label(self) -> str:
        """Name the build in one short phrase."""
        return f"{self.target.triple} {self.flavour} llvm-{self.toolchain.version}"

    @property
    def sources(self) -> frozenset[str]:
        """Name the files of the tree that the units' own text comes from; hundreds of units have the same two."""
        return frozenset(itertools.chain.from_iterable({unit.sources for unit in self.units}))

    @property
    def unaligned(self) -> bool:
        """Whether stencils are made to read their data wherever it is."""
        return any(known.unaligns for known in self.deviations)

    def used_flags(self) -> tuple[Flag, ...]:
        """List the flags that any unit of this build is compiled with."""
        steps: tuple[Step, ...] = ("emit", "finish")
        return tuple(
            flag for flag in self.flags if any(self._applies(flag, e, s) for e in (False, True) for s in steps)
        )

    def _applies(self, flag: Flag, entry: bool, step: Step) -> bool:  # noqa: FBT001  # private
        return flag.applies(
            flavour=self.flavour,
            unit="entry" if entry else "uop",
            step=step,
            llvm=self.toolchain.version.major,
        )

    def line(self, *, entry: bool, step: Step) -> tuple[str, ...]:
        """Spell the driver's command line for a unit, with placeholders for all that depends on the machine.

        The order is upstream's (PythonSupport.order): where two flags contradict each other, the last one counts.
        """
        words: list[str] = []
        for place in self.entry_order if entry else self.order:
            match place:
                case "target":
                    words.append(f"--target={self.target.triple}")
                case "common" | "own":
                    chosen = (flag for flag in self.flags if flag.place == place and self._applies(flag, entry, step))
                    words.extend(word for flag in chosen for word in _split(flag.text))
                case "cflags" | "headers" | "files":
                    words.append(f"{{{place}}}")
        return tuple(words)

    def driver_arguments(self, *, entry: bool, step: Step, files: Sequence[str] = ()) -> list[str]:
        """Spell the same with everything in it; `files` say what is made (-c, -S) of which file, and its name."""
        users = self.cflags if self.build is None else cflags.absolute(self.cflags, self.build)
        parts = {"{cflags}": users, "{headers}": self.headers.arguments, "{files}": tuple(files)}
        places = (("{tree}", str(self.tree.root)), ("{pyconfig}", str(self.pyconfig)))
        found: list[str] = []
        for word in self.line(entry=entry, step=step):
            spelt = functools.reduce(lambda text, place: text.replace(*place), places, word)
            found.extend(parts.get(word, (spelt,)))
        return found


def _split(flag: str) -> list[str]:
    return flag.split(" ") if flag.startswith("-Xclang ") else [flag]
