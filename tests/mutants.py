"""Stencils with one thing wrong, made from a seed: what a prover must not call the same.

Some of what is changed does not matter (a register that nobody reads): what is accepted has to be run.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from stencilkit import disassemble
from stencilkit.model.machine import Operation
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, StencilGroup


@dataclass(frozen=True)
class Mutant:
    kind: str
    group: StencilGroup


def bytes_changed(group: StencilGroup, start: int, new: bytes) -> StencilGroup:
    body = group.code.body
    return replace(group, code=replace(group.code, body=body[:start] + new + body[start + len(new) :]))


def patch_changed(group: StencilGroup, patch: Patch, new: Patch) -> StencilGroup:
    patches = tuple(new if one is patch else one for one in group.code.patches)
    return replace(group, code=replace(group.code, patches=patches))


def free(op: Operation) -> range:
    """Say which bytes of an instruction are no hole."""
    return range(op.size) if not op.patches else range(min(offset for offset, _ in op.patches))


def bit_flip(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    op = seed.choice(ops)
    where = free(op)
    if not where:
        return None
    place = op.offset + seed.choice(where)
    return bytes_changed(group, place, bytes((group.code.body[place] ^ 1 << seed.randrange(8),)))


def dropped(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Leave an instruction out: a store, a load, an argument's set-up, a saved register."""
    return leave_out(group, ops, b"\x90", seed)


