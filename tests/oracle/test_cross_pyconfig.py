"""What configure is told in a cross build is what it finds out itself where it can run programs for the target."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from stencilkit import source
from stencilkit.model.pyconfig import visible
from stencilkit.pipeline import knowing
from stencilkit.support import environ
from tests import workbench as wb

INCLUDED = [f"-I{{tree}}/{name}" for name in ("Include", "Include/internal", "Include/internal/mimalloc", "Python")]
# GNU's spelling of the same machine: configure takes another --build than --host for a cross build.
ELSEWHERE = "x86_64-pc-linux-gnu"


def words(version: str) -> frozenset[str]:
    """List the words of every file of a tree that a stencil may be made from."""
    tree = knowing.tree(wb.tree(version))
    names = source.mentioned(tree, ["Tools/jit/template.c"], INCLUDED)
    texts = [(tree.root / name).read_text() for name in names]
    assert len(names) > 100
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


@pytest.mark.parametrize(
    "version", ["3.14.7", *(pytest.param(version, marks=pytest.mark.matrix) for version in ("3.13.15", "3.15.0rc1"))]
)
def test_a_cross_build_has_the_configuration_of_a_native_one_in_all_that_can_reach_a_stencil(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = words(version)
    native = (wb.pyconfig(version) / "pyconfig.h").read_text()
    monkeypatch.setattr(environ, "native", lambda: ELSEWHERE)
    cross = (wb.configured(version, to=tmp_path) / "pyconfig.h").read_text()
    assert cross != native
    found, expected = visible(cross, seen), visible(native, seen)
    assert (found.macros, found.undefined, found.guarded) == (expected.macros, expected.undefined, expected.guarded)


@pytest.mark.matrix
@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"])
def test_musl_has_a_name_with_a_toolchain_of_pypis(
    triple: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, there was no perf trampoline: what is in _PyRuntime was elsewhere, and 3.15 crashed."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if "musl" in name else which(name))
    text = (wb.configured("3.15.0rc1", triple, to=tmp_path) / "pyconfig.h").read_text()
    assert f'#define SOABI_PLATFORM "{triple.replace("-unknown", "")}"\n' in text
    assert "#define PY_HAVE_PERF_TRAMPOLINE 1\n" in text
