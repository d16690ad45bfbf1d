"""What an audit looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stencilkit.model.stencil import Patch, StencilGroup, StencilSet
from stencilkit.model.target import Target

Outcome = Literal["passed", "noted", "failed", "not asked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One instruction, as far as a gate asks.

    `writes` are the registers that it writes, under the disassembler's names. `goes` is where a direct jump or call
    goes, in bytes from the start of the code, None for anything else. `known` is False for bytes that are no
    instruction. `patches` are those that lie in it.
    """

    offset: int
    mnemonic: str
    operands: str
    writes: frozenset[str]
    writes_memory: bool
    goes: int | None
    known: bool
    patches: tuple[Patch, ...]

    @property
    def text(self) -> str:
        """Spell it."""
        return f"{self.mnemonic} {self.operands}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What is audited: stencils, their decoded code, the target, and the header's line 2.

    `reserved_frame_pointer` says that this CPython's stencils must leave rbp or x29 alone. `size` and `baseline` are
    the bytes of code and data together, of these stencils and of those they replace (None where nothing was given);
    `allowed_growth` is in percent.
    """

    stencils: StencilSet
    target: Target
    line2: str
    code: Mapping[str, tuple[Decoded, ...]]
    reserved_frame_pointer: bool
    baseline: int | None
    allowed_growth: float

    @property
    def size(self) -> int:
        """Add up code and data, in bytes."""
        return total_bytes(self.stencils)


def total_bytes(stencils: StencilSet) -> int:
    """Add up code and data of all stencils, in bytes."""
    return sum(_bytes(group) for group in stencils.groups)


def _bytes(group: StencilGroup) -> int:
    return len(group.code.body) + len(group.data.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a gate objects to: the stencil ("" for the header itself), and what.

    A `weak` one is a note, unless its gate is demanded.
    """

    stencil: str
    what: str
    weak: bool = False
    waived: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What one gate said. `refs` are the issues that it comes from; findings that are waived carry the reason."""

    gate: str
    refs: str
    why: str
    outcome: Outcome
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A finding that somebody accepts: gate, stencil (fnmatch), the reason, and the last day (ISO 8601)."""

    gate: str
    stencil: str
    why: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All gates for one header, and waivers that did not serve any more, with the reason."""

    subject: str
    results: tuple[GateResult, ...]
    stale: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Tell whether there were gates and none objects."""
        return bool(self.results) and all(result.outcome != "failed" for result in self.results)
