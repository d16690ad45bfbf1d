"""What stencils have compiled in of a CPython's structures, and whether another compiler lays them out in the same way.

Stencils have offsets, sizes, enumerators and constants of clang's; the CPython that runs them is compiled by another
compiler, with other flags, perhaps against another C library. `build` records the numbers, and the distribution's own
compiler is asked for them later.

_types  sizes of LLVM's types          _debug  clang's debug information
_used   the members that uops touch    _macros constants of system headers
_text   C that asks for the numbers    _parts  what each uop uses, for the cache
_common what holds for whatever uops

Judges text and values; runs nothing. A member that a uop touches and that has no name in C is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stencilkit.errors import REPORT, CompileError
from stencilkit.model.layout import CONFIGURATION, PLATFORM, Layout, Row, Span
from stencilkit.model.verdict import Check
from stencilkit.witness import _debug, _macros, _types, _used
from stencilkit.witness._common import Common, dump_common, load_common
from stencilkit.witness._macros import declares
from stencilkit.witness._parts import Part, dump, load
from stencilkit.witness._text import RUNTIME_ONLY, Text, asserting, may_be_longer, measuring, numbers, spans

__all__ = [
    "RUNTIME_ONLY",
    "Common",
    "Part",
    "Text",
    "asserting",
    "declares",
    "dump",
    "dump_common",
    "find",
    "judge",
    "load",
    "load_common",
    "may_be_longer",
    "measured",
    "measuring",
    "numbers",
    "parts",
    "read",
    "spans",
]

_SHOWN = 200


def read(ir: str, preprocessed: str, *, root: str, own: Iterable[str], mark: str) -> Common:
    """Read what holds for whatever uops: the types of a module, and the macros of its text.

    `root` is the tree, `own` are folders whose macros are not the system's.
    """
    debug = _debug.read(ir, root)
    return Common(
        debug=debug,
        enumerators=frozenset(debug.enumerators()),
        constants=_macros.constants(preprocessed, own),
        macros=_macros.definitions(preprocessed, mark),
    )


def parts(ir: str, preprocessed: str, common: Common, *, mark: str, pointer: int) -> Mapping[str, Part]:
    """Find what uops use, each of which begins with `mark = NUMBER;`: by that number, and under "" what all have.

    `pointer` is the size of one in bytes. The module may be without types and the text without headers: those of
    `common` count.

    Raises: CompileError for what cannot be said in C.
    """
    debug = common.debug
    uses = _used.find(ir, debug, _types.read(ir, pointer), mark)
    if unknown := sorted(name for part in uses.values() for name in part.unknown):
        raise CompileError(
            f"uops use a structure without a name, of which nothing says where it is: {unknown[0]}", fix=REPORT
        )
    counts, words = _macros.counted(preprocessed, mark)
    # One is in the definition of the type.
    named = {"": frozenset(name for name in common.enumerators if counts[name] > 1)}
    named |= {number: common.enumerators & found for number, found in words.items()}
    nothing = _used.Uses(debug)
    return {
        number: Part(
            types=frozenset(part.types),
            members={name: Span(start=0, size=place.size // 8) for name, place in part.members.items()},
            bits=part.bits,
            enumerators=named.get(number, frozenset()),
        )
        for number in uses.keys() | named.keys()
        for part in [uses.get(number, nothing)]
    }


def find(used: Iterable[Part], common: Common, *, words: frozenset[str]) -> Layout:
    """Put together what uops use; all numbers of the result are still 0, but sizes and bit-fields.

    `words` are those of the tree's included files.
    """
    types, enumerators, members, bits = set[str](), set[str](), dict[str, Span](), dict[str, Span]()
    for part in used:
        types |= part.types
        enumerators |= part.enumerators
        members.update(part.members)
        bits.update(part.bits)
    return Layout(
        platform=dict.fromkeys(PLATFORM, 0),
        configuration=dict.fromkeys(CONFIGURATION, 0),
        macros=dict.fromkeys(sorted(common.constants & words), 0),
        enumerators=dict.fromkeys(sorted(enumerators), 0),
        types={name: Span(start=0, size=0) for name in sorted(types)},
        members=dict(sorted(members.items())),
        bits=dict(sorted(bits.items())),
    )


def measured(draft: Layout, values: Mapping[Row, int]) -> Layout:
    """Put the numbers in that a compiler gave; leave the macros out that it has none for.

    Raises: CompileError where another number is missing.
    """
    found = {(row.kind, row.subject): value for row, value in values.items()}
    for row in draft.rows():
        if row not in values and row.kind != "macro":
            raise CompileError(f"clang does not say what the {row.subject} is", where=row.expression, fix=REPORT)
    return Layout(
        platform={name: found["platform", name] for name in draft.platform},
        configuration={name: found["configuration", name] for name in draft.configuration},
        macros={name: found["macro", name] for name in draft.macros if ("macro", name) in found},
        enumerators={name: found["enumerator", name] for name in draft.enumerators},
        types={
            name: Span(start=found["type", f"alignment of {name}"], size=found["type", f"size of {name}"])
            for name in draft.types
        },
        members={
            name: Span(start=found["field", f"offset of {name}"], size=place.size)
            for name, place in draft.members.items()
        },
        bits=draft.bits,
    )


def judge(
    layout: Layout, different: Mapping[Row, int | str], bits: Mapping[str, Span | str], errors: Iterable[str]
) -> Iterator[Check]:
    """Say whether everything is where stencils expect it.

    `different` are the numbers that are not the same, with the other compiler's answer, or what it says instead;
    `bits` are all bit-fields, with the same. `errors` are a compiler's about anything else.
    """
    wrong = [f"{row.subject}: {row.value} in the stencils, {_answer(found)} here" for row, found in different.items()]
    for member, found in bits.items():
        if found != layout.bits[member]:
            there = _bits(layout.bits[member])
            here = _bits(found) if isinstance(found, Span) else _answer(found)
            wrong.append(f"{member}: {there} in the stencils, {here} here")
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        what = "the runtime is laid out differently from what the stencils expect"
        yield Check(kind="witness", status="failed", what=what, details=(*wrong[:_SHOWN], *more))
    if rest := tuple(errors):
        what = "what stencils include does not compile with the flags of the runtime"
        yield Check(kind="witness", status="failed", what=what, details=rest[:_SHOWN])
    if not wrong and not rest:
        count = sum(1 for _ in layout.rows()) + len(layout.bits)
        yield Check(
            kind="witness",
            status="passed",
            what=(
                f"the runtime's compiler gives the same {count} numbers: {len(layout.types)} structures, "
                f"{len(layout.members)} members, {len(layout.bits)} bit-fields, {len(layout.enumerators)} enumerators, "
                f"{len(layout.macros)} constants"
            ),
        )


def _answer(found: int | str) -> str:
    return str(found) if isinstance(found, int) else f"none ({found})"


def _bits(place: Span) -> str:
    return f"{place.size} bits from bit {place.start}" if place.size else "no run of bits"
