"""The rules about what the code of a stencil does, wherever it can lead."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from stencilkit.audit.examined import Examined
from stencilkit.audit.machine import RELAXED_PAIR, WORD, Event, places
from stencilkit.audit.values import Atom
from stencilkit.model.audit import Audited, Decoded

_CANARY_SLOT: Final = re.compile(r"[fg]s:\[0x(?:28|14)\]")
_PAGE: Final = re.compile(r"(?:[re]sp, 0x1000|sp, sp, #(?:1, lsl #12|0x1000))")
_TOUCH: Final = re.compile(r"^(?:mov|or) [dq]word ptr \[[re]sp\], 0$|^str xzr, \[sp\]$")
_FRAME_POINTERS: Final = frozenset({"rbp", "x29"})
# Privileged, system and far instructions: Intel SDM volume 2, Arm ARM section C3.1 (exception generating and system).
_X86_FORBIDDEN: Final = """
    syscall sysenter sysexit sysexitq sysret sysretq int into in out insb insd insw outsb outsd outsw hlt cli sti
    lgdt lidt lldt ltr lmsw invlpg invd wbinvd wrmsr rdmsr swapgs clts iret iretd iretq retf retfq ljmp lcall
    vmcall vmlaunch xsetbv xbegin enclu wrfsbase wrgsbase wrpkru
"""
# brk, like x86's ud2 and int3, is what compilers put where nothing may come.
_ARM_FORBIDDEN: Final = "svc hvc smc eret msr dcps1 dcps2 dcps3 hlt wfi wfe sev"
FORBIDDEN: Final = frozenset(_X86_FORBIDDEN.split()) | frozenset(_ARM_FORBIDDEN.split())
_LANDING_PADS: Final = frozenset({"endbr64", "endbr32", "bti", "paciasp", "pacibsp"})
# A signed return address is good for more than landing.
_ONLY_PADS: Final = frozenset({"endbr64", "endbr32", "bti"})
# What compilers put between functions and behind calls that do not return.
_PADDING: Final = re.compile(r"nop|int3|ud2|udf|brk")
_OWN: Final = frozenset({"code", "data", "row", "page", "target"})
_OPERANDS: Final = re.compile(r"OPERAND[01]?(?:_LO)?")
# A jump with a 16-bit operand, which Intel's and AMD's processors read as instructions of different lengths: by
# architecture. Prefixes, one of them 66; then call, jmp, jcc, loop or ret.
_SIXTEEN_BITS: Final = re.compile(
    rb"[\x26\x2e\x36\x3e\x64\x65\xf2\xf3]*\x66[\x26\x2e\x36\x3e\x64\x65\x66\xf2\xf3\x40-\x4f]*"
    rb"(?:[\xe8\xe9\xeb\x70-\x7f\xe0-\xe3\xc2\xc3]|\x0f[\x80-\x8f])"
)
_AMBIGUOUS: Final = {"x86_64": _SIXTEEN_BITS, "i686": _SIXTEEN_BITS, "aarch64": re.compile(rb"(?!)")}


def at(item: Decoded) -> str:
    """Spell an instruction with its place."""
    return f"at {item.offset:#x}: {item.text}"


def canaries(stencil: Examined) -> Iterator[str]:
    """Find loads of a stack canary."""
    return (at(item) for item in stencil.code if _CANARY_SLOT.search(item.operands))


def probes(stencil: Examined) -> Iterator[str]:
    """Find probes of the stack's next page."""
    for before, item in itertools.pairwise(stencil.code):
        if before.mnemonic == "sub" and _PAGE.search(before.operands) and _TOUCH.match(item.text):
            yield at(item)


def frame_pointer(stencil: Examined) -> Iterator[str]:
    """Find writes to the frame pointer."""
    return (at(item) for item in stencil.code if item.writes & _FRAME_POINTERS)


def forbidden(stencil: Examined) -> Iterator[str]:
    """Find instructions that no program needs."""
    return (at(item) for item in stencil.code if item.mnemonic.split(" ")[-1] in FORBIDDEN)


