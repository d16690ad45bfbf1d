"""aarch64: branches that cross uops, and constants that the JIT patches without a relocation."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from stencilkit.asmopt.graph import Block, Code, Instruction, Kind
from stencilkit.asmopt.syntax import InstructionSet, Syntax

# https://developer.arm.com/documentation/dui0801/b/CJAJIHAD
_CONDITIONS: Final = {
    "eq": "ne",
    "lt": "ge",
    "gt": "le",
    "vs": "vc",
    "mi": "pl",
    "cs": "cc",
    "hs": "lo",
    "hi": "ls",
}
_BOTH_WAYS: Final = _CONDITIONS | {inverse: condition for condition, inverse in _CONDITIONS.items()}
_LONG: Final[dict[str, str | None]] = {
    **{f"b.{condition}": f"b.{inverse}" for condition, inverse in _BOTH_WAYS.items()},
    **{f"bc.{condition}": f"bc.{inverse}" for condition, inverse in _BOTH_WAYS.items()},
    "cbz": "cbnz",
    "cbnz": "cbz",
}
# 14 bits of offset, 32 KiB: enough within a uop, not within a trace.
_SHORT: Final[dict[str, str | None]] = {"tbz": "tbnz", "tbnz": "tbz"}
_INVERSES: Final = _LONG | _SHORT
_MNEMONICS: Final = "|".join(name.replace(".", r"\.") for name in _INVERSES)
_OPERAND: Final = r"(?P<target>_JIT_OP(?:ARG|ERAND(?:0|1))_(?:16|32))"

_END: Final = r"(?=\s*(?:$|//|;))"

INSTRUCTIONS: Final = InstructionSet(
    patterns=(
        (Kind.BRANCH, re.compile(rf"\s*(?P<mnemonic>{_MNEMONICS})\s+(?:.+,\s+)*(?P<target>[\w.]+){_END}")),
        (Kind.JUMP, re.compile(rf"\s*(?P<mnemonic>b)\s+(?P<target>[\w.]+){_END}")),
        (Kind.CALL, re.compile(r"\s*(?P<mnemonic>blx?)\s+(?P<target>[\w.]+)")),
        (Kind.RETURN, re.compile(r"\s*ret\b")),
        (Kind.SMALL_CONST_1, re.compile(rf"\s*(?P<mnemonic>adrp)\s+(?P<register>x\d\d?),.*{_OPERAND}")),
        (Kind.SMALL_CONST_2, re.compile(rf"\s*(?P<mnemonic>ldr)\s+(?P<register>x\d\d?),.*{_OPERAND}")),
        (
            Kind.SMALL_CONST_MASK,
            re.compile(r"\s*(?P<mnemonic>and)\s+[xw]\d\d?, *(?P<register>[xw]\d\d?).*(?P<target>0xffff)"),
        ),
        (
            Kind.LARGE_CONST_1,
            re.compile(r"\s*(?P<mnemonic>adrp)\s+(?P<register>x\d\d?),.*:got:(?P<target>[_A-Za-z0-9]+)"),
        ),
        (
            Kind.LARGE_CONST_2,
            re.compile(r"\s*(?P<mnemonic>ldr)\s+(?P<register>x\d\d?),.*:got_lo12:(?P<target>[_A-Za-z0-9]+)"),
        ),
    ),
    inverses=_INVERSES,
    short_branches=frozenset(_SHORT),
    # Mach-O has no relocation for a conditional branch to another uop; a label marks the place instead, everywhere.
    relocations=dict.fromkeys(_LONG, "CUSTOM_AARCH64_BRANCH19"),
    frame_pointer=re.compile(r"\s*stp\s+x29.*"),
    control=re.compile(r"\s*(?:bc?\.|(?:b|br(?:a[ab]z?)?|[ct]bn?z)\b)"),
    indirect=re.compile(r"\s*br(?:a[ab]z?)?\s+x\d"),
)

_CONST: Final = "CUSTOM_AARCH64_CONST"


def finish(code: Code, syntax: Syntax) -> Code:
    """Mark branches out of the uop, then constants."""
    return mark_constants(mark_external_branches(code, syntax))


def _label(text: str) -> Instruction:
    return Instruction(Kind.LABEL, "", f"{text}:")


def mark_external_branches(code: Code, syntax: Syntax) -> Code:
    """Put a label that names hole and target before every conditional branch out of the uop.

    Before: `b.eq _JIT_ERROR_TARGET`. After: `CUSTOM_..._JIT_RELOCATION__JIT_ERROR_TARGET_JIT_RELOCATION_3:`, `b.eq 0`.
    """
    return code.with_blocks(_mark_branch(block, index, syntax) for index, block in enumerate(code.blocks))


def _mark_branch(block: Block, index: int, syntax: Syntax) -> Block:
    if block.target is None or not block.falls_through or block.last.kind is Kind.CALL:
        return block
    relocation = syntax.instructions.relocations.get(block.last.mnemonic)
    if relocation is None or not syntax.is_far(block.target):
        return block
    name = block.target[len(syntax.symbol_prefix) :]
    marker = _label(f"{syntax.symbol_prefix}{relocation}_JIT_RELOCATION_{name}_JIT_RELOCATION_{index}")
    return replace(block, instructions=(*block.instructions[:-1], marker, block.last.retarget("0")))


def mark_constants(code: Code) -> Code:
    """Fold loads of small operands into movz/movk, and mark pairs that load from a slot.

    Within a block, per register. Before: `adrp x8, :got:_JIT_OPARG_16`, `ldr x8, [x8, :got_lo12:_JIT_OPARG_16]`.
    After: a label that names the hole, `movz x8, 0`.
    """
    counter = _Counter()
    return code.with_blocks(
        replace(block, instructions=tuple(_Constants(counter).rewrite(block.instructions))) for block in code.blocks
    )


class _Counter:
    """Numbers the labels of one uop."""

    def __init__(self) -> None:
        self.value = 0

    def next(self) -> int:
        self.value += 1
        return self.value - 1


class _Constants:
    """The state of one block: for each register, which half of a constant it was given."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._out: list[Instruction] = []
        # Where in the output a first half starts (its label); None once the register may have been used.
        self._small_first: dict[str, int | None] = {}
        self._large_first: dict[str, int | None] = {}
        # Whether a register holds a whole small constant.
        self._small_whole: dict[str, bool] = {}

    def rewrite(self, instructions: tuple[Instruction, ...]) -> list[Instruction]:
        """Rewrite a block's instructions."""
        for instruction in instructions:
            register = instruction.register or ""
            match instruction.kind:
                case Kind.SMALL_CONST_1:
                    self._begin(instruction, register, small=True)
                case Kind.LARGE_CONST_1:
                    self._begin(instruction, register, small=False)
                case Kind.SMALL_CONST_2:
                    first = self._small_first.get(register)
                    self._small_first[register] = None
                    if first is None:
                        self._out.append(instruction)
                    else:
                        self._small_whole[register] = self._fold_small(first, instruction)
                case Kind.SMALL_CONST_MASK if self._small_whole.get(register):
                    # The constant has no more bits than the mask keeps: only a move remains, if that.
                    if not _same_register(instruction):
                        self._out.append(instruction)
                case Kind.LARGE_CONST_2:
                    self._small_first[register] = None
                    self._small_whole[register] = False
                    first = self._large_first.get(register)
                    self._large_first[register] = None
                    self._mark_large(first, instruction)
                case Kind.SMALL_CONST_MASK:
                    self._out.append(instruction)
                case _:
                    self._forget(instruction)
                    self._out.append(instruction)
        return self._out

    def _begin(self, instruction: Instruction, register: str, *, small: bool) -> None:
        start = len(self._out)
        self._small_first[register] = start if small else None
        self._large_first[register] = None if small else start
        self._small_whole[register] = False
        note = f"_{register}" if small else ""
        self._out += [_label(f"jit_temp_{self._counter.next()}{note}"), instruction]

    def _fold_small(self, start: int, second: Instruction) -> bool:
        """Replace both halves by movz (and movk); say whether that was possible."""
        first = self._out[start + 1]
        target = str(first.target)
        if target != second.target or not _same_register(second):
            self._out.append(second)
            return False
        register = first.register
        before = first.text.partition(first.mnemonic)[0]
        self._out[start] = self._hole("16a", target)
        self._out[start + 1] = Instruction(Kind.OTHER, "movz", f"{before}movz {register}, 0", register=register)
        if target.endswith("32"):
            before = second.text.partition(second.mnemonic)[0]
            self._out.append(self._hole("16b", target))
            move = f"{before}movk {register}, 0, lsl #16"
            self._out.append(Instruction(Kind.OTHER, "movk", move, register=register))
        return True

    def _hole(self, part: str, target: str) -> Instruction:
        field = target[: -len("_16")]
        number = self._counter.next()
        return _label(f"{_CONST}{part}_JIT_RELOCATION_CONST{field}_JIT_RELOCATION_{number}")

    def _mark_large(self, start: int | None, second: Instruction) -> None:
        first = self._out[start + 1] if start is not None else None
        if start is not None and first is not None and first.target == second.target:
            number = self._counter.next()
            self._out[start] = _label(f"{_CONST}33a_JIT_PAIR_{first.target}_JIT_PAIR_{number}")
            self._out.append(_label(f"{_CONST}33b_JIT_PAIR_{second.target}_JIT_PAIR_{number}"))
        self._out.append(second)

    def _forget(self, instruction: Instruction) -> None:
        """Give up on registers that an instruction may use."""
        for register in [name for name in self._small_first if _may_use(instruction, name)]:
            self._small_first[register] = None
            self._large_first[register] = None
            self._small_whole[register] = False


def _same_register(instruction: Instruction) -> bool:
    """Return whether an instruction's one register is both source and destination."""
    register = str(instruction.register)
    if register not in instruction.text:
        register = "w" + register[1:]
    return instruction.text.count(register) == 2


def _may_use(instruction: Instruction, register: str) -> bool:
    """Return whether an instruction mentions a register, in either width.

    Upstream's quirk: x1 is also found in x10; that only gives up more than needed. "0x8" is not x8.
    """
    wide, narrow = f"x{register[1:]}", f"w{register[1:]}"
    if narrow in instruction.text:
        return True
    return instruction.text.count(wide) > instruction.text.count("0" + wide)
