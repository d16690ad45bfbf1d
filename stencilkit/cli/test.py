"""`stencilkit test`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import click

from stencilkit import artifact
from stencilkit.cli import _options, _progress, _testing
from stencilkit.errors import ExitCode
from stencilkit.jittest import junit
from stencilkit.model.testing import Suite
from stencilkit.pipeline import bundling, requesting, testing
from stencilkit.support import environ, files


@click.command()
@click.argument("stencils", type=_options.EXISTING_PATH)
@_options.shared("--cpython")
@_options.shared("--target", help="Triple to test. If it is not this machine's, it runs under qemu-user.")
@_options.shared("--debug", help="Test a debug build of CPython, on debug stencils.")
@_options.shared("--llvm", default="", help="Test only the stencils made by this LLVM. [default: all]")
@click.option("--suite", type=click.Choice(get_args(Suite)), default="jit", show_default=True, help="Tests to run.")
@click.option(
    "--module", "modules", multiple=True, metavar="NAME", help="Test module to run instead of the suite. Repeatable."
)
@click.option(
    "--benchmarks/--no-benchmarks",
    default=None,
    help="Measure speed with the JIT on and off. [default: except with smoke]",
)
@click.option(
    "--configure", "arguments", multiple=True, metavar="ARG", help="Additional argument for configure. Repeatable."
)
@_options.shared("--jobs", help="Compilers and tests to run at once. [default: one per processor]")
@_options.shared("--timeout", default=1200, help="Seconds per test module.")
@click.option(
    "--junit", "junit_file", type=_options.ANY_PATH, metavar="FILE", help="Also write JUnit XML to this file."
)
@click.option("--work", type=_options.FOLDER, help="Folder to build in, which is kept. [default: a temporary folder]")
@_options.format_option("text", "json")
def command(
    stencils: Path,
    cpython: str | None,
    target: str | None,
    debug: bool,
    llvm: str,
    suite: Suite,
    modules: tuple[str, ...],
    benchmarks: bool | None,
    arguments: tuple[str, ...],
    jobs: int | None,
    timeout: float,
    junit_file: Path | None,
    work: Path | None,
    form: str,
) -> int:
    """Build a CPython on STENCILS with every LLVM hidden, prove that its JIT runs, and run its tests.

    A test that fails is run again with PYTHON_JIT=0; only if it passes then is the JIT to blame. STENCILS is a bundle,
    an output folder of stencilkit build, or a folder above several; the stencils of each LLVM are tested in turn.

    Exits with 1 if the JIT breaks anything.
    """
    if junit_file is not None:
        # Before an hour of tests.
        files.check_writable(junit_file.absolute().parent)
    progress = _progress.choose(form)
    tree = _options.open_tree(cpython, progress)
    wanted = requesting.one(target)
    flavour = "debug" if debug else "release"
    chosen = artifact.choose(
        bundling.open_all(stencils, [wanted.triple]),
        version=str(tree.version),
        triple=wanted.triple,
        flavour=flavour,
        llvm=llvm,
    )
    with _folder(work) as (folder, keep):
        report = testing.run(
            testing.TestRequest(
                tree=tree,
                target=wanted,
                flavour="debug" if debug else "release",
                artifacts=chosen,
                suite=suite,
                modules=modules,
                benchmarks=suite != "smoke" if benchmarks is None else benchmarks,
                configure=arguments,
                jobs=jobs or environ.cpus(),
                timeout=timeout,
                folder=folder,
            ),
            progress,
        )
        if junit_file is not None:
            files.write(junit_file, junit.render(report).encode())
        _testing.report(report, form)
        if not report.good:
            keep()
    return ExitCode.OK if report.good else ExitCode.DIFFERENT


@contextlib.contextmanager
def _folder(named: Path | None) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Give a folder to work in, and what to call so that the logs in it outlive a temporary one."""
    if named is not None:
        yield named.absolute(), lambda: None
        return
    with files.lasting("test", "*.log") as lasting:
        yield lasting
