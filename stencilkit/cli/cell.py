"""`stencilkit cell`: what `qualify` starts for each cell."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit import results
from stencilkit.cli import _options
from stencilkit.errors import ResultError
from stencilkit.pipeline import qualifying
from stencilkit.support import files, process


@click.command(hidden=True)
@click.argument("job", type=_options.ANY_PATH)
@click.argument("result", type=_options.ANY_PATH)
def command(job: Path, result: Path) -> None:
    """Do the JOB that `stencilkit qualify` wrote, and write its RESULT."""
    process.end_with_parent()
    asked = results.parse_job(files.read_bytes(job, error=ResultError), str(job))
    files.write(result, results.render(qualifying.qualify(asked, _options.store(use=asked.cached))))
