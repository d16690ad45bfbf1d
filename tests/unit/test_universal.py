"""A universal platform's folder: two headers with a manifest each, and dispatchers that belong to both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stencilkit import cli, dialects, emit, manifest, targets
from stencilkit.errors import TargetError
from stencilkit.model.cc1 import Cpu
from stencilkit.model.manifest import FileRecord
from stencilkit.pipeline import companions, knowing, rendering, universal
from tests import samples

PLATFORM = "universal2-apple-darwin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    opened = samples.tree(tmp_path / "tree")
    dialect = dialects.dialect_for("3.14")
    none = companions.Companions(shim=None, unwind=(), digests={})
    place = tmp_path / "out" / PLATFORM
    place.mkdir(parents=True)
    halves = targets.resolve_all(targets.load(), PLATFORM, "3.14")
    for half in halves:
        config = (opened.root / "pyconfig.h").read_bytes()
        line1 = dialect.input_digest(opened, config, half, "release", "")
        held = samples.stencils()
        line2 = f"{rendering.GENERATOR}, content sha256:{manifest.summarise(held, {}).content}"
        texts = rendering.render(dialect, half, held, none, line1=line1, line2=line2, comments=False)
        described = replace(
            samples.describe(opened, samples.FILES, held, line1),
            cpu=Cpu(name=half.target.cpus[0], tune="", features=(), abi=""),
            triple=half.target.triple,
            spelling=half.spelling,
            files=tuple(
                FileRecord(role=role, name=name, sha256=samples.digest(texts[name]))
                for role, name in dialect.file_names(half).items()
            ),
        )
        header = dialect.file_names(half)["stencils"]
        (place / header).write_bytes(texts[header])
        (place / f"manifest-{half.target.triple}.toml").write_text(manifest.render(described))
    rows = [(half.target.condition, dialect.file_names(half)["stencils"]) for half in halves]
    (place / "jit_stencils.h").write_text(emit.dispatcher(rendering.GENERATOR, rows))
    return place


def test_each_half_is_held_against_its_own_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folder, folder.parent):
        assert cli.main(["verify", "--consistent", str(path)]) == 0, capsys.readouterr().out
        assert capsys.readouterr().out.count(": accepted") == 2
    assert cli.main(["compare", *map(str, sorted(folder.glob("jit_stencils-aarch64*.h"))), str(folder / "no")]) == 2


def test_a_manifest_that_is_missing_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(folder.glob("manifest-x86_64*.toml")).unlink()
    assert cli.main(["verify", "--consistent", str(folder)]) == 1
    out = capsys.readouterr().out
    assert (out.count(": accepted"), out.count(": refused")) == (1, 2)
    assert "not checked: there is no manifest" in out
    assert "manifest-x86_64-apple-darwin.toml: missing: manifest-aarch64-apple-darwin.toml is one half" in out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("#else", '#include "evil.h"\n#else'),
        ("jit_stencils-x86_64", "jit_stencils-aarch64"),
        ("// stencilkit", "// ??/\n// stencilkit"),
    ],
)
def test_a_dispatcher_that_does_more_is_named(
    old: str, new: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "jit_stencils.h"
    path.write_text(path.read_text().replace(old, new, 1))
    assert cli.main(["verify", "--consistent", str(folder)]) == 1
    assert capsys.readouterr().out.count("jit_stencils.h is not what stencilkit writes") == 2


MAKEFILE = """\
HOST_GNU_TYPE=\taarch64-apple-darwin24.5.0
CONFIG_ARGS=\t'--with-universal-archs=universal2'

jit_stencils.h: $(JIT_DEPS)
\t$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py aarch64-apple-darwin x86_64-apple-darwin --output-dir . --cflags=""
"""


@pytest.mark.process
def test_both_halves_are_packed_and_placed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, build = tmp_path / "stencils.tar.gz", tmp_path / "build"
    assert cli.main(["pack", str(folder), "-o", str(bundle)]) == 0
    write = {"Makefile": MAKEFILE, "pyconfig.h": samples.PYCONFIG}
    build.mkdir()
    for name, text in write.items():
        (build / name).write_text(text)
    words = ["--cpython", str(tmp_path / "tree"), "--build-dir", str(build)]
    assert cli.main(["install", str(bundle), *words]) == 0, capsys.readouterr()
    placed = {path.name: path.read_text() for path in build.iterdir() if path.name not in write}
    assert sorted(placed) == [
        "jit_stencils-aarch64-apple-darwin.h",
        "jit_stencils-x86_64-apple-darwin.h",
        "jit_stencils.h",
    ]
    assert placed["jit_stencils.h"] == (folder / "jit_stencils.h").read_text()
    next(folder.glob("manifest-x86_64*.toml")).unlink()
    assert cli.main(["pack", str(folder), "-o", str(tmp_path / "one.tar")]) == 2
    assert "manifest-aarch64-apple-darwin.toml is one half of a universal platform" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["jit_stencils.h", "jit_stencils-x86_64-apple-darwin.h"])
def test_a_file_that_is_missing_is_named(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / name).unlink()
    assert cli.main(["verify", "--consistent", str(folder)]) == 1
    assert f"{name}, which " in capsys.readouterr().out


HALVES = ("aarch64-apple-darwin", "x86_64-apple-darwin")


def half(triple: str, llvm: str = "19.1.7") -> Any:
    """Make what is read of one half that was built."""
    asked, python = knowing.target(triple), knowing.python("3.14")
    request = SimpleNamespace(
        asked=asked,
        target=asked.target,
        toolchain=SimpleNamespace(version=llvm),
        tree=SimpleNamespace(python=python),
    )
    files = {
        f"jit_stencils-{triple}.h": triple.encode(),
        "jit_stencils.h": b"of one half alone",
        "manifest.toml": f"manifest of {triple}".encode(),
    }
    return SimpleNamespace(request=request, files=files, folder=Path("3.14.7", triple, "release", f"llvm-{llvm}"))


def test_both_halves_are_in_the_folder_of_the_platform() -> None:
    builds = [half(triple) for triple in HALVES]
    assert universal.folder(builds) == Path("3.14.7", PLATFORM, "release", "llvm-19.1.7")
    contents = universal.bundle(builds)
    assert sorted(contents) == [
        *(f"jit_stencils-{triple}.h" for triple in HALVES),
        "jit_stencils.h",
        *(f"manifest-{triple}.toml" for triple in HALVES),
    ]
    for triple in HALVES:
        assert contents[f"manifest-{triple}.toml"] == f"manifest of {triple}".encode()
        assert f'#include "jit_stencils-{triple}.h"' in contents["jit_stencils.h"].decode()


def test_halves_belong_together_by_their_llvm() -> None:
    written: list[Any] = [
        SimpleNamespace(build=half(triple, llvm)) for llvm in ("19.1.7", "21.1.0") for triple in HALVES
    ]
    written.append(SimpleNamespace(build=half(samples.TRIPLE)))
    assert universal.group(written, [PLATFORM]) == [written[:2], written[2:4]]
    assert universal.group(written, ["", samples.TRIPLE]) == [], "nobody asked for the platform"


def test_3_13_has_no_universal_build() -> None:
    targets_ = [knowing.target(triple) for triple in HALVES]
    universal.check(knowing.python("3.14"), targets_)
    with pytest.raises(TargetError, match=r"CPython 3\.13 has one header for one architecture") as caught:
        universal.check(knowing.python("3.13"), targets_)
    assert caught.value.fix == "build for aarch64-apple-darwin or x86_64-apple-darwin, or use CPython 3.14"
