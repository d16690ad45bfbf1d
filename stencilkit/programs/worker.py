"""Read a linked program with lief and print what it is as JSON: run as a script, in a process of its own.

lief is native code that reads hostile files here. What it crashes on, or takes too long or too much memory for, ends
this process and no other.

    python worker.py FILE
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any, Final

import lief

_MEMORY: Final = 2 << 30
_CPU_SECONDS: Final = 20
# lief's names -> the arch column of targets.toml.
_ARCHS: Final = {
    ("elf", "X86_64"): "x86_64",
    ("elf", "AARCH64"): "aarch64",
    ("macho", "X86_64"): "x86_64",
    ("macho", "ARM64"): "aarch64",
    ("coff", "AMD64"): "x86_64",
    ("coff", "ARM64"): "aarch64",
    ("coff", "I386"): "i686",
}
# ELF's bits of GNU_PROPERTY_X86_FEATURE_1_AND and GNU_PROPERTY_AARCH64_FEATURE_1_AND (x86-64 and aarch64 psABIs).
_PROPERTIES: Final = {
    "x86_64": (("IBT", 1), ("SHSTK", 2)),
    "aarch64": (("BTI", 1), ("PAC", 2)),
}
# PE's bits of IMAGE_DLLCHARACTERISTICS (Microsoft's PE format).
_CHARACTERISTICS: Final = (
    ("guard CF", 0x4000, "GUARD_CF"),
    ("DEP", 0x0100, "NX_COMPAT"),
    ("ASLR", 0x0040, "DYNAMIC_BASE"),
    ("high-entropy ASLR", 0x0020, "HIGH_ENTROPY_VA"),
)
# Mach-O's section attributes for code.
_INSTRUCTIONS: Final = {"PURE_INSTRUCTIONS", "SOME_INSTRUCTIONS"}


def main(path: str) -> None:
    """Print a list of programs: one, or one for each slice of a universal file."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lief.logging.disable()
    json.dump(list(_programs(path)), sys.stdout)


def _programs(path: str) -> Iterator[dict[str, Any]]:
    if lief.is_elf(path):
        if (elf := lief.ELF.parse(path)) is not None:
            yield _elf(elf)
    elif lief.is_pe(path):
        if (pe := lief.PE.parse(path)) is not None:
            yield _pe(pe)
    elif lief.is_macho(path) and (fat := lief.MachO.parse(path)) is not None:
        yield from (_macho(binary) for binary in fat)


def _name(value: object) -> str:
    return str(value).rpartition(".")[2]


def _described(kind: str, arch: str, regions: list[list[Any]], protections: list[list[Any]]) -> dict[str, Any]:
    return {"format": kind, "arch": _ARCHS.get((kind, arch), ""), "regions": regions, "protections": protections}


def _elf(binary: lief.ELF.Binary) -> dict[str, Any]:
    arch = _name(binary.header.machine_type)
    sections = [
        [str(section.name), section.offset, section.size]
        for section in binary.sections
        if _name(section.type) != "NOBITS" and _is_data({_name(flag) for flag in section.flags_list})
    ]
    # Section headers are for linkers; a program may have none.
    loaded = [
        [_name(segment.type), segment.file_offset, segment.physical_size]
        for segment in binary.segments
        if _name(segment.type) == "LOAD"
    ]
    return _described("elf", arch, sections or loaded, list(_notes(binary, _ARCHS.get(("elf", arch), ""))))


def _is_data(flags: set[str]) -> bool:
    return "ALLOC" in flags and "EXECINSTR" not in flags


def _notes(binary: lief.ELF.Binary, arch: str) -> Iterator[list[Any]]:
    known = _PROPERTIES.get(arch, ())
    bits = 0
    for note in binary.notes:
        if _name(note.type) == "GNU_PROPERTY_TYPE_0":
            bits |= _feature_bits(bytes(note.description))
    for name, bit in known:
        yield [name, bool(bits & bit), ".note.gnu.property"]


def _feature_bits(description: bytes) -> int:
    """Read the FEATURE_1_AND property of a note's description (gABI extension, "Program Property")."""
    bits = position = 0
    while position + 12 <= len(description):
        kind = int.from_bytes(description[position : position + 4], "little")
        size = int.from_bytes(description[position + 4 : position + 8], "little")
        if kind in (0xC0000002, 0xC0000000) and size == 4:
            bits |= int.from_bytes(description[position + 8 : position + 12], "little")
        position += 8 + (size + 7) // 8 * 8
    return bits


def _pe(binary: lief.PE.Binary) -> dict[str, Any]:
    regions = [
        [str(section.name), section.offset, min(section.size, section.virtual_size or section.size)]
        for section in binary.sections
        if "MEM_EXECUTE" not in {_name(flag) for flag in section.characteristics_lists}
    ]
    flags = int(binary.optional_header.dll_characteristics)
    protections = [[name, bool(flags & bit), why] for name, bit, why in _CHARACTERISTICS]
    protections.append(["signature", bool(list(binary.signatures)), "Authenticode"])
    return _described("coff", _name(binary.header.machine), regions, protections)


def _macho(binary: lief.MachO.Binary) -> dict[str, Any]:
    regions = [
        [f"{section.segment_name},{section.name!s}", binary.fat_offset + section.offset, section.size]
        for section in binary.sections
        if section.offset and not {_name(flag) for flag in section.flags_list} & _INSTRUCTIONS
    ]
    protections = [["code signature", bool(binary.has_code_signature), "LC_CODE_SIGNATURE"]]
    return _described("macho", _name(binary.header.cpu_type), regions, protections)


if __name__ == "__main__":
    main(sys.argv[1])
