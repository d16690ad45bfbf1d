"""Manifests that are well sealed and wrong all the same: the error names the path to the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import manifest
from stencilkit.errors import ManifestError
from stencilkit.model.build import IncludedFile
from stencilkit.model.cc1 import Cpu
from stencilkit.model.manifest import FileRecord, Manifest, StencilRecord, UsedFile
from stencilkit.model.source import ReleaseSignature
from stencilkit.pipeline import opening
from tests import samples

Change = Callable[[Manifest], Manifest]
ZERO, ONE = "0" * 64, "1" * 64


@pytest.fixture
def good(tmp_path: Path) -> Manifest:
    opened = samples.tree(tmp_path / "tree")
    return samples.describe(opened, samples.FILES, samples.stencils(), ZERO)


def stencil(name: str, **more: object) -> StencilRecord:
    sizes = {"code": 1, "data": 2, "holes": 3, **more}
    return StencilRecord(name=name, content=ZERO, **sizes)  # type: ignore[arg-type]


def with_stencils(*records: StencilRecord) -> Change:
    return lambda held: replace(held, stencils=records, content_digest=manifest.content_digest(records, held.extras))


def cpu(*features: str) -> Cpu:
    return Cpu(name="x86-64", tune="generic", features=features, abi="")


def signature(tarball: str) -> ReleaseSignature:
    return ReleaseSignature(tarball=tarball, sha256=ZERO, identity="a@example.org", issuer="https://example.org")


def with_file(name: str) -> Change:
    return lambda held: replace(held, files=(FileRecord(role="shim", name=name, sha256=ZERO),))


def with_include(name: str) -> Change:
    return lambda held: replace(held, includes=(IncludedFile(origin="tree", name=name, sha256=ZERO),))


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (with_stencils(), "stencil", "describes nothing"),
        (with_stencils(stencil("_B"), stencil("_A")), "stencil", "in name order"),
        (with_stencils(replace(stencil("_A"), code=-1)), "stencil._A", "three numbers"),
        (lambda held: replace(held, content_digest=ONE), "artifact.content-digest", "does not follow"),
        (lambda held: replace(held, extras={"shim": ZERO}), "artifact.content-digest", "does not follow"),
        (lambda held: replace(held, extras={"shim": "0"}), "extras.shim", "not a SHA-256"),
        (lambda held: replace(held, input_digest=ZERO[1:]), "artifact.input-digest", "not a SHA-256"),
        (lambda held: replace(held, input_digest="A" * 64), "artifact.input-digest", "not a SHA-256"),
        (lambda held: replace(held, flavour="fast"), "artifact.flavour", "fast"),
        (lambda held: replace(held, driver="slow"), "build.driver", "slow"),
        (
            lambda held: replace(held, used=(UsedFile(use="line-1", name=held.includes[-1].name, sha256=ONE),)),
            "used",
            "another digest than among the included files",
        ),
        (lambda held: replace(held, cpython="3.x"), "artifact.cpython", "not a CPython version"),
        (lambda held: replace(held, files=(*held.files, *held.files)), "file", "no role twice"),
        (lambda held: replace(held, files=held.files[1:]), "file", "must have one of the role stencils"),
        (lambda held: replace(held, toolchain=replace(held.toolchain, version="19")), "toolchain.version", "exact"),
        (lambda held: replace(held, cpu=cpu("avx2")), "cpu.features", "of the form"),
        (lambda held: replace(held, source=signature("../x.tar.xz")), "source.tarball", "not the name of a file"),
        *((with_file(name), "file[0].name", "not the name") for name in ("../x", "a/b", "", ".hidden", "a b")),
        *((with_include(name), "include.tree", "not a path") for name in ("../x", "/x", "a/../b", "", "a//b")),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_named(good: Manifest, change: Change, where: str, what: str) -> None:
    with pytest.raises(ManifestError, match=what) as caught:
        manifest.parse(manifest.render(change(good)), "m.toml")
    assert caught.value.where.startswith("m.toml")
    assert where in f"{caught.value.where} {caught.value.what}"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ("schema = 1\n", "", "schema"),
        ('flavour = "release"', 'flavour = "release"\nsurprise = 1', "artifact.surprise"),
        ('flavour = "release"', "flavour = 1", "artifact.flavour"),
        ('flavour = "release"\n', "", "artifact.flavour"),
        ("code-bytes = ", "code-bytes = 1", "artifact.code-bytes"),
        ("[toolchain]", "[toolchain]\nsurprise = 1", "toolchain.surprise"),
        ('host = "sample"', 'host = "another"', "provenance.seal"),
        ("[build]", "# by hand\n[build]", "provenance.seal"),
    ],
)
def test_the_path_to_the_bad_field_is_named(good: Manifest, old: str, new: str, where: str) -> None:
    text = manifest.render(good)
    assert text.count(old) == 1
    with pytest.raises(ManifestError) as caught:
        manifest.parse(text.replace(old, new), "m.toml")
    assert where in f"{caught.value.where} {caught.value.what}"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda held: replace(held, cflags="-DX=1\n-DY"), "build.cflags"),
        (lambda held: replace(held, triple="x\ny"), "artifact.triple"),
        (lambda held: replace(held, provenance=replace(held.provenance, command=("a", "b\nc"))), "command[1]"),
        (with_stencils(stencil("_A\n_B")), "stencil._A"),
    ],
)
def test_every_value_is_one_line(good: Manifest, change: Change, where: str) -> None:
    with pytest.raises(ManifestError, match=r"more than one line|control characters") as caught:
        manifest.parse(manifest.render(change(good)), "m.toml")
    assert where in caught.value.what


def test_what_time_and_place_do_not_enter(good: Manifest) -> None:
    """Provenance is a table of its own, and no digest but the seal covers it."""
    other = replace(good, provenance=replace(good.provenance, host="elsewhere", time="2026-11-21T00:00:00+00:00"))
    before, after = (manifest.render(held).partition("[provenance]")[0] for held in (good, other))
    assert before == after
    assert manifest.summarise(samples.stencils(), {}).content == good.content_digest


def test_what_is_called_hardened_has_the_flags(good: Manifest) -> None:
    hardened = replace(good, hardened=True)
    with pytest.raises(ManifestError, match=r"build\.cflags has no -fcf-protection=full"):
        opening.read_manifest(manifest.render(hardened), "m")
    flagged = replace(hardened, cflags="-O2 -fcf-protection=full")
    assert opening.read_manifest(manifest.render(flagged), "m").manifest.kind == "release-hardened"
    assert "hardened" not in manifest.render(good)