def data_in_code(stencil: Examined) -> Iterator[str]:
    """Find bytes that are not an instruction."""
    unknown = [item for item in stencil.code if not item.known]
    if unknown:
        yield f"{len(unknown)} times, from {at(unknown[0])}"
    if stencil.followed.table < stencil.unit.end:
        yield f"a jump table from {stencil.followed.table:#x}"


def strays(stencil: Examined) -> Iterator[str]:
    """Find direct jumps and calls out of the stencil that nothing patches; its end is where the next one begins."""
    for item in stencil.code:
        if item.goes is not None and not _patched(stencil, item) and not 0 <= item.goes <= stencil.unit.end:
            yield at(item)


def landing_pads(audited: Audited, stencil: Examined) -> Iterator[str]:
    """Find what is entered through a register or memory, and does not begin with what such a jump must find."""
    if _is_entered(audited, stencil) and stencil.code and not _is_pad(stencil.code[0]):
        yield f"its first instruction is {stencil.code[0].text}"
    places = {item.offset: item for item in stencil.code}
    for event in stencil.followed.events:
        if event.kind != "jump" or event.instruction.mnemonic.startswith("notrack"):
            continue
        for atom in event.value:
            rows = stencil.unit.rows(atom.name) if atom.base in ("table", "entry") else []
            if not all(row in places and _is_pad(places[row]) for row in rows):
                yield f"a jump table leads to what is not a landing pad, {at(event.instruction)}"
            # Where CPython's jit.c may relax it, it always does: the trace is one piece of memory.
            if atom.base == "target" and event.instruction.goes is None and not _patched(stencil, event.instruction):
                yield f"another stencil is jumped to through a register, {at(event.instruction)}"


def needless_pads(audited: Audited, stencil: Examined) -> Iterator[str]:
    """Find landing pads of stencils that are only jumped to directly, or run into."""
    if not _is_entered(audited, stencil) and stencil.code and stencil.code[0].mnemonic in _ONLY_PADS:
        yield f"it begins with {stencil.code[0].text}, and nothing enters it through a register"


def _is_entered(audited: Audited, stencil: Examined) -> bool:
    return audited.entered is None or stencil.group.name in audited.entered


def _is_pad(item: Decoded) -> bool:
    return item.mnemonic in _LANDING_PADS


def _patched(stencil: Examined, item: Decoded) -> bool:
    return any(place in stencil.unit.code for place in range(item.offset, item.end))


def decodings(stencil: Examined) -> Iterator[str]:
    """Find code that reads as one thing from its start, and as another from where something jumps."""
    if stencil.followed.given_up:
        yield "its jumps are more intricate than can be followed"
    table = stencil.followed.table
    if table < stencil.unit.end and (max(stencil.followed.reached) >= table or stencil.code[-1].end != table):
        yield f"its code runs into the jump table at {table:#x}"
    middles = {item.offset: item.goes for item in stencil.code if item.goes is not None and not _patched(stencil, item)}
    middles |= {item.offset: place for item, place in stencil.followed.astray}
    for offset, place in sorted(middles.items()):
        if place not in stencil.starts and 0 <= place < stencil.unit.end:
            yield f"the jump at {offset:#x} leads into the middle of an instruction, to {place:#x}"
    for item in stencil.code:
        reached = item.offset in stencil.followed.reached
        if reached and not item.known:
            yield f"bytes that are not an instruction can be reached, {at(item)}"
        elif item.known and not reached and not _PADDING.match(item.mnemonic):
            yield f"nothing leads to the instruction {at(item)}"
        elif _AMBIGUOUS[stencil.arch].match(item.encoding):
            yield f"processors differ on a jump with a 16-bit operand, {at(item)}"


def targets(stencil: Examined) -> Iterator[str]:
    """Find jumps, calls and returns to what is not the start of some code, and ways out with another stack."""
    for event in stencil.followed.events:
        if event.kind == "store":
            continue
        wrong = [atom for atom in event.value if not _may_run(stencil, event, atom)]
        if wrong:
            yield f"{_named(wrong)} may run, {at(event.instruction)}"
        elif not _balanced(stencil, event):
            yield f"the stack is not as it was found, {at(event.instruction)}"


