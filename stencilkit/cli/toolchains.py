"""`stencilkit toolchains`."""

from __future__ import annotations

import click

from stencilkit import headers, pins, provision, toolchain
from stencilkit.cli import _completion, _groups, _options, _progress, _render
from stencilkit.errors import ToolchainError, UsageError
from stencilkit.model.toolchain import Found, Toolchain
from stencilkit.pipeline import knowing
from stencilkit.support import environ


@click.group(cls=_groups.Group, invoke_without_command=True)
@_options.format_option("text", "json")
@click.pass_context
def command(ctx: click.Context, form: str) -> None:
    """List the LLVMs on this machine: version, vendor, path, and what each of them lacks."""
    if ctx.invoked_subcommand is None:
        _list(toolchain.discover(environ.data_root(), _options.store()), form)


@command.command()
@click.argument("versions", nargs=-1, required=True, metavar="MAJOR...", shell_complete=_completion.wheels)
def install(versions: tuple[str, ...]) -> None:
    """Install LLVMs from PyPI (ziglang wheels) into the user's data folder; no root needed.

    A range like 19..22 works too. Every wheel's SHA-256 is pinned. STENCILKIT_DATA names another folder.
    """
    progress = _progress.choose("text")
    for folder in provision.install(_majors("install", versions), pins.load(), environ.data_root(), progress=progress):
        _render.say(folder)


@command.command()
@click.argument("versions", nargs=-1, required=True, metavar="MAJOR...", shell_complete=_completion.wheels)
def remove(versions: tuple[str, ...]) -> None:
    """Remove LLVMs that `stencilkit toolchains install` installed; a distribution's are never touched."""
    for folder in provision.remove(_majors("remove", versions), pins.load(), environ.data_root()):
        _render.say(f"removed {folder}")


def _majors(name: str, versions: tuple[str, ...]) -> list[int]:
    """Read the major versions that a subcommand was given.

    Raises: UsageError.
    """
    majors: list[int] = []
    for want in toolchain.parse_wanted(",".join(versions)):
        if want.majors is None:
            raise UsageError(f"toolchains {name} takes major versions", fix=f"stencilkit toolchains {name} 19 20 21")
        majors.extend(want.majors)
    return list(dict.fromkeys(majors))


def _list(found: Found, form: str) -> None:
    lacks = {tool: _lacks(tool, found) for tool in found.toolchains}
    if form == "json":
        rows = [
            {
                "version": str(tool.version),
                "vendor": tool.vendor,
                "origin": tool.origin,
                "program": str(tool.program),
                "lacks": lacks[tool],
            }
            for tool in found.toolchains
        ]
        rejected = [{"program": str(item.program), "why": item.why} for item in found.rejected]
        _render.print_json("toolchains", {"toolchains": rows, "rejected": rejected})
        return
    table = [
        [str(tool.version), tool.origin, str(tool.program), tool.vendor, "; ".join(lacks[tool]) or "nothing"]
        for tool in found.toolchains
    ]
    if table:
        _render.print_table(["version", "found by", "program", "vendor", "lacks"], table)
    else:
        _render.say("no LLVM found; stencilkit toolchains install 19 brings one from PyPI")
    for item in found.rejected:
        _render.say_wrapped(f"not used: {item.program}: {item.why}")


def _lacks(tool: Toolchain, found: Found) -> list[str]:
    missing = []
    if not (tool.resource / "include" / "stddef.h").is_file():
        missing.append(f"its own headers (Debian: libclang-common-{tool.version.major}-dev)")
    for target in knowing.known_targets():
        try:
            toolchain.check_arch(tool, target.arch)
            headers.choose(target, tool, found.toolchains)
        except ToolchainError:
            back_end = target.arch in tool.archs
            missing.append(f"{'libc headers' if back_end else 'the back end'} for {target.triple}")
    return missing
