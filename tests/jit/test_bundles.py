"""Bundles in real builds of CPython, with every LLVM hidden: what make does with them, and what the JIT then does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit import dialects, manifest, reader
from stencilkit.jittest import hiding
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.support import files as support_files
from tests import workbench as wb

UPSTREAMS = tuple(wb.PINNED.items())
OTHERS = (("3.14.7", 21), ("3.15.0rc1", 20), ("3.15.0rc1", 22))
# CPython's own default trains PGO for many minutes; what matters here is that make does everything twice.
TRAINING = "PROFILE_TASK=-m test test_int test_dict"


def bundle(
    version: str, majors: tuple[int, ...], folder: Path, triple: str = wb.X86, source_tree: Path | None = None
) -> Path:
    for major in majors:
        wb.stencilkit(
            *("build", "--cpython", source_tree or wb.tree(version), "--llvm", wb.pypi_llvm(major)),
            *("--target", triple, "--out", folder / "out"),
        )
    wb.stencilkit("pack", folder / "out", "-o", folder / "stencils.tar.gz")
    return folder / "stencils.tar.gz"


def verdicts(version: str, stencils: Path, folder: Path, *options: str | Path) -> list[dict[str, Any]]:
    """Run `stencilkit test`; print what it says, for whoever wants the figures (pytest -s)."""
    done = wb.stencilkit(
        *("test", stencils, "--cpython", wb.tree(version), "--format", "json", "--work", folder / "work", *options),
        check=False,
        timeout=3600,
    )
    assert done.stdout, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    for verdict in report["verdicts"]:
        show(version, verdict, report["off"])
    shutil.rmtree(folder / "work")
    assert done.returncode == (0 if report["good"] else 1), done.stderr[-3000:]
    found: list[dict[str, Any]] = report["verdicts"]
    return found


def show(version: str, verdict: dict[str, Any], off: dict[str, float]) -> None:
    print(f"\n{version} LLVM {verdict['llvm']} built in {verdict['build_seconds']:.0f} s, {verdict['proof']}")
    for module in verdict["modules"]:
        run = module["jit"]
        print(*(run[name] for name in ("name", "outcome", "tests", "skipped", "executors")), f"{run['seconds']:.1f} s")
    for name, seconds in verdict["benchmarks"].items():
        print(f"{name}: off {off[name] * 1000:.1f} ms, on {seconds * 1000:.1f} ms, {off[name] / seconds:.2f}")
    print(f"executors {verdict['executors']}, blamed {verdict['blamed']}", flush=True)


def assert_works(verdict: dict[str, Any]) -> None:
    assert verdict["blamed"] == []
    assert verdict["good"]
    assert verdict["executors"] > 50


@pytest.mark.matrix
@pytest.mark.parametrize(("version", "major"), [*UPSTREAMS, *OTHERS])
def test_the_jit_suite(version: str, major: int, tmp_path: Path) -> None:
    (verdict,) = verdicts(version, bundle(version, (major,), tmp_path), tmp_path, "--suite", "jit", "--no-benchmarks")
    assert_works(verdict)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("version", "majors"), [("3.13.15", (18, 19)), ("3.14.7", (19, 21)), ("3.15.0rc1", (20, 21, 22))]
)
def test_speed_with_several_llvms(version: str, majors: tuple[int, ...], tmp_path: Path) -> None:
    """What is asserted is that every benchmark gives the right answer; `-s` shows the times."""
    found = verdicts(version, bundle(version, majors, tmp_path), tmp_path, "--suite", "smoke", "--benchmarks")
    assert len(found) == len(majors)
    for verdict in found:
        assert_works(verdict)
        assert len(verdict["benchmarks"]) > 5


@pytest.mark.matrix
def test_aarch64_under_qemu(tmp_path: Path) -> None:
    """The smoke suite has test_capi.test_opt."""
    stencils = bundle("3.15.0rc1", (21,), tmp_path, wb.ARM)
    options = ("--target", wb.ARM, "--suite", "smoke", "--configure", "OPT=-O1 -Wall")
    (verdict,) = verdicts("3.15.0rc1", stencils, tmp_path, *options)
    assert_works(verdict)
    assert {module["jit"]["name"]: module["jit"]["outcome"] for module in verdict["modules"]} == dict.fromkeys(
        ("test_capi.test_opt", "test_generators", "test_call"), "passed"
    )


def damaged(folder: Path, uop: str, old: str, new: str) -> None:
    """Change one addend in a header, and every digest that would tell."""
    (path,) = folder.rglob("jit_stencils-*.h")
    text = path.read_text()
    start = text.index(f"emit_{uop}(")
    body = text[start : text.index("\n}\n", start)]
    assert body.count(old) == 1, body
    described = manifest.parse(path.with_name(MANIFEST_NAME).read_text(), "")
    text = text.replace(body, body.replace(old, new))
    summary = manifest.summarise(reader.read(text, dialects.header_forms(), "").stencils, described.extras)
    path.write_text(text.replace(described.content_digest, summary.content))
    files = tuple(
        replace(record, sha256=support_files.sha256(path)) if record.name == path.name else record
        for record in described.files
    )
    changed = replace(
        described,
        files=files,
        stencils=summary.stencils,
        content_digest=summary.content,
        interface_digest=summary.interface,
    )
    path.with_name(MANIFEST_NAME).write_text(manifest.render(changed))


# In order: every small integer is the next one; len() calls what turns a size into an int in place of what asks for it.
DAMAGES = (
    ("_LOAD_SMALL_INT", "&_PyRuntime + 0x3790", "&_PyRuntime + 0x37b0"),
    ("_CALL_LEN", "data + -0x4", "data + 0x4"),
)


@pytest.mark.matrix
@pytest.mark.parametrize(("uop", "old", "new"), DAMAGES, ids=[uop for uop, _, _ in DAMAGES])
def test_a_damaged_addend_is_caught(uop: str, old: str, new: str, tmp_path: Path) -> None:
    """All digests are valid and the form is canonical, so only running the stencils shows it."""
    bundle("3.14.7", (19,), tmp_path)
    damaged(tmp_path / "out", uop, old, new)
    wb.stencilkit("pack", tmp_path / "out", "-o", tmp_path / "damaged.tar.gz")
    (folder,) = (path.parent for path in (tmp_path / "out").rglob(MANIFEST_NAME))
    config = wb.pyconfig("3.14.7")
    wb.stencilkit("verify", "--consistent", folder, "--cpython", wb.tree("3.14.7"), "--pyconfig-dir", config)
    options = ("--module", "test_call", "--no-benchmarks", "--configure", "OPT=-O1 -Wall", "--timeout", "300")
    (verdict,) = verdicts("3.14.7", tmp_path / "damaged.tar.gz", tmp_path, *options)
    assert not verdict["good"]
    proof = verdict["proof"]
    print(f"{uop}: proof {proof}, blamed {verdict['blamed'][:10]}")
    assert proof["wrong"] or proof["ended"] or verdict["blamed"]


def make(folder: Path, *arguments: str, path: str) -> str:
    """Run make with no LLVM on PATH; return what it printed."""
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def configured(tree: Path, folder: Path, path: str, *options: str, **env: str) -> Path:
    build = folder / "build"
    build.mkdir()
    done = subprocess.run(
        [
            tree / "configure",
            "-q",
            "--enable-experimental-jit",
            f"PYTHON_FOR_REGEN={sys.executable}",
            *options,
        ],
        cwd=build,
        env={**os.environ, "PATH": path, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return build


def placed(build: Path) -> dict[str, tuple[bytes, int]]:
    found = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in build.glob("jit_*")}
    assert found
    return found


def contents(build: Path) -> dict[str, bytes]:
    """Read what is placed; build.py names itself on line 1 of the files that only include others."""
    return {
        name: data.partition(b"\n")[2] if name in ("jit_stencils.h", "jit_unwind_info.h") else data
        for name, (data, _) in placed(build).items()
    }


@pytest.mark.parametrize("version", ["3.13.15", "3.15.0rc1", pytest.param("3.14.7", marks=pytest.mark.matrix)])
def test_make_takes_what_install_placed(version: str, tmp_path: Path) -> None:
    """The rules of CPython's own makefile: nothing is done; and where build.py is started, it finds nothing to do."""
    path = hiding.hidden_path(tmp_path / "bin")
    tree = wb.small_cpython(version, tmp_path / "tree")
    build = configured(tree, tmp_path, path, CONFIG_SITE=str(wb.site(version)))
    stencils = bundle(version, (wb.PINNED[version],), tmp_path, source_tree=tree)
    wb.stencilkit("install", stencils, "--cpython", tree, "--build-dir", build)
    before, kept = placed(build), contents(build)
    headers = [name for name in before if name.endswith(".h")]
    assert "build.py" not in make(build, *headers, path=path)
    assert placed(build) == before
    # A new pyconfig.h with the same contents, as config.status makes one, has build.py started:
    (build / "pyconfig.h").touch()
    assert "build.py" in make(build, *headers, path=path)
    assert contents(build) == kept
    # In a PGO build of some releases the makefile deletes them (python/cpython#141808), and make gets the keeper.
    makefile = (build / "Makefile").read_text()
    makefile = re.sub(r"(?m)^(clean-retain-profile:.*\n)", r"\1\t-rm -f jit_stencils*.h\n", makefile)
    makefile = re.sub(r"(?m)^(DEF_MAKE_ALL_RULE\s*=\s*).*$|^(all:\s*)build_all$", r"\1\2profile-opt", makefile)
    (build / "Makefile").write_text(makefile)
    done = wb.stencilkit("install", stencils, "--cpython", tree, "--build-dir", build)
    (argument,) = re.findall(r"PYTHON_FOR_REGEN=\S+", done.stdout)
    for name in before:
        (build / name).unlink()
    make(build, argument, *headers, path=path)
    assert contents(build) == kept


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["3.13.15", "3.14.7", "3.15.0rc1"])
def test_a_profile_guided_build_keeps_the_stencils(version: str, tmp_path: Path) -> None:
    path = hiding.hidden_path(tmp_path / "bin")
    build = configured(wb.tree(version), tmp_path, path, "--enable-optimizations", "OPT=-O1 -Wall")
    stencils = bundle(version, (wb.PINNED[version],), tmp_path)
    wb.stencilkit("install", stencils, "--cpython", wb.tree(version), "--build-dir", build)
    before = placed(build)
    said = make(build, f"--jobs={os.cpu_count()}", TRAINING, path=path)
    assert "profile-gen-stamp" in said
    assert "build.py" not in said
    assert placed(build) == before
    code = "import sys; print(sys._jit.is_enabled())" if version > "3.14" else "print(True)"
    answer = subprocess.run([build / "python", "-c", code], env={"PYTHON_JIT": "1"}, capture_output=True, check=True)
    assert answer.stdout == b"True\n"
    shutil.rmtree(build)
