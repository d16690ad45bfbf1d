"""Targets, and what each CPython needs to build its stencils for them (the content of targets.toml)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Final, Literal

from stencilkit.model.version import MajorRange

ObjectFormat = Literal["elf", "macho", "coff"]
PyConfigSource = Literal["configure", "tree"]
WheelHeaders = Literal["toolchain", "mingw"]
Flavour = Literal["release", "debug"]
Kind = Literal["release", "debug", "release-hardened", "debug-hardened"]
"""What folders and entries of the ledger are named after: a flavour, and whether it is hardened."""
UnitKind = Literal["uop", "entry"]
Step = Literal["emit", "finish"]
Place = Literal["cflags", "target", "common", "own", "headers", "files"]
"""A part of a command line: the user's flags; --target; the flags of all targets, and those of one; where headers come
from; what is made of which file."""
# What configure cannot find out when it cannot run programs for the target; the values are Linux's. Words of the last
# two are in files that stencils are made from, so they are what it finds on every target of ours, where it can run
# them: without them the pyconfig.h of a cross build would not be taken for the one of a build there. libffi for the
# target may be missing: stencils need no modules, and the tests do without ctypes.
_MULTIARCH: Final = '[ "$*" = --print-multiarch ] && exec echo {}'
_CROSS_ANSWERS: Final = (
    "ac_cv_buggy_getaddrinfo=no",
    "ac_cv_file__dev_ptmx=yes",
    "ac_cv_file__dev_ptc=no",
    "py_cv_module__ctypes=n/a",
    "ac_cv_aligned_required=no",
    "ac_cv_computed_gotos=yes",
)


def kind_of(flavour: Flavour, hardened: bool) -> Kind:  # noqa: FBT001  # the two are one thing
    """Name a flavour that may be hardened."""
    kinds: Mapping[Flavour, Kind] = {"release": "release-hardened", "debug": "debug-hardened"}
    return kinds[flavour] if hardened else flavour


def split_kind(kind: Kind) -> tuple[Flavour, bool]:
    """Take such a name apart."""
    flavours: Mapping[Kind, Flavour] = {"release": "release", "release-hardened": "release"}
    return flavours.get(kind, "debug"), kind.endswith("-hardened")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A platform that some CPython has a JIT for, under its canonical triple.

    `isa` is the instruction set that clang generates code for without being asked, in the words of `audit`.
    `universal` is the platform of two architectures that this is a half of, "" if none.
    `native` is what `support.environ` calls a machine of this platform; on every machine of `system` ("" if that means
    nothing) clang finds this platform's headers by itself. `system_headers` is a file
    that is there where such a machine has headers of its own, "" if that need not be asked; `sysroot_headers` are the
    folders of headers in a --sysroot, none if clang knows them. `configure_host` is configure's --host,
    `configure_case` the pattern and system that an old configure's lists of cross builds lack;
    `pyconfig` says where pyconfig.h comes from. `gcc` is a compiler for the platform on another machine (musl: on one
    with another C library), `gcc_package` the package that has it, in Debian, `gcc_arguments` what it needs. `loader`
    is the dynamic loader of a C library whose gcc is another platform's with other headers (musl), "" of others. Of a
    PyPI toolchain, `zig_target` is for its driver, `zig_headers` are folders of headers (those that there are),
    `zig_arguments` what they need, `wheel_headers` what they are.
    `own_macros` are macros that a pyconfig.h for this target always defines, `foreign_macros` those that it never does.
    In assembly, `entry_directive` declares what is known outside; `text_section` is how a section of code is described
    where many units can be assembled at once, "" where they cannot. `hardened` are the flags of what this platform
    calls hardened, and `hardened_why` what they are good for; there are none where it says why not. `cpus` and
    `features` (fnmatch) are what a clang without -march and the like generates code for: the processors and instruction
    sets that every machine has. `unsigned` says why a ledger has no signatures of these stencils, "" if it has.
    `like` is the triple of upstream's target that one which upstream has not is treated as, "" where this is
    upstream's; `why` and `cost` say so in manifests.
    """

    triple: str
    spellings: tuple[str, ...]
    arch: str
    isa: str
    format: ObjectFormat
    pointer_bytes: int
    symbol_prefix: str
    label_prefix: str
    condition: str
    nop: bytes
    tier: str
    universal: str
    native: str
    system: str
    system_headers: str
    sysroot_headers: tuple[str, ...]
    configure_host: str
    configure_case: tuple[str, ...]
    pyconfig: PyConfigSource
    gcc: str
    gcc_package: str
    gcc_arguments: tuple[str, ...]
    loader: str
    zig_target: str
    zig_headers: tuple[str, ...]
    zig_arguments: tuple[str, ...]
    wheel_headers: WheelHeaders
    foreign_macros: tuple[str, ...]
    own_macros: tuple[str, ...]
    entry_directive: str
    text_section: str
    hardened: tuple[str, ...]
    hardened_why: str
    cpus: tuple[str, ...]
    features: tuple[str, ...]
    unsigned: str = ""
    like: str = ""
    why: str = ""
    cost: str = ""

    @property
    def code_key(self) -> tuple[str, ...]:
        """Spell what decides how units are compiled for this target, and how their objects and assembly are read."""
        return (
            *(self.triple, self.arch, self.system, self.format, self.symbol_prefix, self.label_prefix),
            *(self.entry_directive, self.text_section),
        )

    @property
    def emulators(self) -> tuple[str, ...]:
        """Name the programs of qemu's that run this platform's on another machine, under either of their names."""
        return (f"qemu-{self.arch}-static", f"qemu-{self.arch}")

    @property
    def library(self) -> str:
        """Name where the C library is on another machine: its loader, in its own place, or a folder of Debian's."""
        return self.loader or f"/usr/{self.native}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpelledTarget:
    """A target as somebody asked for it.

    `spelling` is the triple in their words ("x86_64-redhat-linux-gnu"). Code is generated for the canonical
    triple; CPython 3.13 and 3.14 put the spelling into the input digest and 3.14 into the file name.
    """

    target: Target
    spelling: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One compiler flag, its reason, where it stands, and when it applies (None: always).

    `triple` is a pattern (fnmatch) of the targets that it is for. `deviates` says what upstream does instead, where
    that is something else, and `cost` what it costs.
    """

    text: str
    why: str
    place: Place = "common"
    triple: str = "*"
    flavour: Flavour | None = None
    unit: UnitKind | None = None
    step: Step | None = None
    llvm: MajorRange | None = None
    deviates: str = ""
    cost: str = ""

    def beyond(self, last: int) -> Flag:
        """Apply with LLVMs newer than `last`, too, if it does with that one."""
        applies = self.llvm is not None and self.llvm.last == last
        return replace(self, llvm=self.llvm.up_to_any()) if self.llvm is not None and applies else self

    def applies(self, *, flavour: Flavour, unit: UnitKind, step: Step, llvm: int) -> bool:
        """Return whether the flag is used for a unit in a step of a build."""
        return (
            self.flavour in (None, flavour)
            and self.unit in (None, unit)
            and self.step in (None, step)
            and (self.llvm is None or llvm in self.llvm)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDeviation:
    """Something that is done unlike upstream, whatever the flags: why, at what cost, with which LLVMs.

    `leaves_out` names the section of object files that it is about, "" where it is about something else; `unaligns`
    says that it has stencils read their data wherever it is.
    """

    what: str
    why: str
    cost: str
    llvm: MajorRange
    leaves_out: str = ""
    unaligns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSupport:
    """What one CPython needs for one target: extra flags, and the alignment of stencils in bytes.

    `reserved_frame_pointer` says that no stencil may write the frame pointer.
    """

    flags: tuple[Flag, ...]
    deviations: tuple[KnownDeviation, ...] = ()
    alignment: int = 1
    reserved_frame_pointer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonSupport:
    """What one CPython minor version needs.

    `order` is that of the parts of a uop's command line, `entry_order` that of the shim's or trampoline's.
    `newest_checked` is the newest LLVM of `llvm` that was checked, None where all were (`--provisional` takes any).
    A pyconfig.h with Py_GIL_DISABLED is refused for the reason of `free_threading_refused`, or taken with the warning
    of `free_threading_note`.
    """

    series: str
    llvm: MajorRange
    pinned: int
    too_old: str
    too_new: str
    order: tuple[Place, ...]
    entry_order: tuple[Place, ...]
    flags: tuple[Flag, ...]
    targets: Mapping[str, TargetSupport]
    free_threading_refused: str = ""
    free_threading_note: str = ""
    newest_checked: int | None = None

    def beyond(self) -> PythonSupport:
        """Accept any newer LLVM, as if it were the newest that was checked."""
        last = self.llvm.last
        return replace(
            self,
            llvm=self.llvm.up_to_any(),
            flags=tuple(flag.beyond(last) for flag in self.flags),
            targets={
                triple: replace(
                    support,
                    flags=tuple(flag.beyond(last) for flag in support.flags),
                    deviations=tuple(
                        replace(known, llvm=known.llvm.up_to_any()) if known.llvm.last == last else known
                        for known in support.deviations
                    ),
                )
                for triple, support in self.targets.items()
            },
            newest_checked=last,
        )

    def flags_for(self, target: Target) -> tuple[Flag, ...]:
        """List the flags of a target: the common ones, then its own, each in upstream's order."""
        common = tuple(flag for flag in self.flags if fnmatchcase(target.triple, flag.triple))
        return common + self.targets[target.triple].flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A pattern (fnmatch) of something that is refused, and the reason."""

    pattern: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportTable:
    """All of targets.toml."""

    targets: tuple[Target, ...]
    refused_targets: tuple[Refusal, ...]
    pythons: Mapping[str, PythonSupport]


def cross_arguments(target: Target, *, machine: str, python: str) -> tuple[str, ...]:
    """Give the arguments of configure for a cross build on `machine`, with a `python` of the same version there."""
    host = f"--host={target.configure_host}"
    return (host, f"--build={machine}", f"--with-build-python={python}", *_CROSS_ANSWERS)


def compiler_script(target: Target, compiler: Sequence[str]) -> str:
    """Write the shell script that is configure's CC: a compiler that can say which platform it compiles for."""
    if not target.gcc or PurePath(compiler[-1]).name != target.gcc:
        return "\n".join([*platform_answers(target), f'exec {shlex.join(compiler)} "$@"'])
    answers = platform_answers(target) or (_MULTIARCH.format(target.native),)
    return "\n".join([*answers, f'exec {shlex.join([*compiler, *target.gcc_arguments])} "$@"'])


def platform_answers(target: Target) -> tuple[str, ...]:
    """Give the lines of a script that answer configure for a C library that it does not recognise.

    Debian's musl-gcc is gcc with other headers, and names the platform of the machine; configure stops where that is
    not the one of the headers (CPython: configure.ac, "internal configure error for the platform triplet"). musl is
    recognised by what its stdarg.h defines, before which clang has its own (Misc/platform_triplet.c): the platform
    would have no name then, and no perf trampoline, which moves what is in _PyRuntime.
    """
    if not target.loader:
        return ()
    triplet = f'case "$*" in *Misc/platform_triplet.c) exec echo PLATFORM_TRIPLET={target.native};; esac'
    return (_MULTIARCH.format(target.native), triplet)
