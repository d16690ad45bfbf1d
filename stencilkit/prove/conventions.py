"""Who passes what where: C's calling conventions by target, and what one stencil passes on to the next.

Sources: System V ABI AMD64 3.2; AAPCS64 6; Apple, Writing ARM64 code for Apple platforms; Microsoft, x64 and ARM64 ABI
conventions; Microsoft, __cdecl, and Agner Fog, Calling conventions, table 4 (what i686 keeps). LLVM, X86CallingConv.td:
CC_X86_64_Preserve_None, CC_X86_64_GHC, CC_X86_32_GHC, CSR_64_NoneRegs; and AArch64CallingConvention.td:
CC_AArch64_Preserve_None, CSR_AArch64_NoneRegs. On i686, clang ignores preserve_none: stencils pass on what C does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

Place = str | int
"""A register, or how far above the stack pointer as it is before a call."""
_WIDE: Final = {"i64": 64, "double": 64}
"""What takes more than a word on the stack where a word has less."""
_NARROW: Final = {"i1": 8, "i8": 8, "i16": 16, "i32": 32}
"""What takes less than a word on the stack where arguments are packed, and is aligned to its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """A calling convention.

    `arguments` are the registers of integers and pointers in order, `vectors` those of floating point; `positional`
    ones are taken by the position among all arguments. `kept` are what a callee keeps, `halves` of which it keeps the
    low 64 bits, `results` where its result is. `alignment` is that of the stack pointer at a call, `shadow` the bytes
    above it that belong to the callee, `popped` how far a return moves it, `link` the register of the address to return
    to, "" where it is on the stack. Where `spilled`, variadic arguments are on the stack. `packed` says that those that
    are not variadic take no more room there than they need. Where `indirect_results`, a result of more than 8 bytes is
    written to where the first argument points. `word` is the width in bits of an address, and of what the stack is
    counted in. A floating point result is in `returned`; `level` counts what is on the stack of floating point
    registers where there is one: at calls and exits as much as at entry. `stacked` are where a callee without a
    prototype has its arguments, if they are known to be on the stack.
    """

    arguments: tuple[str, ...]
    vectors: tuple[str, ...]
    results: tuple[str, ...]
    kept: frozenset[str]
    stack: str
    link: str
    halves: frozenset[str] = frozenset()
    popped: int = 0
    shadow: int = 0
    alignment: int = 16
    positional: bool = False
    spilled: bool = False
    packed: bool = False
    indirect_results: bool = False
    word: int = 64
    returned: str
    level: str = ""
    stacked: tuple[int, ...] = ()

    @property
    def unknown(self) -> tuple[Place, ...]:
        """Where a callee without a prototype could have arguments; none where nothing is known of that."""
        return (*self.arguments, *self.stacked)

    def size(self, kind: str, *, named: bool = True) -> int:
        """Return how many bytes an argument takes on the stack; variadic ones are not `named`."""
        if self.packed and named and kind in _NARROW:
            return _NARROW[kind] // 8
        return max(self.word, _WIDE.get(kind, 0)) // 8

    def places(self, kinds: Sequence[str], named: int) -> Iterator[Place]:
        """Yield where arguments are: in registers, then on the stack; `named` of them are no variadic ones."""
        plain, vectors, slot = iter(self.arguments), iter(self.vectors), self.shadow
        for number, kind in enumerate(kinds):
            if self.positional:
                registers = self.vectors if kind == "double" else self.arguments
                place: Place = registers[number] if number < len(registers) else 8 * number
            elif self.spilled and number >= named:
                place = ""
            else:
                place = next(vectors if kind == "double" else plain, "")
            if place == "":
                size = self.size(kind, named=number < named)
                # Where a word has 32 bits, what takes two is not aligned to both.
                place = slot + -slot % min(size, self.word // 8)
                slot = place + size
            yield place

    def room(self, kinds: Sequence[str], named: int) -> int:
        """Return how many bytes above the stack pointer are the callee's: room for registers, and arguments."""
        places = enumerate(zip(kinds, self.places(kinds, named), strict=True))
        return max(
            (
                place + self.size(kind, named=number < named)
                for number, (kind, place) in places
                if isinstance(place, int)
            ),
            default=self.shadow,
        )

    @property
    def unknown_room(self) -> int:
        """How many bytes above the stack pointer are those of a callee without a prototype."""
        return max((place + self.word // 8 for place in self.stacked), default=self.shadow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """What one stencil passes on: `live` registers, or words of the stack, counted from where its own arguments are.

    It gives back `restored` registers (of `halves`, 64 bits) as it got them.
    """

    live: tuple[Place, ...]
    restored: tuple[str, ...]
    halves: tuple[str, ...] = ()


_X86_64_SYSV: Final = Convention(
    arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    vectors=tuple(f"xmm{number}" for number in range(8)),
    results=("rax", "rdx"),
    returned="xmm0",
    kept=frozenset(("rbx", "rbp", "rsp", "r12", "r13", "r14", "r15")),
    stack="rsp",
    link="",
    popped=8,
)
_X86_64_WINDOWS: Final = Convention(
    arguments=("rcx", "rdx", "r8", "r9"),
    vectors=tuple(f"xmm{number}" for number in range(4)),
    results=("rax",),
    returned="xmm0",
    kept=frozenset(
        ("rbx", "rbp", "rsp", "rdi", "rsi", "r12", "r13", "r14", "r15", *(f"xmm{number}" for number in range(6, 16)))
    ),
    stack="rsp",
    link="",
    popped=8,
    shadow=32,
    positional=True,
    indirect_results=True,
)
_AARCH64: Final = Convention(
    arguments=tuple(f"x{number}" for number in range(8)),
    vectors=tuple(f"q{number}" for number in range(8)),
    results=("x0", "x1"),
    returned="q0",
    kept=frozenset((*(f"x{number}" for number in range(19, 30)), "sp")),
    halves=frozenset(f"q{number}" for number in range(8, 16)),
    stack="sp",
    link="x30",
)
_KEPT_I686: Final = ("ebx", "ebp", "esi", "edi", "esp")
_I686_WINDOWS: Final = Convention(
    arguments=(),
    vectors=(),
    results=("eax", "edx"),
    returned="fp0",
    level="fp",
    kept=frozenset((*_KEPT_I686, "fp")),
    stack="esp",
    link="",
    popped=4,
    alignment=4,
    spilled=True,
    word=32,
)
# x18 is the platform's: nobody writes it.
_AARCH64_PLATFORM: Final = replace(_AARCH64, kept=_AARCH64.kept | {"x18"})
CONVENTIONS: Final[Mapping[str, Convention]] = {
    "x86_64-unknown-linux-gnu": _X86_64_SYSV,
    "x86_64-apple-darwin": _X86_64_SYSV,
    "x86_64-pc-windows-msvc": _X86_64_WINDOWS,
    "i686-pc-windows-msvc": _I686_WINDOWS,
    "aarch64-unknown-linux-gnu": _AARCH64,
    "aarch64-apple-darwin": replace(_AARCH64_PLATFORM, spilled=True, packed=True),
    "aarch64-pc-windows-msvc": _AARCH64_PLATFORM,
}

# preserve_none has the same registers on every system. CPython 3.13 has GHC's convention on x86_64, C's on aarch64.
_X86_64_PASSING: Final[Mapping[str, Passing]] = {
    "3.13": Passing(live=("r13", "rbp", "r12"), restored=("rsp",)),
    "3.14": Passing(live=("r12", "r13", "r14"), restored=("rsp", "rbp")),
    "3.15": Passing(live=("r12", "r13", "r14", "r15", "rdi", "rsi", "rdx"), restored=("rsp", "rbp")),
}
_AARCH64_PASSING: Final[Mapping[str, Passing]] = {
    "3.13": Passing(
        live=("x0", "x1", "x2"),
        restored=(*(f"x{number}" for number in range(19, 31)), "sp"),
        halves=tuple(f"q{number}" for number in range(8, 16)),
    ),
    "3.14": Passing(live=("x20", "x21", "x22"), restored=("sp", "x29", "x30")),
    "3.15": Passing(live=tuple(f"x{number}" for number in range(20, 27)), restored=("sp", "x29", "x30")),
}
_I686_PASSING: Final[Mapping[str, Passing]] = {
    "3.13": Passing(live=("ebx", "ebp", "edi"), restored=("esp",)),
    "3.14": Passing(live=(0, 4, 8), restored=_KEPT_I686),
    "3.15": Passing(live=(0, 4, 8, 12, 16, 20, 24), restored=_KEPT_I686),
}
# What the first values that a stencil gets are. Tools/jit/template.c, _JIT_ENTRY.
ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "3.13": ("frame", "stack_pointer", "tstate"),
    "3.14": ("frame", "stack_pointer", "tstate"),
    "3.15": ("executor", "frame", "stack_pointer", "tstate", "tos_cache0"),
}
_BY_ARCH: Final = {"x86_64": _X86_64_PASSING, "i686": _I686_PASSING, "aarch64": _AARCH64_PASSING}


def passing(triple: str, series: str) -> Passing | None:
    """Return what a stencil passes on, None where it is not known; a platform's own register is given back."""
    found = _BY_ARCH.get(triple.partition("-")[0], {}).get(series)
    convention = CONVENTIONS.get(triple)
    if found is None or convention is None:
        return None
    extra = {"x18"} & convention.kept - set(found.restored)
    return replace(found, restored=(*found.restored, *sorted(extra)))


def of_entry(convention: Convention, stencils: Passing) -> tuple[Convention, Passing]:
    """Return how the shim calls a stencil, or what it passes on to one, and what it gives back to its caller, C's."""
    inner = replace(
        convention,
        arguments=tuple(place for place in stencils.live if isinstance(place, str)),
        stacked=tuple(place for place in stencils.live if isinstance(place, int)),
        vectors=(),
        kept=frozenset((*stencils.restored, *filter(None, (convention.level,)))) - {convention.link},
        halves=frozenset(stencils.halves),
        shadow=0,
        positional=False,
        spilled=False,
        indirect_results=False,
    )
    return inner, Passing(
        live=stencils.live,
        restored=(*sorted(convention.kept - {convention.level}), *filter(None, (convention.link,))),
        halves=tuple(sorted(convention.halves)),
    )
