"""The words of a makefile's rule -> the arguments of Tools/jit/build.py, understood as it does."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn

from stencilkit.model.jitcommand import GENERATOR, JitCommand


class NotUnderstoodError(ValueError):
    """Arguments that no build.py takes; the message says which."""


def is_generator(word: str) -> bool:
    """Return whether a word of a command is the path of build.py, with either kind of slash."""
    path = word.replace("\\", "/")
    return path == GENERATOR or path.endswith(f"/{GENERATOR}")


def parse(arguments: Sequence[str], variables: Mapping[str, str]) -> JitCommand:
    """Parse the arguments of build.py as it does.

    `variables` is the environment: the build.py of python-build-standalone, and 3.15's configure, take LLVM_VERSION
    from it.

    Raises: NotUnderstoodError.
    """
    found = _parser().parse_args(list(arguments))
    return JitCommand(
        triples=tuple(found.target),
        debug=found.debug,
        cflags=found.cflags,
        llvm=found.llvm_version or variables.get("LLVM_VERSION", ""),
        tools=found.llvm_tools_install_dir,
        output=found.output_dir,
        pyconfig=found.pyconfig_dir,
        force=found.force,
    )


def usage(arguments: Sequence[str]) -> str:
    """Return which arguments there are if that is what is asked for, as build.py does; else ""."""
    return _parser().format_usage() if {"-h", "--help"} & set(arguments) else ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise NotUnderstoodError(message)


def _parser() -> _Parser:
    """Make one parser for all CPythons (Tools/jit/build.py), because patches bring options to older ones.

    uv's 3.13 has --with-cflags, Debian's 3.14 --llvm-version.
    """
    parser = _Parser(prog=GENERATOR, add_help=False)
    parser.add_argument("target", nargs="+")
    parser.add_argument("-d", "--debug", action="store_true")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-o", "--output-dir", default=".")
    parser.add_argument("-p", "--pyconfig-dir", default=".")
    parser.add_argument("--cflags", "--with-cflags", default="")
    parser.add_argument("--llvm-version", default="")
    parser.add_argument("--llvm-tools-install-dir", default="")
    return parser