def _may_run(stencil: Examined, event: Event, atom: Atom) -> bool:
    if event.kind == "return":
        # Where the caller is, or on aarch64 behind a call.
        return atom == Atom("state", "", 0) or (atom.base == "code" and atom.offset in stencil.starts)
    if atom.base == "code":
        return atom.offset in stencil.starts or atom.offset == stencil.unit.end
    if atom.base in ("table", "entry"):
        return atom.offset == 0 and bool(stencil.unit.rows(atom.name))
    if atom.base == "operand":
        return atom.offset == 0 and event.kind == "call" and _OPERANDS.fullmatch(atom.name) is not None
    return atom.base in ("state", "symbol", "target") and atom.offset == 0


def _named(atoms: list[Atom]) -> str:
    words = {
        "state": "an address that is computed",
        "const": "a constant address",
        "code": "its own code at no instruction",
        "data": "its data",
        "row": "its data",
        "page": "its data",
        "table": "what is not a jump table",
        "entry": "what is not a jump table",
        "stack": "the stack",
        "slot": "the slot of a symbol",
        "operand": "an operand",
        "signed": "a signed address",
        "symbol": "the middle of a symbol",
        "target": "the middle of another stencil",
    }
    return " or ".join(
        sorted({words[atom.base] + (f" ({atom.name})" if atom.base == "symbol" else "") for atom in atoms})
    )


def _balanced(stencil: Examined, event: Event) -> bool:
    found = event.stack == frozenset({Atom("stack", "", 0)})
    if found or event.kind == "call":
        return True
    if event.kind == "return" and any(atom.base == "code" for atom in event.value):
        # Back from a function within the stencil.
        return True
    # To a symbol: a jump on the way of a call, which CPython 3.13's trampolines are.
    return event.kind == "jump" and all(
        atom.base == "symbol"
        or (atom.base == "code" and atom.offset != stencil.unit.end)
        or atom.base in ("table", "entry")
        for atom in event.value
    )


def writable_data(stencil: Examined) -> Iterator[str]:
    """Find stores to what is read-only when it runs, and addresses of it that cannot be followed."""
    for event in stencil.followed.events:
        if event.kind != "store":
            continue
        hit = sorted({atom.base for atom in event.value if atom.base in _OWN or atom.base in ("table", "entry")})
        if hit:
            yield f"it writes to its {'code' if hit[0] in ('code', 'target') else 'data'}, {at(event.instruction)}"
        elif any(atom.base != "stack" for atom in event.value) and any(atom.base in _OWN for atom in event.stored):
            yield f"it keeps an address of its own in memory, {at(event.instruction)}"


def relaxed_pairs(stencil: Examined) -> Iterator[str]:
    """Find branches into a pair that is rewritten as one, and instructions between that use its register."""
    pairs = {places(patch) for _, patch in stencil.patches if patch.func == RELAXED_PAIR}
    if not pairs:
        return
    led_to = {item.goes for item in stencil.code if not _patched(stencil, item)}
    led_to |= {atom.offset for event in stencil.followed.events for atom in event.value if atom.base == "code"}
    for place in stencil.unit.data:
        led_to.update(stencil.unit.data_rows(place))
    by_place = {item.offset: item for item in stencil.code}
    for first, second in sorted(pairs):
        inside = sorted(place for place in led_to if place is not None and first < place <= second)
        register = next(iter(by_place[first].writes), "") if first in by_place else ""
        if inside or first >= second:
            yield f"a branch leads between the halves of the load at {first:#x} and {second:#x}, to {inside or [first]}"
            continue
        for place in range(first + WORD, second, WORD):
            item = by_place.get(place)
            if item is None or register in item.reads | item.writes or item.goes is not None or "jump" in item.groups:
                yield f"{item.text if item else 'data'} is between the halves of the load at {first:#x} and {second:#x}"
