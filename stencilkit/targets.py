"""targets.toml -> the support table, checked for internal consistency.

Refuses a table that contradicts itself: duplicate triples, a pin outside its own range, flags without a reason,
a CPython's target that no [[target]] describes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final, get_args

from stencilkit.errors import DataError, TargetError
from stencilkit.model.target import (
    Flag,
    Flavour,
    KnownDeviation,
    ObjectFormat,
    Place,
    PyConfigSource,
    PythonSupport,
    Refusal,
    SpelledTarget,
    Step,
    SupportTable,
    Target,
    TargetSupport,
    UnitKind,
    WheelHeaders,
)
from stencilkit.model.version import MajorRange
from stencilkit.support import resources, suggest
from stencilkit.support.fields import Fields, document

SCHEMA: Final = 1


@functools.cache
def load() -> SupportTable:
    """Read and check the targets.toml that travels with stencilkit."""
    return parse(resources.text("targets.toml"))


def parse(text: str) -> SupportTable:
    """Read and check the text of a targets.toml.

    Raises: DataError, with the path to the bad field.
    """
    root = document(text, name="targets.toml", schema=SCHEMA, error=DataError)
    targets = tuple(_target(row) for row in root.tables("target"))
    known = {target.triple for target in targets}
    if len(known) != len(targets):
        raise root.fail("target", "a triple occurs twice")
    if strange := [target.triple for target in targets if target.like and target.like not in known]:
        raise root.fail("target", f"{strange[0]} is like a target that is not here")
    table = SupportTable(
        targets=targets,
        refused_targets=tuple(_refusal(row) for row in root.tables("refused-target", [])),
        pythons={name: _with_others(_python(name, row, known), targets) for name, row in root.named_tables("cpython")},
    )
    root.done()
    return table


def _target(row: Fields) -> Target:
    target = Target(
        triple=row.text("triple"),
        spellings=row.texts("spellings"),
        arch=row.text("arch"),
        isa=row.text("isa"),
        format=row.choice("format", get_args(ObjectFormat)),
        pointer_bytes=row.integer("pointer-bytes"),
        symbol_prefix=row.text("symbol-prefix"),
        label_prefix=row.text("label-prefix"),
        condition=row.text("condition"),
        nop=row.octets("nop"),
        tier=row.text("tier"),
        universal=row.text("universal", ""),
        native=row.text("native"),
        system=row.text("system", ""),
        system_headers=row.text("system-headers", ""),
        sysroot_headers=row.texts("sysroot-headers", []),
        configure_host=row.text("configure-host", ""),
        configure_case=row.texts("configure-case", []),
        pyconfig=row.choice("pyconfig", get_args(PyConfigSource), "configure"),
        gcc=row.text("gcc", ""),
        gcc_package=row.text("gcc-package", ""),
        gcc_arguments=row.texts("gcc-arguments", []),
        loader=row.text("loader", ""),
        zig_target=row.text("zig-target"),
        zig_headers=row.texts("zig-headers"),
        zig_arguments=row.texts("zig-arguments", []),
        wheel_headers=row.choice("wheel-headers", get_args(WheelHeaders), "toolchain"),
        foreign_macros=row.texts("foreign-macros", []),
        own_macros=row.texts("own-macros", []),
        entry_directive=row.choice("entry-directive", (".globl", ".def")),
        text_section=row.text("text-section", ""),
        hardened=row.texts("hardened", []),
        hardened_why=row.text("hardened-why"),
        cpus=row.texts("cpus"),
        features=row.texts("features", []),
        unsigned=row.text("unsigned", ""),
        like=row.text("like", ""),
        why=row.text("why", ""),
        cost=row.text("cost", ""),
    )
    row.done()
    if not any(fnmatchcase(target.triple, pattern) for pattern in target.spellings):
        raise row.fail("spellings", f"no pattern matches the triple {target.triple} itself")
    if target.like and not (target.why and target.cost):
        raise row.fail("why", "and cost must be there for a target that upstream has not")
    if target.pyconfig == "configure" and not target.configure_host:
        raise row.fail("configure-host", "is missing, although pyconfig.h comes from configure")
    return target


def _refusal(row: Fields) -> Refusal:
    refusal = Refusal(pattern=row.text("pattern"), why=row.text("why"))
    row.done()
    return refusal


def _python(series: str, row: Fields, known: set[str]) -> PythonSupport:
    llvm = _range(row, "llvm")
    order = _order(row, "order")
    support = PythonSupport(
        series=series,
        llvm=llvm,
        pinned=row.integer("pinned"),
        too_old=row.text("too-old"),
        too_new=row.text("too-new"),
        free_threading_refused=row.text("free-threading-refused", ""),
        free_threading_note=row.text("free-threading-note", ""),
        order=order,
        entry_order=_order(row, "entry-order", order),
        flags=tuple(_flag(flag, "common") for flag in row.tables("flag")),
        targets={name: _support(name, sub, known) for name, sub in row.named_tables("target")},
    )
    row.done()
    if support.pinned not in llvm:
        raise row.fail("pinned", f"{support.pinned} is outside the range {llvm}")
    return support


def _with_others(support: PythonSupport, targets: Sequence[Target]) -> PythonSupport:
    """Add the targets that upstream has not: each has the flags of the one that it is like, and is a deviation."""
    more = {}
    for target in targets:
        if target.like in support.targets:
            base = support.targets[target.like]
            itself = KnownDeviation(
                what=f"the target {target.triple}", why=target.why, cost=target.cost, llvm=support.llvm
            )
            more[target.triple] = replace(base, deviations=(*base.deviations, itself))
    return replace(support, targets={**support.targets, **more})


def _support(triple: str, row: Fields, known: set[str]) -> TargetSupport:
    if triple not in known:
        raise row.fail("", "no [[target]] has this triple")
    support = TargetSupport(
        flags=tuple(_flag(flag, "own") for flag in row.tables("flag", [])),
        deviations=tuple(_deviation(deviation) for deviation in row.tables("deviation", [])),
        alignment=row.integer("alignment", 1),
        reserved_frame_pointer=row.boolean("reserved-frame-pointer", False),  # noqa: FBT003  # the default
    )
    row.done()
    return support


def _order(row: Fields, key: str, default: Sequence[Place] | None = None) -> tuple[Place, ...]:
    words = row.texts(key, None if default is None else list(default))
    places = tuple(place for word in words for place in get_args(Place) if place == word)
    if sorted(words) != sorted(get_args(Place)):
        raise row.fail(key, f"must name each part of a command line once: {', '.join(get_args(Place))}")
    return places


def _flag(row: Fields, place: Place) -> Flag:
    flag = Flag(
        text=row.text("flag"),
        why=row.text("why"),
        place=place,
        triple=row.text("triple", "*"),
        flavour=row.choice("flavour", get_args(Flavour), None),
        unit=row.choice("unit", get_args(UnitKind), None),
        step=row.choice("step", get_args(Step), None),
        llvm=_range(row, "llvm") if row.text("llvm", "") else None,
        deviates=row.text("deviates", ""),
        cost=row.text("cost", ""),
    )
    row.done()
    if flag.deviates and not flag.cost:
        raise row.fail("cost", "a flag that deviates from upstream must say what that costs")
    if not flag.why.strip():
        raise row.fail("why", "every flag needs its reason")
    return flag


def _deviation(row: Fields) -> KnownDeviation:
    found = KnownDeviation(
        what=row.text("what"),
        why=row.text("why"),
        cost=row.text("cost"),
        llvm=_range(row, "llvm"),
        leaves_out=row.text("leaves-out", ""),
        unaligns=row.boolean("unaligns", False),  # noqa: FBT003  # the default
    )
    row.done()
    return found


def _range(row: Fields, key: str) -> MajorRange:
    parsed = MajorRange.parse(row.text(key))
    if parsed is None:
        raise row.fail(key, 'must be a range like "19..23"')
    return parsed


def resolve(table: SupportTable, spelling: str) -> SpelledTarget:
    """Find the target that a triple, in whatever vendor's spelling, means.

    Raises: TargetError, with the reason where one is known (x32) and the triples that exist where not.
    """
    for refusal in table.refused_targets:
        if fnmatchcase(spelling, refusal.pattern):
            raise TargetError(f"no stencils for {spelling}: {refusal.why}", fix=_known_targets(table))
    for target in table.targets:
        if any(fnmatchcase(spelling, pattern) for pattern in target.spellings):
            return SpelledTarget(target=target, spelling=spelling)
    near = suggest.question(suggest.triples(spelling, _names(table)))
    raise TargetError(
        f"unknown target {spelling}: CPython's Tools/jit has none of that name",
        fix=f"{near} stencilkit targets lists all" if near else _known_targets(table),
    )


def resolve_all(table: SupportTable, spelling: str, series: str) -> tuple[SpelledTarget, ...]:
    """Find the targets that one --target means: a triple, a universal platform, or "all" of upstream's.

    Raises: TargetError.
    """
    if spelling == "all":
        supported = table.pythons[series].targets
        chosen = [target for target in table.targets if target.triple in supported and not target.like]
    else:
        chosen = [target for target in table.targets if target.universal and target.universal == spelling]
    if chosen:
        return tuple(SpelledTarget(target=target, spelling=target.triple) for target in chosen)
    return (resolve(table, spelling),)


def _known_targets(table: SupportTable) -> str:
    return "choose one of " + ", ".join([*_names(table), "all"])


def _names(table: SupportTable) -> list[str]:
    universal = dict.fromkeys(target.universal for target in table.targets if target.universal)
    return [*(target.triple for target in table.targets), *universal]


def is_pinned(table: SupportTable, series: str, llvm: str) -> bool:
    """Return whether an LLVM ("19.1.7") is of the major version that a CPython's own generator asks for."""
    support = table.pythons.get(series)
    return support is not None and llvm.partition(".")[0] == str(support.pinned)
