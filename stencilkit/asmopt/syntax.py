"""How an architecture and an object format spell assembly, as far as the passes need to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stencilkit.asmopt.graph import Kind
from stencilkit.model.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionSet:
    """An architecture's instructions, as rows.

    `patterns` are tried in order; each may have the groups `mnemonic`, `target` and `register`. `inverses` maps a
    branch to the one with the opposite condition (None: there is none). `short_branches` are those that may not reach
    beyond a uop. `relocations` names the hole that stands for a branch out of the uop, where the assembler cannot
    write a relocation for it. `frame_pointer` matches what sets a frame pointer up. `control` matches everything that
    may go elsewhere; of that, what fits no pattern must be `indirect`.
    """

    patterns: tuple[tuple[Kind, re.Pattern[str]], ...]
    inverses: Mapping[str, str | None]
    short_branches: frozenset[str]
    relocations: Mapping[str, str]
    frame_pointer: re.Pattern[str]
    control: re.Pattern[str]
    indirect: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """An instruction set in the spelling of an object format."""

    instructions: InstructionSet
    label_prefix: str
    symbol_prefix: str
    entry: re.Pattern[str]

    @classmethod
    def of(cls, target: Target, instructions: InstructionSet) -> Syntax:
        """Make the syntax for a target."""
        return cls(
            instructions=instructions,
            label_prefix=target.label_prefix,
            symbol_prefix=target.symbol_prefix,
            entry=_ENTRIES[target.entry_directive],
        )

    @property
    def continue_label(self) -> str:
        """Name the local label at which the next uop starts."""
        return f"{self.label_prefix}_JIT_CONTINUE"

    def is_far(self, label: str) -> bool:
        """Return whether a label is outside the uop."""
        return not label.startswith(self.label_prefix)


_ENTRIES = {
    ".globl": re.compile(r'\s*\.globl\s+(?P<label>[\w."$?@]+)(\s+.*)?'),
    ".def": re.compile(r'\s*\.def\s+(?P<label>[\w."$?@]+);'),
}
