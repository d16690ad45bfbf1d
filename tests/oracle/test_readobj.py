"""Our parsers read from every object of a build what llvm-readobj reads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stencilkit import cli, objects, targets
from stencilkit.model.objectfile import ObjectFile, Section
from stencilkit.model.target import Flavour, Target
from tests import workbench as wb

ARGUMENTS = (
    *("--elf-output-style=JSON", "--expand-relocs", "--section-data", "--section-relocations"),
    *("--section-symbols", "--sections"),
)
# A section as both sides are reduced to: name, contents, symbols (name, offset), relocations (offset, kind, symbol).
Row = tuple[str, bytes, list[tuple[str, int]], list[tuple[Any, ...]]]
ROWS = [
    # Small, and with relocations that name sections:
    ("3.14.7", 19, wb.MAC_X86, "release", True),
    ("3.15.0rc1", 21, wb.X86, "release", False),
    ("3.14.7", 19, wb.ARM, "debug", False),
    ("3.15.0rc1", 21, wb.MAC_ARM, "release", False),
    ("3.14.7", 19, wb.MAC_X86, "debug", False),
    ("3.15.0rc1", 21, wb.WIN_X86, "release", False),
    ("3.14.7", 19, wb.WIN_I686, "debug", False),
    ("3.14.7", 19, wb.WIN_ARM, "release", False),
]


def readobj(path: Path, major: int) -> list[dict[str, Any]]:
    """Run llvm-readobj; its JSON is that of a list of sections only once what surrounds it is cut off."""
    program = wb.debian_llvm(major) / "llvm-readobj"
    text = subprocess.run([program, *ARGUMENTS, path], capture_output=True, text=True, check=True).stdout
    text = text.replace("PrivateExtern\n", "\n").replace("Extern\n", "\n")
    text = text.rstrip()
    sections = json.loads(text[text.index("[", 1) : text.rindex("]", 0, -1) + 1])
    return [wrapped["Section"] for wrapped in sections]


def symbols(section: dict[str, Any], name: Callable[[dict[str, Any]], str], base: int) -> list[tuple[str, int]]:
    return [(name(wrapped["Symbol"]), wrapped["Symbol"]["Value"] - base) for wrapped in section["Symbols"]]


def relocations(section: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (wrapped["Relocation"] for wrapped in section["Relocations"])


def elf(sections: list[dict[str, Any]], target: Target) -> Iterator[Row]:
    patched: dict[int, list[tuple[Any, ...]]] = {}
    for section in sections:
        if section["Type"]["Name"] == "SHT_RELA":
            patched[section["Info"]] = [
                (r["Offset"], r["Type"]["Name"], r["Symbol"]["Name"], (r["Addend"] + (1 << 63)) % (1 << 64) - (1 << 63))
                for r in relocations(section)
            ]
    for section in sections:
        flags = {flag["Name"] for flag in section["Flags"]["Flags"]}
        if section["Type"]["Name"] == "SHT_PROGBITS" and "SHF_ALLOC" in flags:
            data = bytes(section["SectionData"]["Bytes"])
            own = symbols(section, lambda symbol: symbol["Name"]["Name"], 0)
            yield section["Name"]["Name"], data, own, patched.get(section["Index"], [])


def macho(sections: list[dict[str, Any]], target: Target) -> Iterator[Row]:
    for section in sections:
        if "Debug" in {flag["Name"] for flag in section["Attributes"]["Flags"]}:
            continue
        name = section["Name"]["Value"]
        own = symbols(section, lambda symbol: symbol["Name"]["Name"], section["Address"])
        found = [
            (r["Offset"], r["Type"]["Name"], (r.get("Symbol") or r["Section"])["Name"]) for r in relocations(section)
        ]
        # The section's own name is a symbol of ours, as it is for CPython's generator.
        yield name, bytes(section["SectionData"]["Bytes"]), [(name, 0), *own], found


def coff(sections: list[dict[str, Any]], target: Target) -> Iterator[Row]:
    taken: set[str] = set()
    for section in sections:
        flags = {flag["Name"] for flag in section["Characteristics"]["Flags"]}
        name = section["Name"]["Value"]
        if name.startswith(".debug$") or not flags & {"IMAGE_SCN_MEM_EXECUTE", "IMAGE_SCN_MEM_READ"}:
            continue
        empty = {"Bytes": [0] * section["RawDataSize"]}
        # Of symbols with one name the first counts, here as for CPython's generator.
        own = [(text, at) for text, at in symbols(section, lambda symbol: symbol["Name"], 0) if text not in taken]
        taken |= {text for text, _ in own}
        found = [(r["Offset"], r["Type"]["Name"], r["Symbol"]) for r in relocations(section)]
        yield name, bytes(section.get("SectionData", empty)["Bytes"]), own, found


READERS = {"elf": elf, "macho": macho, "coff": coff}


def ours(parsed: ObjectFile, target: Target) -> list[Row]:
    return [
        (
            section.name,
            section.data,
            [(symbol.name, symbol.offset) for symbol in section.symbols],
            _relocations(section, with_addend=target.format == "elf"),
        )
        for section in parsed.sections
    ]


def _relocations(section: Section, *, with_addend: bool) -> list[tuple[Any, ...]]:
    return [
        (r.offset, r.kind, f"__imp_{r.symbol}" if r.indirect else r.symbol, *([r.addend] if with_addend else []))
        for r in section.relocations
    ]


def theirs(path: Path, major: int, target: Target) -> list[Row]:
    """Reduce readobj's answer, with the prefix off every symbol."""

    def plain(symbol: str) -> str:
        if target.format == "coff" and symbol.startswith("__imp_"):
            return "__imp_" + symbol.removeprefix("__imp_").removeprefix(target.symbol_prefix)
        return symbol.removeprefix(target.symbol_prefix)

    return [
        (
            name,
            data,
            [(plain(text), at) for text, at in own],
            [(at, kind, plain(text), *rest) for at, kind, text, *rest in found],
        )
        for name, data, own, found in READERS[target.format](readobj(path, major), target)
    ]