def leave_out(group: StencilGroup, ops: list[Operation], nop: bytes, seed: random.Random) -> StencilGroup | None:
    found = [op for op in ops if not op.patches and not JUMPS.fullmatch(op.name) and op.name != "nop"]
    if not found:
        return None
    op = seed.choice(found)
    return bytes_changed(group, op.offset, nop * (op.size // len(nop)))


def number(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Change an immediate or a displacement by a little."""
    found = [(op, place) for op in ops for place in op.places if place[1] and not op.patches and op.name[0] != "j"]
    if not found:
        return None
    op, (start, _) = seed.choice(found)
    place = op.offset + start
    return bytes_changed(group, place, bytes(((group.code.body[place] + seed.choice((-8, -1, 1, 8))) & 255,)))


def condition(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Turn a condition into its opposite, or signed into unsigned."""
    found = []
    for op in ops:
        body = group.code.body[op.offset : op.end]
        for place in range(min(3, len(body))):
            short = body[place] & 0xF0 == 0x70 and place == 0
            wide = place and body[place - 1] == 0x0F and body[place] & 0xF0 in (0x40, 0x80, 0x90)
            if op.name.startswith(("j", "set", "cmov")) and op.name != "jmp" and (short or wide):
                found.append(op.offset + place)
    if not found:
        return None
    place = seed.choice(found)
    other = {2: 12, 3: 13, 6: 14, 7: 15, 12: 2, 13: 3, 14: 6, 15: 7}
    old = group.code.body[place]
    new = old ^ 1 if seed.randrange(2) else old & 0xF0 | other.get(old & 15, old & 15 ^ 1)
    return bytes_changed(group, place, bytes((new,)))


def swapped(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Swap neighbours: two arguments, a load and a store, a comparison and what it compares."""
    found = [
        (one, other)
        for one, other in itertools.pairwise(ops)
        if not one.patches and not other.patches and not any(JUMPS.fullmatch(op.name) for op in (one, other))
    ]
    if not found:
        return None
    one, other = seed.choice(found)
    body = group.code.body
    return bytes_changed(group, one.offset, body[other.offset : other.end] + body[one.offset : one.end])


def register(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Change the register field of a ModRM byte."""
    found = [
        op for op in ops if op.size >= 2 and op.name in ("mov", "lea", "add", "sub", "cmp", "and", "or", "test", "xor")
    ]
    found = [op for op in found if len(free(op)) == op.size]
    if not found:
        return None
    op = seed.choice(found)
    start = op.offset + (2 if group.code.body[op.offset] & 0xF0 == 0x40 and op.size > 2 else 1)
    return bytes_changed(group, start, bytes((group.code.body[start] ^ seed.choice((8, 16, 32, 1, 2)),)))


def hole(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Patch in something else: another symbol, value or addend."""
    if not group.code.patches:
        return None
    patch = seed.choice(list(group.code.patches))
    if patch.form is PatchForm.VOID:
        return None
    if patch.symbol is not None:
        others = [one.symbol for one in group.patches if one.symbol and one.symbol != patch.symbol]
        return patch_changed(group, patch, replace(patch, symbol=seed.choice([*others, "PyDict_Type", "PyLong_Type"])))
    if seed.randrange(2) and patch.value not in (HoleValue.JUMP_TARGET, HoleValue.ERROR_TARGET, HoleValue.CONTINUE):
        return patch_changed(group, patch, replace(patch, addend=patch.addend + seed.choice((1, 8, -8))))
    pairs = {HoleValue.JUMP_TARGET: HoleValue.ERROR_TARGET, HoleValue.ERROR_TARGET: HoleValue.JUMP_TARGET}
    value = pairs.get(patch.value, HoleValue.OPERAND1 if patch.value is not HoleValue.OPERAND1 else HoleValue.OPERAND0)
    return patch_changed(group, patch, replace(patch, value=value))


def aarch64_dropped(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Leave an instruction out."""
    return leave_out(group, ops, bytes.fromhex("1f2003d5"), seed)


def encoded(
    group: StencilGroup,
    ops: list[Operation],
    names: str,
    seed: random.Random,
    change: Callable[[int], int],
    *,
    holes: bool = False,
) -> StencilGroup | None:
    """Change the encoding of an instruction of aarch64 whose name matches; `holes` are in other bits of it."""
    found = [op for op in ops if re.fullmatch(names, op.name) and (holes or not op.patches)]
    if not found:
        return None
    op = seed.choice(found)
    word = int.from_bytes(group.code.body[op.offset : op.end], "little")
    return bytes_changed(group, op.offset, (change(word) & 0xFFFF_FFFF).to_bytes(4, "little"))


def aarch64_number(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Change an immediate or an offset by a little: bits 10 to 21, which others use for a shift or a register."""
    return encoded(
        group, ops, "(ld|st).*|adds?|subs?|cmp|cmn", seed, lambda word: word + seed.choice((1, -1, 2)) * 1024
    )


def aarch64_moved(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Change a constant: bits 5 to 20 of movz, movn and movk."""
    return encoded(group, ops, "mov[zkn]?", seed, lambda word: word ^ 1 << seed.randrange(5, 21))


def aarch64_condition(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Turn a condition into another one: of a branch in bits 0 to 3, or bit 24; of a choice in bits 12 to 15."""
    bit, names = seed.choice(
        ((0, r"b\.\w+"), (3, r"b\.\w+"), (24, "cbn?z|tbn?z"), (12, "cs.*|cinc|cinv"), (15, "ccm[pn]"))
    )
    return encoded(group, ops, names, seed, lambda word: word ^ 1 << bit, holes=True)


def aarch64_register(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Change a bit of a register's number: Rd, Rn or Rm."""
    bit = seed.choice((0, 5, 16)) + seed.randrange(5)
    return encoded(group, ops, "(ld|st).*|mov|add|sub|cmp|and|orr|tst|eor", seed, lambda word: word ^ 1 << bit)


def aarch64_width(group: StencilGroup, ops: list[Operation], seed: random.Random) -> StencilGroup | None:
    """Change the width, or the sign, of a load or a store, or the width of a calculation."""
    if seed.randrange(2):
        return encoded(group, ops, "ldu?r.*|stu?r.*", seed, lambda word: word ^ 1 << seed.choice((22, 23, 30, 31)))
    return encoded(group, ops, "adds?|subs?|cmp|and|orr|eor|tst|lsl|lsr|asr", seed, lambda word: word ^ 1 << 31)


Kind = Callable[[StencilGroup, list[Operation], random.Random], StencilGroup | None]
JUMPS = re.compile(r"j.*|b|b\..*|br|ret|cbn?z|tbn?z")
TRIES = 100  # then the next kind is made: a few stencils may have nothing for this one
X86 = (bit_flip, dropped, number, condition, swapped, register, hole)
AARCH64 = (
    *(bit_flip, aarch64_dropped, aarch64_number, aarch64_moved, aarch64_condition, swapped, aarch64_register),
    *(aarch64_width, hole),
)
KINDS: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        arch: {one.__name__.removeprefix("aarch64_"): one for one in kinds}
        for arch, kinds in (("x86_64", X86), ("i686", X86), ("aarch64", AARCH64))
    }
)


def mutants(groups: list[StencilGroup], arch: str, count: int, seed: int) -> list[tuple[StencilGroup, Mutant]]:
    """Make mutants of stencils, each kind as often as the others."""
    seeded = random.Random(seed)
    found: list[tuple[StencilGroup, Mutant]] = []
    kinds = itertools.cycle(sorted(KINDS[arch].items()))
    while len(found) < count:
        name, kind = next(kinds)
        for _ in range(TRIES):
            group = seeded.choice(groups)
            made = kind(group, list(disassemble.operations(group.code, arch)), seeded)
            if made is not None and made != group:
                found.append((group, Mutant(name, made)))
                break
    return found
