"""A CPython source tree, and the C units that its stencils are compiled from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from stencilkit.model.novelty import Provisional
from stencilkit.model.version import PythonVersion

if TYPE_CHECKING:  # a dialect's methods are about trees
    from stencilkit.model.dialect import Python

# The folders of a tree that stencils are made from.
STENCIL_PARTS: Final = ("Include", "PC", "Python", "Tools/jit")

# A line that is added to one uop moves all others behind it. Release builds do not ask for line numbers, so what must
# not depend on them has none: what asks for one does not compile. A stray @ is an error wherever the macro is expanded,
# except where it becomes text; there, the macro call that nothing closes is one.
NO_LINES: Final = """\
#define stencilkit_line(x)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wbuiltin-macro-redefined"
#define __LINE__ @ stencilkit_line(
#define __builtin_LINE @ stencilkit_line(
#pragma clang diagnostic pop
"""
# The macro that the template has a uop's name from.
OPCODE: Final = "_JIT_OPCODE"
# Conditions end where they begin; these do not.
_ALTERING: Final = re.compile(
    r"^\s*(?:#|%:|\?\?=)\s*(?!(?:if|ifdef|ifndef|elif|else|endif)\b)\w|_Pragma|__COUNTER__", re.MULTILINE
)

# Beside the folder of a tree that was fetched: the kind of origin of the tarball's hash, and the hash.
VOUCHED: Final = ".vouched"

UnitRole = Literal["uop", "group", "object"]
"""A uop; the shim or trampoline that is a stencil group; the shim that stays an object file of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSignature:
    """That a release tarball (name and SHA-256) is signed by an identity, which an issuer vouches for."""

    tarball: str
    sha256: str
    identity: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """An unpacked CPython that has a JIT, with what is known of its minor version.

    `signature` is that of its tarball, where it was verified. `provisional` says what it is built as, where stencilkit
    does not know its minor version. `vouched` says whose hash its tarball had (model/pins.py) and which, as in
    "index 3f0e...", where stencilkit fetched it.
    """

    root: Path
    version: PythonVersion
    python: Python = field(compare=False, repr=False)
    signature: ReleaseSignature | None = None
    provisional: Provisional | None = None
    vouched: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Something that only some patch releases of one CPython do, recognised by a text in one of the tree's files.

    `of` names the variant that this one refines, "" if none: without that one, the file is not looked at.
    """

    name: str
    file: str
    text: str
    why: str
    of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A stencil that is entered through a register or memory: its name, why, and the text of the tree that says so."""

    name: str
    why: str
    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uop:
    """One case of Python/executor_cases.c.h: from `case _NAME: {` to its closing brace.

    `line` is where the case starts in that file, counted from 1.
    """

    name: str
    text: str
    line: int

    @property
    def alters_others(self) -> bool:
        """Return whether the cases behind it may mean something else because of it: no CPython has such a case."""
        return _ALTERING.search(self.text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One C file to compile.

    `prefix` is the part that all uops share and that a precompiled header can hold (includes, nothing else);
    `body` is the rest and starts at `body_line` of the file whose name `__FILE__` must give. `sources` are the
    files of the tree that the text comes from. `short_body` is the body without code that is dead in this unit,
    where there is such code: see `compiler/phis.py` for when it may be compiled instead.
    """

    name: str
    prefix: str
    body: str
    body_line: int
    file: str
    sources: tuple[str, ...]
    role: UnitRole = "uop"
    short_body: str | None = None

    @property
    def whole(self) -> str:
        """Give the text for a compiler that has no precompiled header."""
        return f'#define {OPCODE} {self.name}\n#line 1 "{self.file}"\n{self.prefix}{self.body}'

    @property
    def tail(self) -> str:
        """Give the text for a compiler that has the prefix precompiled."""
        return self._tail(self.body)

    @property
    def short_tail(self) -> str:
        """Give the same without dead code."""
        return self._tail(self.body if self.short_body is None else self.short_body)

    def _tail(self, body: str) -> str:
        return f'#define {OPCODE} {self.name}\n#line {self.body_line} "{self.file}"\n{body}'
