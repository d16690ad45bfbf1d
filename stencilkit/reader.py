"""Header text -> stencils, by a strict grammar: the inverse of `emit`.

What is not a line that CPython's generator writes is an error with its line number. Comment lines are counted and
left out; that a header is *canonical* is for `verify` to say, by rendering it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from stencilkit.errors import HeaderError
from stencilkit.model.header import HeaderFormat, ReadHeader
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup, StencilSet
from stencilkit.support import limits

_FIRST: Final = re.compile(r"// ([0-9a-f]{64})")
# In what includes the headers (model/manifest.py: dispatcher). One platform may have two.
_INCLUDED: Final = re.compile(r'^#include "(jit_stencils-[\w.-]{1,80}\.h)"$', re.ASCII | re.MULTILINE)
_SHOWN: Final = 2
_FUNCTION: Final = re.compile(
    r"void\nemit_(?P<name>\w+)\(\n"
    r"    unsigned char \*code, unsigned char \*data, _PyExecutorObject \*executor,\n"
    r"    const _PyUOpInstruction \*instruction, (?P<state>[^\n]*)\)\n"
    r"\{\n(?P<body>(?:    [^\n]*\n)*)\}\n\n",
    re.ASCII,
)
_BODY: Final = re.compile(
    r"    const unsigned char (?P<part>code|data)_body\[(?P<size>\d{1,8})\] = \{\n"
    r"(?P<rows>(?:        (?:0x[0-9a-f]{2}, ?)+\n)+)"
    r"    \};\n",
    re.ASCII,
)
_STATEMENT: Final = re.compile(
    r"    (?:memcpy\((?P<copied>code|data), (?P=copied)_body, sizeof\((?P=copied)_body\)\);"
    r"|(?P<func>patch_\w+)\((?P<arguments>[^;\n]*)\);|)\n",
    re.ASCII,
)
_ROW: Final = re.compile(
    r"(?:    \[(?P<index>\w+)\] = |static const StencilGroup (?P<entry>\w+) = )"
    r"\{emit_(?P<name>\w+), (?P<code>\d{1,8}), (?P<data>\d{1,8})(?P<masks>(?:, \{[0-9a-fx, ]+\})*)\}[,;]\n",
    re.ASCII,
)
_SYMBOL: Final = re.compile(r"    \[(?P<ordinal>\d{1,6})\] = &(?P<name>\w+),\n", re.ASCII)
_PLACE: Final = re.compile(r"(?P<part>code|data) \+ 0x(?P<offset>[0-9a-f]{1,8})")
_ORDINAL: Final = re.compile(r"0x[0-9a-f]{1,6}")
_GOT_SLOT: Final = re.compile(r"got_symbol_address\((?P<ordinal>0x[0-9a-f]{1,6}), state\)(?P<less> - 4)?")
_ADDRESS_OF: Final = "(uintptr_t)&"
_NUMBER: Final = re.compile(r"-?0x[0-9a-f]{1,16}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TRAMPOLINES: Final = ("patch_aarch64_trampoline", "patch_x86_64_trampoline")
_GOT_FILL: Final = "patch_got_symbol"
# Zeroes at a body's end are left out of the text, so a size costs no bytes there: what no stencil, and no set, has.
_LARGEST_PART: Final = 1 << 16
# A debug build of 3.15 has 1.2 MB.
_LARGEST_SET: Final = 4 << 20
# The last operand may be zero, but no code is made of zeroes; megabytes of them take minutes to disassemble.
_LEFT_OUT_OF_CODE: Final = 32


@limits.bounded(HeaderError)
def read(text: str, forms: Iterable[HeaderFormat], where: str) -> ReadHeader:
    """Read a header of any CPython that is known; `where` is the file's name, for messages.

    Raises: HeaderError with the line that does not fit.
    """
    if "\r" in text:
        raise _error(
            where, text.count("\n", 0, text.index("\r")) + 1, "it has a carriage return: line ends are LF here"
        )
    lines = text.split("\n")
    first = _FIRST.fullmatch(lines[0])
    if not first and (included := _INCLUDED.findall(text)):
        raise _dispatcher(where, included)
    if not first:
        raise _error(where, 1, "line 1 is not a comment with CPython's input digest (64 hex digits)")
    if len(lines) < 3 or not lines[1].startswith("// "):
        raise _error(where, 2, "line 2 is not a comment")
    body, numbers = _without_comments(lines)
    form = _recognise(body, forms, where)
    return ReadHeader(
        format=form,
        line1=first[1],
        line2=lines[1].removeprefix("// "),
        stencils=_Reader(body, numbers, form, where).stencils(),
        comments=len(lines) - len(numbers) - 2,
    )


def _error(where: str, line: int, what: str) -> HeaderError:
    return HeaderError(what, where=f"{where}, line {line}", fix="build it again, or restore it from where it came from")


def _dispatcher(where: str, included: list[str]) -> HeaderError:
    """Make the error about the header that make includes, and that includes one with stencils."""
    names = " or ".join(dict.fromkeys(included[:_SHOWN]))
    return HeaderError(
        f"it is the dispatcher: it has no stencils, and includes {names}",
        where=where,
        fix=f"give {names}, which is beside it, or the folder",
    )


def _without_comments(lines: list[str]) -> tuple[str, list[int]]:
    """Drop the comment lines after the first two; return the text and the number of each line that is left."""
    if not any("//" in line for line in lines[2:]):
        return "\n".join(lines[2:]), list(range(3, len(lines) + 1))
    kept = [number for number, line in enumerate(lines[2:], start=3) if not line.lstrip(" ").startswith("//")]
    return "\n".join(lines[number - 1] for number in kept), kept


def _recognise(body: str, forms: Iterable[HeaderFormat], where: str) -> HeaderFormat:
    """Return which CPython's header this is, by the last parameter of its functions and the columns of its table."""
    masks = re.findall(r"\n    symbol_mask (\w+)_mask;(?=\n)", body)
    function = _FUNCTION.search(body)
    for form in forms:
        if function and function["state"] == form.state and tuple(masks) == form.masks:
            return form
    raise _error(where, 4, "this is not a stencil header of a CPython that stencilkit knows")


