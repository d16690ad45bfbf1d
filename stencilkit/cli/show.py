"""`stencilkit show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stencilkit import disassemble, emit
from stencilkit.cli import _completion, _options, _render
from stencilkit.errors import UsageError
from stencilkit.model import digest
from stencilkit.model.header import ReadHeader
from stencilkit.model.stencil import PatchForm, Stencil, StencilGroup
from stencilkit.pipeline import admitting, surveying
from stencilkit.support import suggest
from stencilkit.support.words import counted


@click.command()
@click.argument("uop", shell_complete=_completion.uops)
@click.argument("path", metavar="HEADER|OUT-DIR", type=_options.ANY_PATH)
@_options.shared("--target", "triple", help="Triple of the code. [default: as the file's name says]")
@_options.format_option("text", "json")
def command(uop: str, path: Path, triple: str | None, form: str) -> None:
    """Show one stencil: sizes, holes and disassembly.

    A folder above several output folders stands for all of them.
    """
    found = surveying.read_only(path)
    if len(found) > 1 and form == "json":
        raise UsageError(
            f"there are {len(found)} builds below {path}, and JSON output is for one",
            details="\n".join(map(str, found)),
            fix="name one of them",
        )
    for number, one in enumerate(found):
        if len(found) > 1:
            _render.say_lines([*([""] if number else []), str(one)])
        _show(uop, one, triple, form)


def _show(uop: str, path: Path, triple: str | None, form: str) -> None:
    opened = admitting.header(path, triple)
    header, arch = opened.header, opened.target.arch
    if uop not in header.stencils:
        names = [group.name for group in header.stencils.groups]
        near = suggest.question(suggest.nearest(uop, names)) or "its manifest.toml lists them"
        raise UsageError(f"{opened.path} has no stencil {uop}", fix=near)
    group = header.stencils[uop]
    ordinals = header.stencils.ordinals
    calls = {
        part: emit.patch_calls(stencil, part, header.format, ordinals)
        for part, stencil in (("code", group.code), ("data", group.data))
    }
    code = disassemble.listing(group.code, arch, calls["code"])
    if form == "json":
        _render.print_json("stencil", _as_json(header, group, calls, code))
    else:
        _print(header, group, calls, code)


def _print(header: ReadHeader, group: StencilGroup, calls: dict[str, tuple[str, ...]], code: list[str]) -> None:
    _render.say(f"{group.name}  CPython {header.format.series}  sha256:{digest.group_digest(group)}")
    holes = counted(group.hole_count, "hole")
    sizes = [f"{name} {counted(len(one.body), 'byte')}" for name, one in (("code", group.code), ("data", group.data))]
    _render.say(", ".join((*sizes, holes)))
    if code:
        _render.say("\ncode:")
    for line in code:
        _render.say(f"  {line}")
    if group.data.body:
        _render.say("\ndata:")
        for start in range(0, len(group.data.body), 16):
            row = group.data.body[start : start + 16]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            _render.say(f"  {start:4x}:  {row.hex(' '):<47}  {text}")
        for call in calls["data"]:
            _render.say(f"        ^ {call}")


def _as_json(
    header: ReadHeader, group: StencilGroup, calls: dict[str, tuple[str, ...]], code: list[str]
) -> dict[str, Any]:
    def part(name: str, stencil: Stencil) -> dict[str, Any]:
        holes = [
            {
                "offsets": list(patch.offsets),
                "function": patch.func,
                "form": patch.form.value,
                "value": patch.value.value,
                "symbol": patch.symbol,
                "addend": patch.addend,
                "call": call,
            }
            for patch, call in zip(stencil.patches, calls[name], strict=True)
            if patch.form is not PatchForm.VOID
        ]
        return {"size": len(stencil.body), "bytes": stencil.body.hex(), "holes": holes}

    return {
        "uop": group.name,
        "cpython": header.format.series,
        "content": digest.group_digest(group),
        "code": part("code", group.code),
        "data": part("data", group.data),
        "disassembly": code,
    }
