"""One run of clang's front end for all units that are compiled with the same dead code.

The text of such units (CPython 3.13: a switch with a case for every uop) is the same but for one number, the uop's own,
which a local variable is set to. Reading 160 KB of C takes the front end 80 ms a unit, and LLVM needs 25 ms for the
rest. So the front end reads it once, with a number that no uop has, and each unit is that LLVM IR with its own number
in that place: what clang would make of the unit's text, before anything is optimised.

clang's `-x ir` goes on from there with the same passes in the same order. What LLVM IR as text does not keep is the
names of values (which decide nothing) and the order in which uses of a value are listed (which can decide an order);
that the bytes are those of the C text is what tests/oracle/test_splicing.py compares, for every uop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stencilkit.compiler import live
from stencilkit.model.source import OPCODE, Unit

# What a unit is called that is no uop's: a number that no uop has, and that no CPython mentions.
_NUMBER: Final = "1936290931"
_TELLING: Final = re.compile(rf"^(?:;[^\n]*\n)?define [^\n]*@{live.TELLING}\(.*?^}}\n", re.MULTILINE | re.DOTALL)
# Of the template's `int uopcode = _JIT_OPCODE;`.
_STORE: Final = re.compile(rf"^  store i32 ({_NUMBER}), ptr %", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Front:
    """What the front end made of a text that units share: `before` and `after` the number; theirs, by name."""

    text: str
    before: str
    after: str
    numbers: Mapping[str, str]

    def is_of(self, unit: Unit) -> bool:
        """Return whether a unit is one of them."""
        return unit.name in self.numbers and unit.body == self.text

    def ir(self, name: str) -> str:
        """Give the LLVM IR of a unit."""
        return f"{self.before}{self.numbers[name]}{self.after}"


def asking(unit: Unit, names: Sequence[str]) -> Unit | None:
    """Let a unit with all of its dead code be no uop's, and say the numbers of some uops; None where it is not so easy.

    Where the number is mentioned more than once, the front end may work out something of it itself.
    """
    if unit.body.count(OPCODE) != 1 or _NUMBER in unit.body:
        return None
    return replace(live.telling(unit, names), name=_NUMBER)


def read(ir: str, unit: Unit, names: Sequence[str]) -> Front | None:
    """Read what the front end made of a unit, `asking`; None where it is not understood."""
    told = _TELLING.findall(ir)
    numbers = live.NUMBER.findall("".join(told))
    rest = _TELLING.sub("", ir)
    store = _STORE.search(rest)
    if len(told) != 1 or len(numbers) != len(names) or store is None or rest.count(_NUMBER) != 1:
        return None
    return Front(unit.body, rest[: store.start(1)], rest[store.end(1) :], dict(zip(names, numbers, strict=True)))
