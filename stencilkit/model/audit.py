"""What an audit looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from stencilkit.model.stencil import Stencil, StencilGroup, StencilSet
from stencilkit.model.target import Target

RuleOutcome = Literal["passed", "noted", "failed", "not asked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One operand of an instruction: a register, a number, or memory.

    Registers have the name of the whole register. Memory is at `register` + `index` (scaled) + `number`, each "" or 0
    if there is none. `size` is in bytes, as far as it is known.
    """

    kind: Literal["register", "number", "memory", "other"]
    register: str = ""
    index: str = ""
    number: int = 0
    size: int = 0
    read: bool = False
    written: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One instruction, as far as a rule asks.

    `offset` is in bytes from the start of the code. `reads` and `writes` are the registers that it reads and writes,
    under the names of the whole registers (rax for al, x0 for w0); memory is in `arguments` only. `groups` are the
    disassembler's: instruction sets, kinds of branches. `displacement` and `immediate` are where these are in an x86
    instruction, as offset in it and size, whose size is 0 if there is none. `goes` is where a direct jump or call goes
    before anything is patched, None for anything else. `known` is False for bytes that are not an instruction.
    """

    offset: int
    encoding: bytes
    mnemonic: str
    operands: str
    arguments: tuple[Argument, ...]
    reads: frozenset[str]
    writes: frozenset[str]
    groups: frozenset[str]
    displacement: tuple[int, int]
    immediate: tuple[int, int]
    goes: int | None
    known: bool

    @property
    def text(self) -> str:
        """Spell it."""
        return f"{self.mnemonic} {self.operands}".strip()

    @property
    def end(self) -> int:
        """Return the offset of what follows it."""
        return self.offset + len(self.encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The external symbols that stencils may use, and the evidence for that.

    `symbols` are those that each uop's sources can reach; a name that is missing stands for none. `proven` is
    False where only the stencils' own manifest vouches for them. `problem` says what was compared and differs.
    """

    by: str
    proven: bool
    symbols: Mapping[str, frozenset[str]] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What is audited: stencils, how to decode their code, the target, and the header's line 2.

    `reserved_frame_pointer` says that this CPython's stencils must leave rbp or x29 alone. `isa` is the instruction set
    that they may use, `cpu` the processor and the features that the manifest names (None if it names none). `size` and
    `baseline` are the bytes of code and data together, of these stencils and of those they replace (None where nothing
    was given); `allowed_growth` is in percent. `entered` are the stencils that are entered through a register or
    memory, None where that is not known, which means all.
    """

    stencils: StencilSet
    target: Target
    line2: str
    decode: Callable[[Stencil], tuple[Decoded, ...]]
    reserved_frame_pointer: bool
    isa: str
    cpu: tuple[str, tuple[str, ...]] | None
    references: References
    baseline: int | None
    allowed_growth: float
    entered: frozenset[str] | None = None

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
    """Something that a rule objects to: the stencil ("" for the header itself), and what.

    A `weak` one is a note, unless its rule is demanded.
    """

    stencil: str
    what: str
    weak: bool = False
    waived: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What one rule found. `refs` are the issues that it comes from; findings that are waived carry the reason."""

    rule: str
    refs: str
    why: str
    outcome: RuleOutcome
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A finding that somebody accepts: rule, stencil (fnmatch), the reason, and the last day (ISO 8601)."""

    rule: str
    stencil: str
    why: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All rules for one header, and waivers that did not serve any more, with the reason."""

    subject: str
    results: tuple[RuleResult, ...]
    stale: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether there were rules and none of them failed."""
        return bool(self.results) and all(result.outcome != "failed" for result in self.results)
