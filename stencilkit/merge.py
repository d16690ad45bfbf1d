"""Many assembly texts -> one, and the object file of that one -> the object files of the many.

Starting an assembler costs more than assembling a uop, so dozens of uops are assembled at once. Every section gets a
name of its own per uop ("12:.text"), and every label that a uop defines gets a suffix ("_JIT_ENTRY$12"); both are
taken off again. The bytes, relocations and symbols of each uop are those of a file of its own: the oracle tests
compare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from stencilkit.errors import REPORT, AssemblyError, ObjectError
from stencilkit.model.objectfile import ObjectFile, Section, Symbol
from stencilkit.model.target import Target

_LABEL: Final = re.compile(r'^\s*("[^"\n]+"|[\w.$]+):', re.MULTILINE)
_DEFINED: Final = re.compile(r"^\s*\.(?:set|comm|lcomm|local|globl|weak)\s+([\w.$]+)", re.MULTILINE)
# A leading $ marks an immediate on x86, and @ starts a modifier (@GOTPCREL, @PLT). Odd names are quoted.
_WORD: Final = re.compile(r'"[^"\n]*"|[A-Za-z_.][\w.$]*')
_TEXT: Final = re.compile(r"\s*\.text\s*(?:#.*)?$")
_SECTION: Final = re.compile(r'\s*\.section\s+"?(?P<name>[\w.$-]+)"?(?P<rest>(?:,.*)?)$')
# These describe the file, not the code. .addrsig says which addresses matter to a linker, .aeabi_* what it may assume,
# .symver which version of a symbol it takes.
_DROPPED: Final = re.compile(r"\s*\.(?:file|ident|addrsig|addrsig_sym|aeabi_subsection|aeabi_attribute|symver)\b")
_NOTE: Final = ".note.GNU-stack"
# COFF's records of the compiler, which no stencil keeps: one section of them is as good as many.
_DEBUG: Final = ".debug$"
_STRING: Final = re.compile(r"\s*\.(?:asciz|ascii|string)\b")
_OWN_NAME: Final = re.compile(r"(?P<name>.+)\$(?P<index>\d+)")
_OWN_SECTION: Final = re.compile(r"(?P<index>\d+):(?P<name>.+)")


def merge(texts: Mapping[str, str], target: Target) -> str:
    """Merge the assembly of several units, in order.

    Raises: AssemblyError where a line cannot be merged.
    """
    return "".join(_own(index, name, text, target) for index, (name, text) in enumerate(texts.items()))


def _own(index: int, unit: str, text: str, target: Target) -> str:
    """Make the names of one unit its own."""
    suffix = f"${index}"
    owned = set(_LABEL.findall(text))
    if any(name not in owned for name in _DEFINED.findall(text) if name.startswith(target.label_prefix)):
        raise AssemblyError("a local symbol is declared but not defined", where=f"uop {unit}", fix=REPORT)

    def rename(match: re.Match[str]) -> str:
        word = match[0]
        if word not in owned:
            return word
        return f'{word[:-1]}{suffix}"' if word.startswith('"') else word + suffix

    # Code before any directive is in .text; the passes may have dropped the directive.
    lines = [f'.section "{index}:.text",{target.text_section}']
    for line in text.splitlines():
        if _TEXT.match(line):
            lines.append(lines[0])
        elif section := _SECTION.match(line):
            lines += _own_section(index, section, _WORD.sub(rename, section["rest"]))
        elif _STRING.match(line):
            lines.append(line)
        elif not _DROPPED.match(line):
            lines.append(_WORD.sub(rename, line))
    return "\n".join(lines) + "\n"


def _own_section(index: int, section: re.Match[str], rest: str) -> list[str]:
    """Make a section one unit's own, leave the compiler's records where they are, and drop what nobody reads."""
    if section["name"] == _NOTE:
        return []
    own = "" if section["name"].startswith(_DEBUG) else f"{index}:"
    return [f'.section "{own}{section["name"]}"{rest}']


def split(obj: ObjectFile, names: Sequence[str]) -> dict[str, ObjectFile]:
    """Take the object file of merged assembly apart again.

    Raises: ObjectError where a section belongs to no unit.
    """
    sections: list[list[Section]] = [[] for _ in names]
    for section in obj.sections:
        match = _OWN_SECTION.fullmatch(section.name)
        if match and int(match["index"]) < len(names):
            sections[int(match["index"])].append(_restore(section, match["name"]))
        elif section.data or section.relocations:
            raise ObjectError(f"section {section.name!r} of merged assembly belongs to no uop", fix=REPORT)
    return {name: ObjectFile(sections=tuple(own)) for name, own in zip(names, sections, strict=True)}


def _restore(section: Section, name: str) -> Section:
    return Section(
        name=name,
        role=section.role,
        data=section.data,
        symbols=tuple(Symbol(name=_original(s.name), offset=s.offset) for s in section.symbols),
        relocations=tuple(
            replace(relocation, symbol=_original(relocation.symbol)) for relocation in section.relocations
        ),
    )


def _original(name: str) -> str:
    match = _OWN_NAME.fullmatch(name) or _OWN_SECTION.fullmatch(name)
    return match["name"] if match else name
