"""`stencilkit targets`."""

from __future__ import annotations

import click

from stencilkit import headers, targets, toolchain
from stencilkit.cli import _options, _render
from stencilkit.errors import ToolchainError
from stencilkit.model.target import SupportTable, Target
from stencilkit.model.toolchain import Toolchain
from stencilkit.support import environ


@click.command()
@_options.format_option("text", "json")
def command(form: str) -> None:
    """List every triple: tier, format, headers, and which CPythons build for it with which LLVMs.

    "headers" is what a build on this machine would use: the system's, a cross libc, a PyPI toolchain's (for Windows
    mingw's: good for checks, not for shipping), or none, where --sysroot has to name some.
    """
    table = targets.load()
    found = toolchain.discover(environ.data_root(), _options.store()).toolchains
    origins = {target.triple: _headers(target, found) for target in table.targets}
    if form == "json":
        rows = [_row(target, table, origins[target.triple]) for target in table.targets]
        refused = [{"pattern": item.pattern, "why": item.why} for item in table.refused_targets]
        _render.print_json("targets", {"targets": rows, "refused": refused})
        return
    rows_of_text = [
        [
            target.triple,
            target.tier,
            target.format,
            origins[target.triple] or "none",
            target.pyconfig,
            ", ".join(
                f"{series} ({support.llvm})"
                for series, support in table.pythons.items()
                if target.triple in support.targets
            ),
        ]
        for target in table.targets
    ]
    _render.print_table(["target", "tier", "format", "headers", "pyconfig.h", "CPython (LLVM)"], rows_of_text)
    for item in table.refused_targets:
        _render.say_wrapped(f"refused: {item.pattern}: {item.why}")


def _headers(target: Target, found: tuple[Toolchain, ...]) -> str:
    """Return where a build would find headers, "" where it would not."""
    for tool in found[:1]:
        try:
            return headers.choose(target, tool, found).origin
        except ToolchainError:
            return ""
    return ""


def _row(target: Target, table: SupportTable, origin: str) -> dict[str, object]:
    pythons = {
        series: {"llvm": str(support.llvm), "upstream": support.pinned}
        for series, support in table.pythons.items()
        if target.triple in support.targets
    }
    return {
        "triple": target.triple,
        "spellings": list(target.spellings),
        "universal": target.universal,
        "tier": target.tier,
        "format": target.format,
        "headers": origin,
        "pyconfig": target.pyconfig,
        "cpython": pythons,
    }
