"""`stencilkit doctor`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from stencilkit import configure, headers, targets, toolchain
from stencilkit.cli import _options, _render
from stencilkit.errors import ConfigureError, ExitCode, ToolchainError
from stencilkit.model.target import Target
from stencilkit.model.toolchain import Found
from stencilkit.support import environ


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """One thing that a job needs, whether it is there, and what brings it where it is not.

    `main` is the job that stencilkit is for, on this machine and for it: to build stencils.
    """

    job: str
    need: str
    have: str
    remedy: str
    main: bool = False


# Which package of Debian's and Fedora's has a program, where it is not named like it.
_PACKAGES: Final = {
    "qemu-aarch64-static": "qemu-user-static",
}


@click.command()
@_options.format_option("text", "json")
def command(form: str) -> int:
    """Report what is missing on this machine for which job, and the package that provides it.

    Exits with 0 if stencils for this machine can be built, with 1 if something for that is missing. Other targets and
    tests may need more.
    """
    found = toolchain.discover(environ.data_root(), _options.store())
    checks = list(_checks(found))
    if form == "json":
        rows = [
            {
                "job": check.job,
                "needs": check.need,
                "has": check.have,
                "remedy": check.remedy,
                "main": check.main,
            }
            for check in checks
        ]
        _render.print_json("doctor", {"checks": rows})
    else:
        table = [[check.job, check.need, *_answer(check)] for check in checks]
        _render.print_table(["job", "needs", "has", "how to get it"], table, shared=("job",))
    return ExitCode.OK if all(check.have for check in checks if check.main) else ExitCode.DIFFERENT


def _answer(check: _Check) -> tuple[str, str]:
    if check.have:
        return check.have, ""
    return _render.Word("MISSING" if check.main else "missing"), check.remedy


def _checks(found: Found) -> Iterator[_Check]:
    table = targets.load()
    fits = {
        series: sorted({str(t.version) for t in found.toolchains if t.version.major in support.llvm})
        for series, support in table.pythons.items()
    }
    for series, support in table.pythons.items():
        fitting = fits[series]
        yield _Check(
            job=f"build {series}",
            need=f"LLVM {support.llvm}",
            have=", ".join(fitting),
            remedy=f"stencilkit toolchains install {support.pinned}, or clang-{support.pinned}",
            # One CPython is enough to go on with.
            main=bool(fitting) or not any(fits.values()),
        )
    for target in table.targets:
        yield from _target_checks(target, found)
    for program in ("make", "gcc", "gdb"):
        yield _Check(job="test", need=program, have=shutil.which(program) or "", remedy=_install(program))
    yield _Check(
        job="toolchains install",
        need="pip",
        have="pip" if _has_pip() else "",
        remedy=f"{sys.executable} -m ensurepip",
    )


def _target_checks(target: Target, found: Found) -> Iterator[_Check]:
    job = f"build for {target.triple}"
    native = environ.is_native(target.native)
    origin = ""
    remedy = "get an LLVM first, which knows where they are"
    for tool in found.toolchains[:1]:
        try:
            origin = headers.choose(target, tool, found.toolchains).origin
        except ToolchainError as error:
            remedy = error.fix
    yield _Check(job=job, need="libc headers", have=origin, remedy=remedy, main=native)
    if target.pyconfig != "configure":
        return
    compiler = ""
    try:
        compiler = " ".join(configure.compiler_for(target, found.toolchains))
    except ConfigureError as error:
        remedy = error.fix
    yield _Check(job=job, need="a C compiler, to run configure", have=compiler, remedy=remedy, main=native)
    if target.gcc and not native:
        yield from _test_checks(target)


def _test_checks(target: Target) -> Iterator[_Check]:
    """List what jittest/making.py looks for, for a target that is not this machine's."""
    job, install = f"test for {target.triple}", f"install {target.gcc_package}"
    yield _Check(job=job, need=target.gcc, have=shutil.which(target.gcc) or "", remedy=install)
    emulated = not environ.runs(target.native)
    if emulated:
        have = next(filter(None, map(shutil.which, target.emulators)), "")
        yield _Check(job=job, need=target.emulators[0], have=have, remedy=_install(target.emulators[0]))
    if emulated or target.loader:
        have = target.library if Path(target.library).exists() else ""
        yield _Check(job=job, need=target.library, have=have, remedy=install)


def _install(program: str) -> str:
    return f"install {_PACKAGES.get(program, program)}"


def _has_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None
