"""`stencilkit regen`."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

import click

from stencilkit.buildfolder import command as commands
from stencilkit.cli import _options, _progress, _render
from stencilkit.errors import ExitCode, UsageError
from stencilkit.pipeline import regenerating
from stencilkit.support import environ, process

# The rules of every makefile run `$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py ...`. configure puts that text into
# them whole (@REGEN_JIT_COMMAND@), so PYTHON_FOR_REGEN is the only variable of make's that reaches it.
_HOW: Final = """\
CPython 3.13, 3.14 and 3.15, in the source tree or in another folder, with --with-pydebug or --enable-optimizations:

  ./configure --enable-experimental-jit PYTHON_FOR_REGEN={quoted}
  make

or, for a tree that is configured already:

  make PYTHON_FOR_REGEN={quoted}

With the second one, `make install` needs the variable, too. Options go into the quotes, as in
PYTHON_FOR_REGEN='{plain} --llvm 22'; or name the LLVM with `LLVM_VERSION=22 make ...`.

musl (Alpine), FreeBSD: as above for 3.13 and 3.14. Of 3.15, configure leaves the shim out; with TRIPLE
as in x86_64-unknown-linux-musl, run these instead of make:

  make regen-jit PYTHON_FOR_REGEN={quoted} JIT_OBJS=jit_shim-TRIPLE.o JIT_SHIM_BUILD_OBJS=jit_shim-TRIPLE.o
  make PYTHON_FOR_REGEN={quoted} JIT_OBJS=jit_shim-TRIPLE.o JIT_SHIM_BUILD_OBJS=jit_shim-TRIPLE.o

Windows: PCbuild\\build.bat --experimental-jit "/p:PythonForBuild={plain}"
"""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_options.shared("--llvm", default="", help="Version, or path of a clang. [default: see below]")
@_options.shared("--sysroot")
@_options.shared("--jobs")
@_options.shared("--no-cache")
@_options.shared("--allow-driver-flags", help="Accept flags that a wrapper of clang adds.")
@_options.shared("--provisional")
@click.option("--how", is_flag=True, help="Print how to use this in CPython's own build, and exit.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[.../Tools/jit/build.py ARGUMENTS]")
def command(  # one parameter per option
    llvm: str,
    sysroot: Path | None,
    jobs: int | None,
    no_cache: bool,
    allow_driver_flags: bool,
    provisional: bool,
    how: bool,
    words: tuple[str, ...],
) -> int:
    """Do what Tools/jit/build.py does, with any supported LLVM: for make's PYTHON_FOR_REGEN.

    Takes the command line of every build.py in use, and writes the files that it would write, where it would write
    them; nothing if line 1 of those that are there says that they are up to date. Any other command line is given to
    the Python that runs stencilkit, because make runs its other generators with PYTHON_FOR_REGEN, too.

    The LLVM is that of --llvm, of the command line (CPython 3.15's configure puts LLVM_VERSION and
    LLVM_TOOLS_INSTALL_DIR there), of the environment's LLVM_VERSION, or the newest on this machine that can build
    this CPython's stencils.
    """
    if how:
        _render.say(_how(), nl=False)
        return ExitCode.OK
    if not words:
        raise UsageError(
            "regen needs a command line of Tools/jit/build.py", fix="stencilkit regen --how says how make does it"
        )
    if not commands.is_generator(words[0]):
        return process.hand_over([sys.executable, *words])
    if usage := commands.usage(words[1:]):
        _render.say(f"{usage}\nThese are the arguments of every build.py in use. regen's own: stencilkit regen --help")
        return ExitCode.OK
    progress = _progress.choose("text")
    variables = {"LLVM_VERSION": environ.variable("LLVM_VERSION")}
    order = regenerating.understand(words, variables, Path.cwd(), provisional=provisional)
    options = regenerating.Options(
        llvm=llvm, jobs=jobs or environ.cpus(), sysroot=sysroot, allow_driver_flags=allow_driver_flags
    )
    done = regenerating.regenerate(
        order, options, _options.store(use=not no_cache), environ.data_root(), progress=progress
    )
    for build in done.builds:
        for note in build.notes:
            progress.say(f"note: {note}")
    if not done.builds:
        # Somebody may have named another LLVM since, or edited what is below line 1.
        progress.say("line 1 is up to date, so nothing was built; it does not cover the LLVM: make clean-jit-stencils")
    for name, changed in sorted(done.changed.items()):
        if changed:
            progress.say(f"wrote {order.output / name}")
    return ExitCode.OK


def _how() -> str:
    """Spell the program as a makefile's shell finds it: by its name where that is on PATH."""
    name = "stencilkit"
    program = name if shutil.which(name) else f"{sys.executable} -m {name}"
    plain = f"{program} regen"
    return _HOW.format(plain=plain, quoted=shlex.quote(plain))
