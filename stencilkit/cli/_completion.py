"""Completion in bash, zsh and fish: values of options, and the scripts that ask for them (click's own)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class, shell_complete

from stencilkit.support import environ

# What click's scripts set when a shell wants an answer.
VARIABLE: Final = "_STENCILKIT_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")
_NAME: Final = "stencilkit"
_MAJOR: Final = re.compile(r"(?:llvm|clang)-([0-9]+)")
# A stencil's name in a manifest.
_STENCIL: Final = re.compile(r'^(?:name = )?"?(_[A-Z0-9_]+)"?', re.MULTILINE)

Items = list[CompletionItem]


def answer(group: click.Group, instruction: str) -> None:
    """Print what a shell asked for. A line that makes no sense has no completions, and no errors either."""
    # Whatever it is, a traceback in the middle of a line helps nobody.
    with contextlib.suppress(Exception):
        shell_complete(group, {}, _NAME, VARIABLE, instruction)


def script(group: click.Group, shell: str) -> str:
    """Return the script that makes a shell ask; sourced, or put where the shell looks for completions."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  # one of SHELLS
    # Not found.source(), which first runs bash to see how old it is.
    return ShellComplete.source(found(group, {}, _NAME, VARIABLE))


def _starting(incomplete: str, words: Iterable[str]) -> Items:
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.startswith(incomplete)]


def triples(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """Complete a target."""
    from stencilkit.pipeline import knowing

    found = knowing.known_targets()
    return _starting(incomplete, [*(one.triple for one in found), *(one.universal for one in found if one.universal)])


def pythons(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """Complete a version of CPython, or the path of a tree or a tarball."""
    from stencilkit import pins

    versions = _starting(incomplete, (str(pin.version) for pin in pins.load().sources))
    return [CompletionItem(incomplete, type="file"), *versions]


def llvms(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the major version of an LLVM that is on this machine, by the names of programs and folders alone."""
    from stencilkit.pipeline import knowing

    supported = {major for python in knowing.pythons().values() for major in python.support.llvm}
    places = [*environ.search_path("PATH"), Path("/usr/lib"), environ.data_root() / "toolchains"]
    names = (name for place in places for name in _names(place))
    majors = {int(match[1]) for name in names if (match := _MAJOR.match(name))}
    return _starting(incomplete, map(str, sorted(majors & supported)))


def wheels(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the major version of an LLVM that PyPI has."""
    from stencilkit import pins

    return _starting(incomplete, (str(pin.version.major) for pin in pins.load().wheels))


def uops(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the name of a stencil, from the first manifest in the default output folder."""
    manifest = next(iter(sorted(Path("stencils").glob("*/*/*/*/manifest.toml"))), None)
    text = manifest.read_text("utf-8", "replace") if manifest else ""
    return _starting(incomplete, sorted({match[1] for match in _STENCIL.finditer(text)}))


def _names(place: Path) -> list[str]:
    try:
        return [path.name for path in place.iterdir()]
    except OSError:
        return []