@pytest.mark.parametrize(
    ("version", "major", "triple", "flavour"),
    [
        pytest.param(*row[:4], id="-".join(map(str, row[:4])), marks=[] if row[4] else [pytest.mark.matrix])
        for row in ROWS
    ],
)
def test_every_object_of_a_build(
    version: str, major: int, triple: str, flavour: Flavour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wb.header_flags(triple)
    target = targets.resolve(targets.load(), triple).target
    seen: dict[bytes, ObjectFile] = {}
    parse = objects.parse

    def record(data: bytes, target: Target, *, unwind: bool = False) -> ObjectFile:
        parsed = parse(data, target, unwind=unwind)
        if not unwind:
            seen[data] = parsed
        return parsed

    monkeypatch.setattr(objects, "parse", record)
    for name, value in wb.environment().items():
        monkeypatch.setenv(name, value)
    command = ["build", "--cpython", str(wb.tree(version)), "--llvm", str(wb.debian_llvm(major) / "clang")]
    config = wb.config_for(version, triple, flavour, tmp_path / "config")
    command += ["--target", triple, "--pyconfig-dir", str(config), "--no-cache"]
    command += [*(["--debug"] if flavour == "debug" else []), "--out", str(tmp_path / "out")]
    # Merged assembly is one object for dozens of uops, with sections that say so.
    command += ["--one-process-per-uop"] if target.text_section and version.startswith("3.15") else []
    assert cli.main(command) == 0
    # Uops with the same text are compiled to the same bytes, without the names of files all the more.
    assert len(seen) > {"3.14": 250, "3.15": 750}[version[:4]]
    print(f"{len(seen)} objects")

    def compare(item: tuple[int, tuple[bytes, ObjectFile]]) -> None:
        number, (data, parsed) = item
        path = tmp_path / f"{number}.o"
        path.write_bytes(data)
        assert ours(parsed, target) == theirs(path, major, target)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compare, enumerate(seen.items())))
