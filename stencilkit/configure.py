"""A tree and a target -> pyconfig.h: the user's own, one from the tree's `configure`, or Windows' own.

`configure` runs once per tree, target, flavour and compiler, in a folder of the cache. Windows' pyconfig.h is part of
the tree. Refuses a pyconfig.h that belongs to another target or flavour.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from stencilkit.errors import ConfigureError
from stencilkit.model.pyconfig import PyConfig, PyConfigOrigin, macros
from stencilkit.model.source import SourceTree
from stencilkit.model.target import (
    Flavour,
    SpelledTarget,
    Target,
    compiler_script,
    cross_arguments,
    platform_answers,
)
from stencilkit.model.toolchain import Toolchain
from stencilkit.support import environ, files, private, process
from stencilkit.support.progress import SILENT, Progress

NAME: Final = "pyconfig.h"
# The folder of the cache for what configure makes.
_MADE: Final = "pyconfig"
_TIMEOUT_SECONDS: Final = 1800.0
# What configure gets instead of paths:
_CC: Final = "stencilkit-cc"
_PYTHON: Final = "stencilkit-python"
_BUILD_PYTHON: Final = "stencilkit-build-python"
_TREE: Final = "tree"
# A pyconfig.h that chooses among others by architecture, and says nothing itself (Debian's and Fedora's packages):
_CHOICE: Final = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^">\n]*pyconfig[^">\n]*\.h)[">]', re.MULTILINE)
_NUMBER: Final = re.compile("[0-9]{1,4}")
# The case of configure's lists of cross builds before which another one can stand:
_ANCHOR: Final = "\t*-*-vxworks*)\n"


def given(folder: Path, request: SpelledTarget, flavour: Flavour, host: str = "") -> PyConfig:
    """Use the pyconfig.h of a folder that the user named; `host` is what configure ran for there, "" if not known.

    Raises: ConfigureError if it is missing, or belongs to another target or flavour.
    """
    config = read(folder, host)
    spellings = (*request.target.spellings, request.target.universal)
    if config.host and not any(fnmatchcase(config.host, pattern) for pattern in spellings):
        raise ConfigureError(
            f"{folder} was configured for {config.host}, not for {request.target.triple}",
            fix="leave --target out, or give the build folder of that target",
        )
    _check(config, request.target, flavour)
    return config


def read(folder: Path, host: str = "") -> PyConfig:
    """Read the pyconfig.h of a folder that the user named, whatever it is for.

    Raises: ConfigureError if it is missing.
    """
    if not (folder / NAME).is_file():
        raise ConfigureError(
            f"there is no {NAME} in {folder}",
            fix="give the folder in which you ran configure: --pyconfig-dir",
        )
    config = _read(folder, "given", host)
    if config.macros.get("SIZEOF_VOID_P") is None:
        _refuse_wrapper(config)
    return config


def _refuse_wrapper(config: PyConfig) -> None:
    """Refuse a pyconfig.h that only includes others, naming those that are there: what it decides is not recorded.

    Raises: ConfigureError.
    """
    names = _CHOICE.findall(config.content.decode("utf-8", "replace"))
    # <x86_64-linux-gnu/python3.14/pyconfig.h> is found from /usr/include, where python3.14/pyconfig.h is, too.
    found = [root / name for name in names for root in (config.folder, config.folder.parent) if (root / name).is_file()]
    if names:
        own = [str(path.parent) for path in found if path.name == NAME]
        raise ConfigureError(
            f"this {NAME} only chooses among others, one for each architecture",
            where=str(config.folder / NAME),
            details="\n".join(map(str, found)),
            fix="--pyconfig-dir " + " or ".join(own)
            if own
            else f"copy the one that is meant, as {NAME}, into a folder of its own, and give that as --pyconfig-dir",
        )


def _read(folder: Path, origin: PyConfigOrigin, host: str = "") -> PyConfig:
    content = files.read_bytes(folder / NAME, error=ConfigureError)
    return PyConfig(
        folder=folder.resolve(),
        content=content,
        macros=macros(content.decode("utf-8", "replace")),
        origin=origin,
        host=host,
    )


def _check(config: PyConfig, target: Target, flavour: Flavour) -> None:
    where = str(config.folder / NAME)
    if target.pyconfig == "tree":
        # One file for all architectures and flavours; what it says depends on what the compiler defines.
        return
    size = config.macros.get("SIZEOF_VOID_P")
    if size is not None and _NUMBER.fullmatch(size) and int(size) != target.pointer_bytes:
        raise ConfigureError(
            f"{NAME} has {size}-byte pointers, but {target.triple} has {target.pointer_bytes}-byte ones",
            where=where,
            fix="give the pyconfig.h of a CPython that was configured for this target",
        )
    foreign = [f"defines {name}" for name in target.foreign_macros if config.macros.get(name) is not None]
    foreign += [f"does not define {name}" for name in target.own_macros if config.macros.get(name) is None]
    if foreign:
        raise ConfigureError(
            f"{NAME} {foreign[0]}, so it is not for {target.triple}",
            where=where,
            fix="give the pyconfig.h of a CPython that was configured for this target",
        )
    if config.flavour != flavour:
        raise ConfigureError(
            f"{NAME} is that of a {config.flavour} build, but {flavour} stencils were asked for",
            where=where,
            fix="leave --debug out" if flavour == "debug" else "add --debug",
        )


def configured(
    tree: SourceTree,
    request: SpelledTarget,
    flavour: Flavour,
    toolchains: Iterable[Toolchain],
    cache: Path,
    *,
    progress: Progress = SILENT,
) -> PyConfig:
    """Run the tree's own configure, or use what it made earlier; take Windows' pyconfig.h from the tree.

    `toolchains` are this machine's; one from PyPI is the compiler where there is no other one for the target.

    Raises: ConfigureError with the end of configure's output.
    """
    if request.target.pyconfig == "tree":
        return from_tree(tree, request.target, cache)
    compiler = compiler_for(request.target, toolchains)
    folder = _place(tree, request.target, flavour, compiler, private.make(cache))
    if not (folder / NAME).is_file():
        what = f"running configure of CPython {tree.version} for {request.target.triple} ({flavour}); this happens once"
        with progress.during(what), files.locked(folder.with_name(folder.name + ".lock")):
            # Another process may have made it while this one waited.
            if not (folder / NAME).is_file():
                _run_configure(tree, request.target, flavour, compiler, folder)
    config = _read(folder, "configured")
    _check(config, request.target, flavour)
    return config


def made(
    tree: SourceTree, request: SpelledTarget, flavour: Flavour, toolchains: Iterable[Toolchain], cache: Path
) -> Path | None:
    """Find the folder of the pyconfig.h that `configured` would use, where it was made before; run no configure."""
    if not any((cache / _MADE).glob(f"{_prefix(tree, request.target, flavour)}-*")):
        return None
    try:
        folder = _place(tree, request.target, flavour, compiler_for(request.target, toolchains), cache)
    except ConfigureError:
        # Without a compiler, nothing was configured with it.
        return None
    return folder if (folder / NAME).is_file() else None


def from_tree(tree: SourceTree, target: Target, cache: Path) -> PyConfig:
    """Take the pyconfig.h that CPython's Windows build uses.

    3.13 has it as PC/pyconfig.h.in, which PCbuild changes for free-threaded builds only.

    Raises: ConfigureError.
    """
    candidates = (tree.root / "PC" / NAME, tree.root / "PC" / f"{NAME}.in")
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise ConfigureError(
            f"CPython {tree.version} has no PC/{NAME}",
            where=str(tree.root),
            fix="use a complete release tarball or a checkout, or give --pyconfig-dir",
        )
    content = files.read_bytes(path, error=ConfigureError)
    digest = hashlib.sha256(content).hexdigest()
    folder = cache / _MADE / f"{tree.version}-{target.pyconfig}-{digest[:16]}"
    files.write(folder / NAME, content)
    return _read(folder, "tree")


def compiler_for(target: Target, toolchains: Iterable[Toolchain]) -> tuple[str, ...]:
    """Choose configure's C compiler, a program and its first arguments: the machine's own, or one from PyPI.

    Raises: ConfigureError that says what to install.
    """
    native = environ.is_native(target.native)
    names = ("gcc", "cc", "clang") if native else (target.gcc,)
    for name in names:
        if name and (found := shutil.which(name)):
            return (found,)
    for toolchain in toolchains:
        if toolchain.libc is not None and files.folders(toolchain.libc, target.zig_headers):
            return (str(toolchain.program), "cc", "-target", target.zig_target)
    own = "install gcc, or " if native else f"install {target.gcc_package}, or " if target.gcc else ""
    raise ConfigureError(
        f"there is no C compiler for {target.triple}, which configure needs",
        fix=f"{own}run stencilkit toolchains install 22 (its compiler serves for every target), or give --pyconfig-dir",
    )


def _place(tree: SourceTree, target: Target, flavour: Flavour, compiler: Sequence[str], cache: Path) -> Path:
    return cache / _MADE / _key(tree, target, flavour, compiler)


def _key(tree: SourceTree, target: Target, flavour: Flavour, compiler: Sequence[str]) -> str:
    version = process.run([*compiler, "--version"], timeout=60).out.split("\n", 1)[0]
    parts = [
        files.sha256(tree.root / "configure"),
        files.sha256(tree.root / "pyconfig.h.in"),
        target.triple,
        flavour,
        version,
        *_arguments(target, flavour),
        *platform_answers(target),
        *target.gcc_arguments,
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{_prefix(tree, target, flavour)}-{digest[:16]}"


def _prefix(tree: SourceTree, target: Target, flavour: Flavour) -> str:
    return f"{tree.version}-{target.triple}-{flavour}"


def _arguments(target: Target, flavour: Flavour) -> tuple[str, ...]:
    debug = ("--with-pydebug",) if flavour == "debug" else ()
    if environ.is_native(target.native):
        return debug
    return (*debug, *cross_arguments(target, machine=environ.native(), python=_BUILD_PYTHON))


def _run_configure(tree: SourceTree, target: Target, flavour: Flavour, compiler: Sequence[str], folder: Path) -> None:
    with files.scratch("configure") as work:
        # configure cannot cope with spaces in any path that it gets, and homes have them: it gets names without a
        # folder, and a link to the tree.
        programs = work / "bin"
        _program(programs / _CC, compiler_script(target, compiler))
        # A python3.NN on PATH may be a pyenv shim that does not run; configure must not pick it up.
        _program(programs / _PYTHON, f'exec {shlex.quote(sys.executable)} "$@"')
        (work / _TREE).symlink_to(tree.root.resolve())
        words = [f"PYTHON_FOR_REGEN={_PYTHON}", f"CC={_CC}", *_arguments(target, flavour)]
        env = {"ZIG_GLOBAL_CACHE_DIR": str(work / "zig"), "ZIG_LOCAL_CACHE_DIR": str(work / "zig")}
        env["PATH"] = os.pathsep.join([str(programs), *map(str, environ.search_path("PATH"))])
        if not environ.is_native(target.native):
            # configure only compares its version with the tree's (configure.ac, "for --with-build-python"); the make
            # that would run it never happens here.
            _program(programs / _BUILD_PYTHON, f"echo {tree.version.series}")
            # The host's pkg-config would find libraries of the wrong architecture:
            env["PKG_CONFIG_LIBDIR"] = str(work)
        log = work / "configure.log"
        done = process.run(
            [_script(tree, target, work), f"--srcdir={_TREE}", "-q", *words],
            cwd=work,
            env=env,
            timeout=_TIMEOUT_SECONDS,
            stdout_to=log,
        )
        if done.returncode or not (work / NAME).is_file():
            raise ConfigureError(
                f"configure of CPython {tree.version} for {target.triple} failed",
                where=str(tree.root),
                details=files.tail(log),
                fix="fix what it reports, or configure by hand and give --pyconfig-dir",
            )
        files.write(folder / NAME, (work / NAME).read_bytes())


def _script(tree: SourceTree, target: Target, work: Path) -> str:
    """Name the configure to run, as seen from the work folder: the tree's, or a copy that cross builds for the system.

    It stops at "cross build not supported" for what is not in either of two lists: macOS (3.13), FreeBSD.
    """
    text = files.read_text(tree.root / "configure", error=ConfigureError)
    if not target.configure_case or f"\t{target.configure_case[0]})\n" in text or text.count(_ANCHOR) != 2:
        return f"{_TREE}/configure"
    pattern, system = target.configure_case
    first, second, rest = text.split(_ANCHOR)
    cases = [f"\t{pattern})\n\t\t{body}\n\t\t;;\n" for body in (f"ac_sys_system={system}", "_host_ident=$host_cpu")]
    _program(work / "configure", f"{first}{cases[0]}{_ANCHOR}{second}{cases[1]}{_ANCHOR}{rest}")
    return "./configure"


def _program(path: Path, text: str) -> None:
    text = text if text.startswith("#!") else f"#!/bin/sh\n{text}\n"
    files.write(path, text.encode(), executable=True)
