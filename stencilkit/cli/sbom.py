"""`stencilkit sbom`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from stencilkit import sbom
from stencilkit.cli import _options, _render, _verdicts
from stencilkit.errors import ExitCode
from stencilkit.pipeline import admitting, bundling, verifying
from stencilkit.pipeline.evidence import Subject
from stencilkit.support import files


@click.command()
@click.argument("bundle", metavar="BUNDLE|OUT-DIR", type=_options.EXISTING_PATH)
@_options.shared("--output", "-o", help="File to write. [default: standard output]")
@_options.format_option(*get_args(sbom.Form))
def command(bundle: Path, output: Path | None, form: sbom.Form) -> int:
    """Write a bill of materials: the stencils, the CPython, LLVM and headers behind them, and licences.

    CycloneDX 1.6 or SPDX 2.3, as JSON. The same bundle gives the same bytes; the time is SOURCE_DATE_EPOCH's. The
    stencils are verified first: if they are not what their manifests say, nothing is written, and it exits with 1.
    """
    artifacts = bundling.open_all(bundle)
    verdicts = [verifying.run_artifact(item, Subject(path=bundle, policy=admitting.ITSELF)) for item in artifacts]
    if not all(verdict.accepted for verdict in verdicts):
        _verdicts.show(verdicts, "text", quiet=True)
        return ExitCode.DIFFERENT
    digest = files.sha256(bundle) if bundle.is_file() else ""
    written = sbom.render(sbom.bill(bundle.absolute().name, digest, artifacts), form)
    if output is None:
        _render.say(written.decode(), nl=False)
    else:
        files.write(output, written)
    return ExitCode.OK
