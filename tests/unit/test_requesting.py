"""What users write becomes what can be built: targets, and the tree of --cpython."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from stencilkit import fetch
from stencilkit.cli import _options
from stencilkit.errors import SourceError, StencilkitError, TargetError, UsageError
from stencilkit.pipeline import knowing, requesting
from stencilkit.support import environ
from stencilkit.support.progress import SILENT
from tests import samples

LINUX, PC = "x86_64-unknown-linux-gnu", "x86_64-pc-linux-gnu"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return samples.tree(tmp_path / "tree").root


def test_a_target_that_is_named_twice_in_one_spelling_is_built_once(tree: Path) -> None:
    found = requesting.several([LINUX, "", LINUX, "all"], knowing.tree(tree))
    triples = [request.target.triple for request in found]
    assert triples[0] == LINUX
    assert len(triples) == len(set(triples)) == 7


def test_two_spellings_of_one_target_are_refused(tree: Path) -> None:
    with pytest.raises(UsageError, match=f"--target {LINUX} and {PC} are one target"):
        requesting.several([LINUX, PC], knowing.tree(tree))


def test_a_machine_that_is_no_target_must_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environ, "is_native", lambda _: False)
    with pytest.raises(UsageError, match="not one of the known targets") as caught:
        requesting.one(None)
    assert "--target" in caught.value.fix


def test_hardened_flags_are_added_once_and_only_where_there_are_some() -> None:
    linux = knowing.target(LINUX).target
    once = requesting.hardened("-O2", linux)
    assert once.startswith("-O2 -f")
    assert requesting.hardened(once, linux) == once
    with pytest.raises(TargetError, match="no hardened flavour for aarch64-apple-darwin"):
        requesting.hardened("", knowing.target("aarch64-apple-darwin").target)


def test_the_current_folder_is_the_tree_if_none_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert _options.open_tree(None, SILENT).root == tree
    assert _options.open_tree(".", SILENT).root == tree


def test_a_tarball_is_unpacked_into_the_cache_once(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    tarball = tmp_path / "Python-3.14.7.tar.gz"
    with tarfile.open(tarball, "w:gz") as file:
        file.add(tree, "Python-3.14.7")
    first = _options.open_tree(str(tarball), SILENT)
    assert str(first.version) == "3.14.7"
    assert first.root.is_relative_to(tmp_path / "cache")
    monkeypatch.setattr(fetch, "unpack", None)
    assert _options.open_tree(str(tarball), SILENT).root == first.root


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("gone/tree", UsageError, "there is no such folder or file"),
        ("Python-3.14.7.tar.xz", UsageError, "there is no such folder or file"),
        ("three", UsageError, "'three' is not a CPython version"),
        (".", SourceError, "."),
    ],
)
def test_what_is_no_tree_is_refused_with_the_next_step(
    given: str, error: type[StencilkitError], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(error, match=message) as caught:
        _options.open_tree(given, SILENT)
    assert caught.value.fix
