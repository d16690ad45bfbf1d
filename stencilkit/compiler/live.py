"""What the bytes of a uop can depend on, of a function in which all other uops are dead code.

Where dead code decides an order (`phis.py`), a unit is compiled with all of it, and a change to any uop would compile
all such units again. What a change can alter is seen before LLVM propagates constants and deletes the dead cases: that
function is the same for all of them but for the number in one `switch`, so it is compiled once. What can be reached
from there with the number of a uop is all that LLVM goes on with for it: as long as that is the same text, phi nodes in
their order and names of constants with it, dead code has altered nothing.

Numbers of values, blocks, metadata and groups of attributes are counted anew, since they are numbers of places in the
whole function or module. Blocks that are shared keep what they have of live predecessors. All else that is doubtful is
part of the text: so are the names of strings, which have a number for each one before, also of tables, and the numbers
that clang gives to places behind the end of a variable's life.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stencilkit.compiler import phis
from stencilkit.model.source import NO_LINES, Unit

TELLING: Final = "stencilkit_numbers"
_DUMP: Final = re.compile(r"^; \*\*\* IR Dump After CallSiteSplittingPass on (\S+) \*\*\*$", re.MULTILINE)
NUMBER: Final = re.compile(r"^  store volatile i32 (-?\d+), ", re.MULTILINE)
_LABEL: Final = re.compile(r"([\w.]+):")
_CHOICE: Final = re.compile(r"  switch i32 -?\d+, label %([\w.]+) \[")
_CASE: Final = re.compile(r"    i32 (-?\d+), label %([\w.]+)")
_TARGET: Final = re.compile(r"label %([\w.]+)")
_PHI: Final = re.compile(r"  %\S+ = phi ")
_INCOMING: Final = re.compile(r"\[ .+?, %([\w.]+) \]")
_COUNTED: Final = re.compile(r"([%!#]|^)(\d+)(?![\w.])", re.MULTILINE)
# Strings have numbers in the order in which clang made them; the first one has none.
_STRING: Final = re.compile(r"@\.str(?:\.\d+)?")


def telling(unit: Unit, names: Sequence[str]) -> Unit:
    """Let a unit say the numbers of some uops, too, in a function behind all that it has. It is never a stencil."""
    stores = "".join(f"    *to = {name};\n" for name in names)
    return replace(unit, body=f"{unit.body}\nvoid {TELLING}(volatile int *to)\n{{\n{stores}}}\n", short_body=None)


def asking(unit: Unit, names: Sequence[str]) -> Unit:
    """Let a unit with all of its dead code say the numbers of some uops.

    It does not compile where something asks for a line number: in a text, that cannot be seen in a function.
    """
    told = telling(unit, names)
    return replace(told, body=f"{NO_LINES}{told.body}")


def digests(printed: str, names: Sequence[str]) -> Mapping[str, str]:
    """Digest what is live for each uop, of what clang printed of `asking`; nothing where it is not understood.

    Left out is a uop with several constants whose names do not say in which order they were made.
    """
    dumps = _dumps(printed)
    numbers = NUMBER.findall(dumps.pop(TELLING, ""))
    function = _read(dumps.pop(phis.ENTRY, ""))
    if function is None or len(numbers) != len(names):
        return {}
    # What is called is as it was, and in the same order.
    others = hashlib.sha256("".join(f"{name}\n{_counted(text)}" for name, text in dumps.items()).encode())
    found = {}
    for name, number in zip(names, numbers, strict=True):
        text = function.live(number)
        constants = phis.constants(text)
        if len(constants) < 2 or all(map(_STRING.fullmatch, constants)):
            hasher = others.copy()
            hasher.update(_counted(text).encode())
            found[name] = hasher.hexdigest()
    return found


def _dumps(printed: str) -> dict[str, str]:
    """Map functions to what was printed of them, in order; of one that was printed twice, nothing is understood."""
    _, *parts = _DUMP.split(printed)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    return found if 2 * len(found) == len(parts) else {}


@dataclass(frozen=True, slots=True)
class _Function:
    """A function whose entry leads to a `switch` on a number.

    `blocks` are lines by label, in order, that of the first one is ""; `choosing` is the label of the block that ends
    with the switch, `cases` are its labels by number.
    """

    head: str
    blocks: Mapping[str, Sequence[str]]
    choosing: str
    cases: Mapping[str, str]

    def live(self, number: str) -> str:
        """Write what is reached for a number: of one that has no case, everything."""
        blocks = dict(self.blocks)
        if number in self.cases:
            lines = blocks[self.choosing]
            start = next(index for index, line in enumerate(lines) if _CHOICE.match(line))
            blocks[self.choosing] = [*lines[:start], f"  br label %{self.cases[number]}"]
        reached: dict[str, set[str]] = {}
        left = [""]
        while left:
            label = left.pop()
            if label not in reached:
                reached[label] = set(_TARGET.findall("\n".join(blocks[label])))
                left += reached[label]
        found = [self.head]
        for label, inside in blocks.items():
            if label in reached:
                live = {start for start, targets in reached.items() if label in targets}
                found += [f"{label}:", *(_incoming(line, live, blocks) for line in inside)]
        return "\n".join(found)


def _read(text: str) -> _Function | None:
    """Take a function apart; None where it has another shape."""
    head, _, rest = text.partition("{\n")
    body, closed, _ = rest.partition("\n}\n")
    blocks: dict[str, list[str]] = {"": []}
    lines = blocks[""]
    for line in body.split("\n"):
        match = _LABEL.match(line)
        if match:
            lines = blocks[match[1]] = []
        elif line:
            lines.append(line)
    choosing = [(label, match) for label, lines in blocks.items() for match in map(_CHOICE.match, lines) if match]
    if not closed or len(choosing) != 1:
        return None
    label = choosing[0][0]
    targets = {target for lines in blocks.values() for target in _TARGET.findall("\n".join(lines))}
    cases = {match[1]: match[2] for match in map(_CASE.match, blocks[label]) if match}
    return _Function(head, blocks, label, cases) if targets <= blocks.keys() else None


def _incoming(line: str, live: Container[str], blocks: Container[str]) -> str:
    """Leave out of a phi node what comes from dead blocks; of a switch with several ways to the same block, write one.

    The first block has no label; what comes from there stays.
    """
    first = _INCOMING.search(line) if _PHI.match(line) else None
    if first is None:
        return line
    found = _INCOMING.finditer(line)
    kept = dict.fromkeys(match[0] for match in found if match[1] in live or match[1] not in blocks)
    return line[: first.start()] + ", ".join(kept)


def _counted(text: str) -> str:
    """Count values, blocks and metadata in the order in which they occur."""
    known: dict[str, str] = {}

    def new(match: re.Match[str]) -> str:
        # A block is a value, too: its label has no sign before it.
        sign = match[1] or "%"
        return f"{match[1]}{known.setdefault(sign + match[2], str(len(known)))}"

    return _COUNTED.sub(new, text)
