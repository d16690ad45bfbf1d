"""What stencils have compiled in of a CPython's structures: sizes, offsets, bit-fields, enumerators and macros."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

RowKind = Literal["platform", "configuration", "macro", "enumerator", "type", "field", "bits"]

PLATFORM: Final[Mapping[str, str]] = {
    "size of a pointer": "sizeof(void *)",
    "size of long": "sizeof(long)",
    "size of wchar_t": "sizeof(L'a')",
    "size of an enum": "sizeof(enum { stencilkit_one })",
    "alignment of long long": "sizeof(struct { char one; long long two; }) - sizeof(long long)",
    "alignment of double": "sizeof(struct { char one; double two; }) - sizeof(double)",
    "char is signed": "(char)-1 < 0",
    "byte order": "__BYTE_ORDER__",
}
"""What a compiler and its flags decide before any header is read: name to C expression."""
CONFIGURATION: Final = ("Py_DEBUG", "Py_GIL_DISABLED", "Py_REF_DEBUG", "Py_STATS", "Py_TRACE_REFS")
"""Macros that change structures and the code that reads them: it matters whether they are defined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where something is and how long it is, in bytes; of a bit-field, in bits. Of a type: alignment and size."""

    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What stencils use, by name: members as "struct _ts.interp", bit-fields with their place, macros, enumerators."""

    types: tuple[str, ...]
    members: tuple[str, ...]
    bits: Mapping[str, Span]
    enumerators: tuple[str, ...]
    macros: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number that a compiler can be asked for: its name, the C expression, and the value in the stencils."""

    kind: RowKind
    subject: str
    expression: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The values that a clang gave when the stencils were built, by name.

    A member of no fixed size (a flexible array) has size 0. The names of types are as C spells them: "struct _ts",
    "PyASCIIObject".
    """

    platform: Mapping[str, int]
    configuration: Mapping[str, int]
    macros: Mapping[str, int]
    enumerators: Mapping[str, int]
    types: Mapping[str, Span]
    members: Mapping[str, Span]
    bits: Mapping[str, Span]

    def rows(self) -> Iterator[Row]:
        """List everything that one expression can ask for, in a fixed order; bit-fields need more than that."""
        for subject, value in self.platform.items():
            yield Row(kind="platform", subject=subject, expression=PLATFORM[subject], value=value)
        for subject, value in self.configuration.items():
            yield Row(kind="configuration", subject=subject, expression=defined(subject), value=value)
        for subject, value in self.macros.items():
            yield Row(kind="macro", subject=subject, expression=f"({subject})", value=value)
        for subject, value in self.enumerators.items():
            yield Row(kind="enumerator", subject=subject, expression=f"({subject})", value=value)
        for subject, span in self.types.items():
            yield Row(kind="type", subject=f"size of {subject}", expression=f"sizeof({subject})", value=span.size)
            yield Row(
                kind="type", subject=f"alignment of {subject}", expression=f"_Alignof({subject})", value=span.start
            )
        for subject, span in self.members.items():
            offset, size = member_expressions(subject)
            yield Row(kind="field", subject=f"offset of {subject}", expression=offset, value=span.start)
            if span.size:
                yield Row(kind="field", subject=f"size of {subject}", expression=size, value=span.size)


def defined(macro: str) -> str:
    """Spell the expression that says whether a macro is defined; witness texts define it."""
    return f"stencilkit_has_{macro}"


def split_member(member: str) -> tuple[str, str]:
    """Split "struct _ts.interp" into the type and the path of the member."""
    type_, _, path = member.partition(".")
    return type_, path


def member_expressions(member: str) -> tuple[str, str]:
    """Spell the offset and the size of a member in C."""
    type_, path = split_member(member)
    return f"__builtin_offsetof({type_}, {path})", f"sizeof((({type_} *)0)->{path})"
