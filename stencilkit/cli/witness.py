"""`stencilkit witness`."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit.cli import _options, _progress, _render, _verdicts
from stencilkit.errors import ExitCode, UsageError
from stencilkit.model.verdict import Verdict
from stencilkit.pipeline import admitting, bundling, opening, witnessing
from stencilkit.support import archive, files


@click.command()
@click.argument("path", metavar="STENCILS", type=_options.EXISTING_PATH)
@_options.shared("--cpython")
@_options.shared("--build-dir")
@click.option("--cc", default="", metavar="CC", help="The compiler of the runtime. [default: the makefile's]")
@_options.shared("--cflags", default="", help="Flags to add after those of the makefile.")
@click.option("--write", "written", type=_options.ANY_PATH, metavar="FILE", help="Write the C file; compile nothing.")
@_options.format_option("text", "json", "markdown", "junit")
def command(
    path: Path,
    cpython: str | None,
    build_dir: Path | None,
    cc: str,
    cflags: str,
    written: Path | None,
    form: str,
) -> int:
    """Ask the runtime's own compiler whether it lays out structures as the stencils expect.

    STENCILS is an output folder, a header in one, or a bundle. Sizes, offsets, bit-fields, enumerators and constants
    that the stencils have compiled in are asserted in a C file, which is compiled with the compiler and the flags that
    the makefile of a configured CPython has. No LLVM is needed. Nothing is run but that compiler, which may be one for
    another machine.

    Exits with 0 if everything is where the stencils expect it, 1 if not.
    """
    tree = _options.open_tree(cpython, _progress.choose(form))
    found = _open(path)
    if written is not None:
        if len(found) > 1:
            raise UsageError(f"{path} has stencils of several builds", fix="name one output folder")
        files.write(written, witnessing.text_of(found[0], tree).encode())
        _render.say(f"wrote {written}")
        return ExitCode.OK
    runtime = witnessing.runtime(tree, build_dir or tree.root, cc, cflags)
    verdicts = [Verdict(subject=_title(item), checks=witnessing.ask(item, runtime), digests={}) for item in found]
    _verdicts.show(verdicts, form, quiet=False)
    return ExitCode.OK if all(verdict.accepted for verdict in verdicts) else ExitCode.DIFFERENT


def _title(item: opening.Described) -> str:
    m = item.manifest
    return f"CPython {m.cpython}, {m.triple}, {m.flavour}, LLVM {m.toolchain.version}"


def _open(path: Path) -> list[opening.Described]:
    """Verify a header, a folder or a bundle, and return the manifests there."""
    if path.is_dir() or archive.is_tar(path):
        return [opening.describe(item.manifest) for item in bundling.open_all(path)]
    opened = admitting.header(path)
    if opened.manifest is None:
        raise UsageError(
            f"{path} has no manifest beside it", fix="give an output folder of stencilkit build, or a bundle"
        )
    return [opening.describe(opened.manifest)]
