"""Relative paths in CFLAGS_JIT start at the build folder, as they do for upstream."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit.model import cflags

HERE = Path("/build")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("-Iinclude",), ("-I/build/include",)),
        (("-I", "../include"), ("-I", "/build/../include")),
        (("-I.",), ("-I/build",)),
        (("-isystem", "a", "-iquote", "b"), ("-isystem", "/build/a", "-iquote", "/build/b")),
        (("-idirafter", "c"), ("-idirafter", "/build/c")),
        (("-include", "a.h", "-includeb.h"), ("-include", "/build/a.h", "-include/build/b.h")),
        (("--sysroot=x", "-isysrootx"), ("--sysroot=/build/x", "-isysroot/build/x")),
        (("-O3", "-DX=a/b", "-I/usr/include", "-I=lib", "-isystem", "/x"), None),
        (("-I",), None),
        (("-include-pch", "a.pch"), None),
    ],
)  # fmt: skip
def test_paths_from_the_root(words: tuple[str, ...], found: tuple[str, ...] | None) -> None:
    assert cflags.absolute(words, HERE) == (found or words)
    assert bool(cflags.relative(words)) == (found is not None)


def test_what_is_relative_is_named() -> None:
    assert cflags.relative(("-O3", "-Ia", "-I", "b", "-I/c")) == ("-Ia", "-I b")
