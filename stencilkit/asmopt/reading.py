"""Assembly text -> control-flow graph."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from stencilkit.asmopt.graph import BRANCHES, Block, Code, Instruction, Kind
from stencilkit.asmopt.syntax import InstructionSet, Syntax
from stencilkit.errors import REPORT, AssemblyError

_LABEL: Final = re.compile(r'\s*(?P<label>[\w."$?@]+):(?P<rest>.*)')
# Python takes these for ends of lines, as upstream's passes do, and assemblers do not.
_OTHER_LINE_ENDS: Final = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")
_COMMENT_OR_NOTHING: Final = re.compile(r"\s*(?:#|//|;|$)")
_NO_INSTRUCTION: Final = re.compile(r"\s*(?:\.|#|//|;|$)")
_DIRECTIVE: Final = re.compile(r"\s*(?P<name>\.[a-z_0-9]+)\b(?P<rest>.*)")
# COFF's `@feat.00 = 0`. Upstream's quirk: it counts as an instruction.
_ASSIGNMENT: Final = re.compile(r'"?[\w.$@]+"?\s*=\s*\S')
_INSTRUCTION: Final = re.compile(r"\s+[a-z][\w.]*(?:\s|$)")
# Directives that say nothing about control flow. Anything else stops the build: it may be one that does.
_KNOWN_DIRECTIVES: Final = frozenset(
    {
        *(".file", ".text", ".section", ".globl", ".type", ".size", ".p2align", ".ident", ".addrsig", ".addrsig_sym"),
        *(".hidden", ".weak", ".local", ".comm", ".set", ".asciz", ".ascii", ".string", ".zero", ".space", ".fill"),
        *(".octa", ".byte", ".short", ".hword", ".word", ".long", ".quad", ".xword", ".2byte", ".4byte", ".8byte"),
        # Mach-O
        *(
            ".build_version",
            ".macosx_version_min",
            ".subsections_via_symbols",
            ".private_extern",
            ".loh",
            ".literal8",
            ".literal16",
        ),
        *(".cstring", ".const", ".no_dead_strip", ".zerofill", ".desc", ".alt_entry"),
        # COFF
        *(".def", ".scl", ".endef", ".linkonce", ".rdata", ".data", ".bss", ".lcomm", ".weak_anti_dep"),
        *(".secrel32", ".secidx", ".symidx", ".safeseh"),
        # Versions of symbols, which FreeBSD's stdlib.h names for functions that no stencil calls:
        ".symver",
        # Build attributes for the linker (-mbranch-protection on aarch64, LLVM 21 and later):
        *(".aeabi_subsection", ".aeabi_attribute"),
        # Since LLVM 23: at the top, and where a function would like to begin (alone in its section, it does).
        *(".att_syntax", ".prefalign"),
    }
)
_NO_TABLES: Final = f"leave out the flag that makes jump tables (-fno-jump-tables avoids them), or {REPORT}"
# Those that can hold an address:
_DATA_DIRECTIVES: Final = frozenset(
    {".byte", ".short", ".hword", ".word", ".long", ".quad", ".xword", ".2byte", ".4byte", ".8byte"}
)


def read(text: str, syntax: Syntax) -> Code:
    """Split assembly into blocks.

    A reference to the next uop becomes a reference to a local label, which a pass adds later.

    Raises: AssemblyError with the line.
    """
    if found := _OTHER_LINE_ENDS.search(text):
        raise _error(repr(found[0]), text.count("\n", 0, found.start()) + 1, "this character ends a line, or does not")
    pattern = rf"\b{re.escape(syntax.symbol_prefix)}_JIT_CONTINUE\b"
    reader = _Reader(syntax)
    for number, line in enumerate(re.sub(pattern, syntax.continue_label, text).splitlines(), start=1):
        reader.take(line, number)
    return reader.code()


@dataclass(slots=True)
class _Open:
    """A block that is still being read."""

    label: str | None = None
    lines: list[str] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.instructions) and self.instructions[-1].kind in _ENDS


_ENDS: Final = (*BRANCHES, Kind.CALL, Kind.JUMP, Kind.RETURN)
_NO_FALL_THROUGH: Final = (Kind.JUMP, Kind.RETURN)


class _Reader:
    """Takes one line after the other."""

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._blocks = [_Open()]
        self._entries: set[str] = set()
        self._block_label = re.compile(rf"{re.escape(syntax.label_prefix)}BB\d+_\d+")

    def take(self, line: str, number: int) -> None:
        """Read one line."""
        block = self._blocks[-1]
        if match := _LABEL.match(line):
            if not _COMMENT_OR_NOTHING.match(match["rest"]):
                raise _error(line, number, "something follows a label in its line")
            self._blocks.append(_Open(label=match["label"], lines=[line]))
        elif match := self._syntax.entry.match(line):
            self._entries.add(match["label"])
            # Upstream's quirk: this line stays with a block that already has instructions.
            block.lines.append(line)
        elif _NO_INSTRUCTION.match(line):
            self._check_directive(line, number)
            if block.instructions:
                self._blocks.append(block := _Open())
            block.lines.append(line)
        else:
            if block.ended:
                self._blocks.append(block := _Open())
            block.instructions.append(self._instruction(line, number))

    def code(self) -> Code:
        """Return what was read."""
        return Code(blocks=tuple(_close(block) for block in self._blocks), entries=frozenset(self._entries))

    def _instruction(self, line: str, number: int) -> Instruction:
        instructions = self._syntax.instructions
        code = _code_of(line)
        if ";" in code:
            raise _error(line, number, "there are several statements in one line")
        for kind, pattern in instructions.patterns:
            if match := pattern.match(line):
                return _known(kind, match, line, instructions)
        if not _INSTRUCTION.match(line) and not _ASSIGNMENT.match(line):
            raise _error(line, number, "this is neither a label, nor a directive, nor an instruction")
        if instructions.control.match(code) and not instructions.indirect.match(code):
            raise _error(line, number, "the passes do not know where this goes to")
        if self._block_label.search(code):
            raise _error(
                line,
                number,
                "an instruction that the passes do not know refers to a block of code (a jump table?)",
                _NO_TABLES,
            )
        # Upstream's quirk: an indirect jump (a tail call of another trace) counts as going on to the next line.
        return Instruction(Kind.OTHER, line.split(" ", maxsplit=1)[0], line)

    def _check_directive(self, line: str, number: int) -> None:
        if not line.lstrip().startswith("."):
            return
        match = _DIRECTIVE.match(line)
        name = match["name"] if match else line.split(maxsplit=1)[0]
        if name.startswith(".cfi_"):
            raise _error(
                line,
                number,
                "call frame information in a stencil: Apple's clang writes it whatever the flags are "
                "(CPython #146475, #148560)",
                "use an LLVM release in place of it (stencilkit toolchains install 21)",
            )
        if match is None or name not in _KNOWN_DIRECTIVES:
            raise _error(line, number, f"the passes do not know the directive {name}")
        if name in _DATA_DIRECTIVES and self._block_label.search(match["rest"]):
            raise _error(
                line,
                number,
                "data refers to a block of code: a jump table",
                _NO_TABLES,
            )


def _known(kind: Kind, match: re.Match[str], line: str, instructions: InstructionSet) -> Instruction:
    groups = match.groupdict()
    mnemonic, register = groups.get("mnemonic") or "", groups.get("register")
    if kind is Kind.BRANCH and mnemonic in instructions.short_branches:
        kind = Kind.SHORT_BRANCH
    if kind is Kind.SMALL_CONST_MASK and register:
        register = "x" + register[1:]
    return Instruction(kind, mnemonic, line, groups.get("target"), register)


def _code_of(line: str) -> str:
    """Cut a trailing comment off."""
    return re.split(r"\s(?:##?|//|;)\s", line, maxsplit=1)[0]


def _close(block: _Open) -> Block:
    last = block.instructions[-1] if block.ended else None
    return Block(
        label=block.label,
        lines=tuple(block.lines),
        instructions=tuple(block.instructions),
        target=last.target if last is not None and last.kind is not Kind.RETURN else None,
        falls_through=last is None or last.kind not in _NO_FALL_THROUGH,
    )


def _error(line: str, number: int, what: str, fix: str = REPORT) -> AssemblyError:
    return AssemblyError(what, where=f"line {number}: {line.strip()[:100]}", fix=fix)
