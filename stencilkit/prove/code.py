"""One stencil as code to run: instructions by offset, what its holes hold, and the data beside it.

How `Python/jit.c` patches and relaxes is modelled here. What it could take apart wrongly is `UnsupportedError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil
from stencilkit.prove import machine, terms
from stencilkit.prove.assumptions import EXITS, HOLES
from stencilkit.prove.machine import CODE_NAME, EXIT_NAME, State, UnsupportedError
from stencilkit.prove.memory import Memory
from stencilkit.prove.terms import Term

_ABSOLUTE: Final = {"patch_64": 8, "patch_32": 4}
"""How many bytes are patched in."""
_RELATIVE: Final = ("patch_32r", "patch_x86_64_32rx", "patch_x86_64_trampoline")
_RELAXING: Final = "patch_x86_64_32rx"
_OFFSETS: Final = ("patch_32r", _RELAXING)
"""What patches in 32 bits of data the distance from there: the second one if it relaxes nothing."""
# What patch_x86_64_32rx looks for before the displacement, and the instruction that it must be.
_RELAXED: Final = ((b"\x8b", 2, "mov"), (b"\xff\x15", 2, "call"), (b"\xff\x25", 2, "jmp"))
TRAMPOLINES: Final = {"patch_x86_64_trampoline": -4, "patch_aarch64_trampoline": 0}
RELATIVE: Final = "relative"
"""The function of the terms for what is patched into 32 bits of data, of the distance."""
_LONGEST: Final = 8
"""How many bytes a patch function of any name may write into data."""
_MOST_CHOICES: Final = 64
"""How many places in the data one load may choose from."""
_TEXT: Final = re.compile(rb"[\t\n\x20-\x7e]+\0")


@dataclass(frozen=True, slots=True)
class _Table:
    """What is read at a variable place: the data, or the code; `read` reads it at an offset."""

    name: str
    start: Term
    body: bytes
    read: Callable[[int, int], Term]


@dataclass(slots=True)
class Code:
    """A stencil's instructions and data.

    `name` is that of the uop, `alignments` are those of symbols, `word` is the width of an address in bits. `used`
    collects the symbols that were met, so that facts about them can be given to the solver; `taken` the holes that the
    instruction at hand has read.
    """

    operations: Mapping[int, Operation]
    stencil: Stencil
    data: Stencil
    name: str
    alignments: Mapping[str, int]
    shared_data: bool
    side: str
    word: int = 64
    used: dict[Term, str] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)

    @property
    def end(self) -> int:
        """The offset behind the code, where the next stencil is."""
        return len(self.stencil.body)

    @property
    def start(self) -> Term:
        """The address of the code."""
        return terms.sym(f"{CODE_NAME}{self.side}", self.word)

    @property
    def _beginning(self) -> Term:
        """The address of the data."""
        return terms.sym("data" if self.shared_data else f"data of {self.side}", self.word)

    def hole(self, op: Operation, place: tuple[int, int], *, relative: bool = False) -> Term | None:
        """Return what a hole at this place of an instruction holds, None where there is no hole.

        Of a relative one it is the address that is patched in, before the place is subtracted.
        """
        for start, patch in op.patches:
            if start == place[0] and place[1]:
                self.taken.add(start)
                self._check(op, patch, place, relative=relative)
                return self.value(patch)
        return None

    def _check(self, op: Operation, patch: Patch, place: tuple[int, int], *, relative: bool) -> None:
        if not relative and _ABSOLUTE.get(patch.func) == place[1]:
            return
        if not relative or patch.func not in _RELATIVE or place[1] != 4:
            raise UnsupportedError(f"{patch.func} in {op.text}")
        if patch.func == _RELAXING:
            if op.name == "mov" and patch.symbol is not None and patch.form is PatchForm.ADDRESS:
                # It would become the address that is there when the code is made.
                raise UnsupportedError(f"jit.c would take {patch.symbol} for a slot that holds an address")
            before = self.stencil.body[: op.offset + place[0]][-2:]
            for found, length, name in _RELAXED:
                fits = op.name == name and op.size == place[0] + 4
                if before[: len(found)] == found and len(before) == length and not fits:
                    raise UnsupportedError(f"jit.c would take {op.text} for another instruction")

    def value(self, patch: Patch) -> Term:
        """Return what a patch adds up to."""
        if patch.form is PatchForm.GOT_SLOT:
            return terms.offset(terms.sym(f"slot of {patch.symbol}", self.word), patch.addend)
        if patch.form is PatchForm.TRAMPOLINE:
            # The trampoline is a jump to the symbol, so the address of either will do; -4 is what x86's adds itself.
            return terms.offset(self.symbol(str(patch.symbol)), TRAMPOLINES[patch.func])
        if patch.symbol is not None:
            base = self.symbol(patch.symbol)
            if patch.value is not HoleValue.ZERO:
                raise UnsupportedError(f"a symbol and {patch.value.value} in one hole")
            return terms.offset(base, patch.addend)
        return terms.offset(self._base(patch), patch.addend)

    def _base(self, patch: Patch) -> Term:
        if patch.value in EXITS:
            return terms.sym(f"{EXIT_NAME}{patch.value.value}", self.word)
        if patch.value is HoleValue.DATA:
            return self._beginning
        if patch.value not in HOLES:
            raise UnsupportedError(f"a hole of {patch.value.value}")
        name, low, width = HOLES[patch.value]
        whole = {"oparg": 16, "exit_index": 16, "target": 32}.get(name, 64)
        found = terms.extract(terms.sym(name, whole), low, min(width, self.word))
        return terms.zext(found, self.word)

    def symbol(self, name: str) -> Term:
        """Return a symbol's address, and remember it."""
        found = address(name, self.alignments, self.word)
        self.used[found] = name
        return found

    def load(self, state: State, address: Term, size: int) -> Term:
        """Read memory, the frame, the stencil's data or a slot that holds a symbol's address."""
        number, factors = terms.parts(address)
        if len(factors) == 1 and all(one.op == "sym" and factor == 1 for one, factor in factors.items()):
            name = str(next(iter(factors)).extra[0])
            if name.startswith("slot of ") and number == 0 and 8 * size == self.word:
                return self.symbol(name.removeprefix("slot of "))
            if name.startswith("data"):
                return self._datum(number, size)
        names = [str(one.extra[0]) for one in factors if one.op == "sym"]
        if any(name.startswith("slot of ") for name in names):
            raise UnsupportedError("a part of a slot")
        if any(name.startswith(CODE_NAME) for name in names):
            return self._chosen(address, size, _Table("code", self.start, self.stencil.body, self._instruction))
        if any(name.startswith("data") for name in names):
            if self.shared_data and not any(patch.offsets for patch in self.data.patches):
                return Memory("data").read(address, size)
            return self._chosen(address, size, _Table("data", self._beginning, self.data.body, self._datum))
        return machine.load(state, address, size)

    def _chosen(self, address: Term, size: int, table: _Table) -> Term:
        """Read the data, or a table in the code, at a variable place: a choice among all that the place can be.

        Raises: UnsupportedError where those are too many, or the address is made in another way.
        """
        number, factors = terms.parts(address)
        others = [factor for one, factor in factors.items() if one is not table.start]
        if factors.get(table.start) != 1 or any(_is_place(one) for one in factors if one is not table.start):
            raise UnsupportedError(f"{table.name} at a variable place")
        if not others:
            return table.read(number, size)
        step = min(factor & -factor for factor in others)
        places = self._places(table, range(number % step, len(table.body) - size + 1, step), size)
        if not 0 < len(places) <= _MOST_CHOICES:
            raise UnsupportedError(f"{table.name} at a variable place")
        distance = terms.sub(address, table.start)
        # What is beside it is unknown, and not the same on both sides.
        result = terms.call(f"beside the {table.name} of {self.side}", (distance,), 8 * size)
        for place in reversed(places):
            here = terms.eq(distance, terms.const(place, self.word))
            result = terms.ite(here, table.read(place, size), result)
        return result

    def _places(self, table: _Table, places: range, size: int) -> list[int]:
        """Leave out what is no entry of a table: of that, nothing is known, as of what is beside the table."""
        if table.name == "data" and len(places) > _MOST_CHOICES:
            entries = [one for one in self.data.patches if one.value is HoleValue.CODE and self._size(one) == size]
            return [place for place in places if any(place in one.offsets for one in entries)]
        return [place for place in places if _is_read(table, place, size)]

    def _instruction(self, start: int, size: int) -> Term:
        """Read what is in the code: on x86_64 macOS a table can be.

        Raises: UnsupportedError.
        """
        if not 0 <= start <= len(self.stencil.body) - size or self._is_changed(start, size):
            raise UnsupportedError("a load from the code")
        return terms.const(int.from_bytes(self.stencil.body[start : start + size], "little"), 8 * size)

    def _is_changed(self, start: int, size: int) -> bool:
        """Say whether bytes of the code may be others than the body's, as a hole is there, or something is relaxed."""
        end = start + size
        for patch in self.stencil.patches:
            length = 4 if patch.func in _RELATIVE else _ABSOLUTE.get(patch.func, _LONGEST)
            # patch_x86_64_32rx may change two bytes in front of the hole.
            if any(place - 2 < end and start < place + length for place in patch.offsets):
                return True
        # The first hole of the next stencil may be one byte behind.
        return end == self.end and self.stencil.body[-1:] == _RELAXED[0][0]

    def _datum(self, start: int, size: int) -> Term:
        if not 0 <= start <= len(self.data.body) - size:
            raise UnsupportedError("a load from beside the stencil's data")
        for patch in self.data.patches:
            whole = self._size(patch)
            for place in patch.offsets:
                if place < start + size and start < place + (whole or _LONGEST):
                    if not place <= start <= start + size <= place + whole or 8 * whole > self.word:
                        raise UnsupportedError("more than a hole in the stencil's data")
                    held = self._relative(patch, place) if patch.func in _OFFSETS else self._held(patch)
                    return terms.extract(held, 8 * (start - place), 8 * size)
        return terms.const(int.from_bytes(self.data.body[start : start + size], "little"), 8 * size)

    def _size(self, patch: Patch) -> int:
        """Return how many bytes of data a patch fills, and changes no other; 0 where it is not known to."""
        if patch.func == _RELAXING:
            # It reads where its place in the code will be, which is not copied yet: the assumption "code-after-data".
            fits = patch.value is HoleValue.CODE and patch.symbol is None and 0 <= patch.addend <= self.end
            return 4 if fits and self.word == terms.WORD else 0
        return 4 if patch.func in _OFFSETS else _ABSOLUTE.get(patch.func, 0)

    def _held(self, patch: Patch) -> Term:
        """Return what a hole of the data holds, which can be a place in the code: an entry of a table of jumps."""
        return terms.offset(self.start, patch.addend) if patch.value is HoleValue.CODE else self.value(patch)

    def _relative(self, patch: Patch, place: int) -> Term:
        """Return what is patched into 32 bits of the data, relative to its place: nothing but the distance counts."""
        distance = terms.sub(self._held(patch), terms.offset(self._beginning, place))
        return terms.call(RELATIVE, (distance,), 32)

    def text(self, address: Term) -> bytes | None:
        """Return the text with its NUL that an address in the data points to, None where it is no such address."""
        number, factors = terms.parts(address)
        if len(factors) != 1 or next(iter(factors)).op != "sym" or set(factors.values()) != {1}:
            return None
        if not str(next(iter(factors)).extra[0]).startswith("data"):
            return None
        end = self.data.body.find(0, number)
        if not 0 <= number < len(self.data.body) or end < 0:
            return None
        for patch in self.data.patches:
            length = self._size(patch) or _LONGEST
            if any(number - length < place <= end for place in patch.offsets):
                return None
        found = self.data.body[number : end + 1]
        # What is no text is not read as one: a table's first zero is not its end.
        return found if _TEXT.fullmatch(found) else None


def _is_read(table: _Table, place: int, size: int) -> bool:
    try:
        table.read(place, size)
    except UnsupportedError:
        return False
    return True


def _is_place(term: Term) -> bool:
    """Say whether a term is the address of data, or of code."""
    return term.op == "sym" and str(term.extra[0]).startswith(("data", CODE_NAME))


def address(name: str, alignments: Mapping[str, int], word: int) -> Term:
    """Return a symbol's address: a multiple of its alignment."""
    return terms.multiple(f"&{name}", word, min(alignments.get(name, 1), 16))