class _Reader:
    """One pass over the text of a header."""

    def __init__(self, text: str, numbers: list[int], form: HeaderFormat, where: str) -> None:
        self._text = text
        self._numbers = numbers
        self._form = form
        self._where = where
        # Several values can be one expression (an operand and its narrow halves); the first is what dialects emit.
        self._values: dict[str, HoleValue] = {}
        for value, expression in form.values.items():
            if expression:
                self._values.setdefault(expression, value)
        self._symbols = self._symbols_map()
        self._addresses: dict[str, tuple[HoleValue, str | None, int]] = {}

    def _fail(self, position: int, what: str) -> HeaderError:
        index = self._text.count("\n", 0, position)
        return _error(self._where, self._numbers[min(index, len(self._numbers) - 1)], what)

    def _symbols_map(self) -> tuple[str, ...]:
        start = self._text.find("\nstatic const void * const symbols_map[")
        if start < 0:
            return ()
        names: list[str] = []
        for match in _SYMBOL.finditer(self._text, start):
            if int(match["ordinal"]) != len(names):
                raise self._fail(match.start(), "the ordinals of symbols_map are not 0, 1, 2, ...")
            names.append(match["name"])
        return tuple(names)

    def stencils(self) -> StencilSet:
        """Read functions and table."""
        position = 1
        functions: dict[str, tuple[int, str]] = {}
        while match := _FUNCTION.match(self._text, position):
            if match["state"] != self._form.state or match["name"] in functions:
                raise self._fail(position, f"emit_{match['name']} has other parameters, or occurs twice")
            functions[match["name"]] = match.start("body"), match["body"]
            position = match.end()
        sizes = self._table(position)
        if self._text[:1] != "\n" or sizes.keys() != functions.keys():
            odd = sorted(sizes.keys() ^ functions.keys())
            raise self._fail(position, f"the functions and the table do not fit, from {odd[:1]}")
        if self._form.entry and self._form.entry not in functions:
            raise self._fail(position, f"there is no emit_{self._form.entry}, through which a trace is entered")
        groups = tuple(self._group(name, start, body, sizes[name]) for name, (start, body) in functions.items())
        return StencilSet(groups=groups, entry=self._form.entry, symbols=self._symbols)

    def _table(self, position: int) -> dict[str, tuple[int, int]]:
        sizes: dict[str, tuple[int, int]] = {}
        for row in _ROW.finditer(self._text, position):
            if (row["index"] or row["entry"]) != row["name"] or row["name"] in sizes:
                raise self._fail(row.start(), f"the row of {row['name']} is under another name, or occurs twice")
            sizes[row["name"]] = int(row["code"]), int(row["data"])
            if max(sizes[row["name"]]) > _LARGEST_PART:
                raise self._fail(row.start(), f"the table says {max(sizes[row['name']])} bytes for {row['name']}")
        if not sizes or sum(map(sum, sizes.values())) > _LARGEST_SET:
            raise self._fail(position, "there is no table of stencil groups here, or one of absurd sizes")
        return sizes

    def _group(self, name: str, start: int, body: str, sizes: tuple[int, int]) -> StencilGroup:
        bodies: dict[str, bytes] = {}
        position = 0
        while match := _BODY.match(body, position):
            data = bytes.fromhex(match["rows"].replace("0x", "").replace(",", ""))
            size = int(match["size"])
            if match["part"] in bodies or not len(data) <= size <= max(sizes):
                raise self._fail(start + position, f"the {match['part']} of {name} has not the size it says")
            bodies[match["part"]] = data.ljust(size, b"\0")
            position = match.end()
        patches: dict[str, list[Patch]] = {"code": [], "data": []}
        part = "data"
        while statement := _STATEMENT.match(body, position):
            part = self._statement(statement, part, patches, start)
            position = statement.end()
        if position != len(body):
            raise self._fail(start + position, f"emit_{name} has a line that no generator writes")
        code, data = (bodies.get(which, bytes(size)) for which, size in zip(("code", "data"), sizes, strict=True))
        if (len(code), len(data)) != sizes:
            raise self._fail(start, f"the table says {sizes} for {name}, the bodies have {len(code)}, {len(data)}")
        if len(code) - len(code.rstrip(b"\0")) > _LEFT_OUT_OF_CODE:
            raise self._fail(start, f"the code of {name} ends in zeroes, which is not code")
        return StencilGroup(
            name=name,
            code=Stencil(body=code, patches=tuple(patches["code"])),
            data=Stencil(body=data, patches=tuple(patches["data"])),
        )

    def _statement(self, statement: re.Match[str], part: str, patches: Mapping[str, list[Patch]], start: int) -> str:
        """Read one statement; return the part that the following ones belong to (data comes before code)."""
        if statement["copied"]:
            return statement["copied"]
        if not statement["func"]:
            # A blank line stands for a folded hole, and those are in code.
            patches["code"].append(_void(patches["code"]))
            return "code"
        try:
            where, patch = self._patch(statement["func"], statement["arguments"])
        except (ValueError, LookupError):
            raise self._fail(start + statement.start(), f"not a patch call: {statement[0].strip()}") from None
        patches[where or part].append(patch)
        return where or part

    def _patch(self, func: str, arguments: str) -> tuple[str, Patch]:
        if func not in self._form.functions:
            raise LookupError(func)
        words = arguments.split(", ")
        if func == _GOT_FILL:
            state, ordinal = words
            if state != "state":
                raise ValueError(arguments)
            return "data", Patch(
                func=func, offsets=(), form=PatchForm.GOT_FILL, symbol=self._symbol(ordinal), value=HoleValue.GOT
            )
        places = [match for word in words if (match := _PLACE.fullmatch(word))]
        rest = ", ".join(words[len(places) :])
        parts = {place["part"] for place in places}
        part = parts.pop()
        if parts:
            raise ValueError(arguments)
        offsets = tuple(int(place["offset"], 16) for place in places)
        return part, self._with_value(func, offsets, rest)

    def _with_value(self, func: str, offsets: tuple[int, ...], rest: str) -> Patch:
        if func in _TRAMPOLINES:
            symbol = self._symbol(rest.removesuffix(", state"))
            return Patch(func=func, offsets=offsets, form=PatchForm.TRAMPOLINE, symbol=symbol)
        if slot := _GOT_SLOT.fullmatch(rest):
            addend = -4 if slot["less"] else 0
            symbol = self._symbol(slot["ordinal"])
            return Patch(func=func, offsets=offsets, form=PatchForm.GOT_SLOT, symbol=symbol, addend=addend)
        return self._address(func, offsets, rest)

    def _address(self, func: str, offsets: tuple[int, ...], rest: str) -> Patch:
        # Most addresses are in many stencils.
        if rest not in self._addresses:
            self._addresses[rest] = self._sum(rest)
        value, symbol, addend = self._addresses[rest]
        return Patch(func=func, offsets=offsets, value=value, symbol=symbol, addend=addend)

    def _sum(self, rest: str) -> tuple[HoleValue, str | None, int]:
        value, symbol, addend = HoleValue.ZERO, None, 0
        terms = rest
        for expression, candidate in self._values.items():
            # "(uintptr_t)code" begins "(uintptr_t)code + sizeof(code_body)": the longest one counts.
            longer = len(expression) > len(rest) - len(terms)
            if longer and (rest == expression or rest.startswith(expression + " + ")):
                value, terms = candidate, rest[len(expression) :].removeprefix(" + ")
        for term in filter(None, terms.split(" + ")):
            name = term.removeprefix(_ADDRESS_OF)
            if name != term and symbol is None and _IDENTIFIER.fullmatch(name):
                symbol = name
            elif _NUMBER.fullmatch(term):
                addend = int(term, 16)
            else:
                raise ValueError(term)
        return value, symbol, addend

    def _symbol(self, ordinal: str) -> str:
        if not _ORDINAL.fullmatch(ordinal):
            raise ValueError(ordinal)
        return self._symbols[int(ordinal, 16)]


def _void(before: list[Patch]) -> Patch:
    offset = before[-1].offsets[-1] if before else 0
    return Patch(func="", offsets=(offset,), form=PatchForm.VOID)
