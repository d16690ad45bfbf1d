"""What a whole build is remembered under: all that it is made from, and what is read back of it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit.errors import CompileError, SourceError
from stencilkit.model.build import Closure, Headers, IncludedFile
from stencilkit.model.cc1 import Cpu
from stencilkit.model.manifest import MANIFEST_NAME, UsedFile
from stencilkit.model.novelty import Provisional
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import Variant
from stencilkit.model.toolchain import Identity
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import knowing, remembering
from stencilkit.pipeline.asking import Told
from stencilkit.pipeline.remembering import Begun, Inputs
from stencilkit.support import environ, files, resources
from stencilkit.support.cache import Store
from tests import fakes, samples

UNITS = (fakes.unit("_A"), fakes.unit("_B", short_body="short\n"))
HEADER = IncludedFile(origin="tree", name="Include/Python.h", sha256=samples.digest(b"#define A\n"))


def inputs(here: Path) -> Inputs:
    plan = fakes.plan(here, UNITS)
    (plan.tree.root / HEADER.name).write_bytes(b"#define A\n")
    plan.pyconfig.mkdir(exist_ok=True)
    (plan.pyconfig / "pyconfig.h").write_bytes(b"#define B\n")
    jit = (plan.tree.root / "Python/jit.c").read_bytes()
    return Inputs(
        request=BuildRequest(
            tree=plan.tree,
            asked=knowing.target(samples.TRIPLE),
            flavour="release",
            toolchain=plan.toolchain,
            headers=plan.headers,
            pyconfig=PyConfig(folder=plan.pyconfig, content=b"#define B\n", macros={"B": ""}, origin="given"),
            cflags="-DMINE",
            jobs=1,
        ),
        plan=plan,
        told=Told(cpu=Cpu(name="x86-64", tune="generic", features=(), abi=""), unasked=(), changed=()),
        heard="",
        closure=Closure(files=(HEADER,), digest="0", paths=((plan.tree.root / HEADER.name, HEADER),)),
        identity=Identity(program="1", libraries={"libLLVM.so": "2"}),
        used=(UsedFile(use="runtime", name="Python/jit.c", sha256=samples.digest(jit)),),
        variants=(),
        line1="3",
        code="4",
    )


def plan(found: Inputs, **changes: object) -> Inputs:
    return replace(found, plan=replace(found.plan, **changes))  # type: ignore[arg-type]


def request(found: Inputs, **changes: object) -> Inputs:
    return replace(found, request=replace(found.request, **changes))  # type: ignore[arg-type]


def tool(found: Inputs, **changes: object) -> Inputs:
    return plan(found, toolchain=replace(found.plan.toolchain, **changes))  # type: ignore[arg-type]


def tree(found: Inputs, **changes: object) -> Inputs:
    return plan(found, tree=replace(found.plan.tree, **changes))  # type: ignore[arg-type]


def unit(found: Inputs, **changes: object) -> Inputs:
    return plan(found, units=(UNITS[0], replace(UNITS[1], **changes)))  # type: ignore[arg-type]


OTHER = "5" * 64
CHANGES: dict[str, Callable[[Inputs], Inputs]] = {
    "header": lambda one: replace(one, closure=replace(one.closure, files=(replace(HEADER, sha256=OTHER),))),
    "preprocessed text": lambda one: replace(one, closure=replace(one.closure, digest="1")),
    "used file": lambda one: replace(one, used=(replace(one.used[0], sha256=OTHER),)),
    "another used file": lambda one: replace(one, used=(*one.used, replace(one.used[0], name="Include/new.h"))),
    "input digest": lambda one: replace(one, line1="4"),
    "variant": lambda one: replace(one, variants=(Variant(name="x", file="x", text="x", why="x"),)),
    "stencilkit": lambda one: replace(one, code="5"),
    "program": lambda one: replace(one, identity=replace(one.identity, program="2")),
    "libraries": lambda one: replace(one, identity=replace(one.identity, libraries={"clang.cfg": "2"})),
    "told": lambda one: replace(one, told=replace(one.told, unasked=("-O1",))),
    "flags of the user": lambda one: replace(one, told=replace(one.told, changed=("+-O1",))),
    "processor": lambda one: replace(one, told=replace(one.told, cpu=replace(one.told.cpu, name="x86-64-v3"))),
    "version": lambda one: tool(one, version=LlvmVersion(19, 1, 6)),
    "vendor": lambda one: tool(one, vendor="another"),
    "command": lambda one: tool(one, command=("/opt/clang",)),
    "resources": lambda one: tool(one, resource=Path("/opt/resource")),
    "cflags": lambda one: plan(one, cflags=()),
    "cflags as spelt": lambda one: request(one, cflags=" -DMINE"),
    "flags": lambda one: plan(one, flags=one.plan.flags[::-1]),
    "headers": lambda one: plan(one, headers=Headers(origin="sysroot", arguments=(), root=Path("/"))),
    "uop": lambda one: unit(one, body="another"),
    "short text": lambda one: unit(one, short_body="another"),
    "line": lambda one: unit(one, body_line=3),
    "role": lambda one: unit(one, role="group"),
    "order of units": lambda one: plan(one, units=UNITS[::-1]),
    "pyconfig.h": lambda one: request(one, pyconfig=replace(one.request.pyconfig, content=b"#define C\n")),
    "spelling": lambda one: request(one, asked=replace(one.request.asked, spelling="x86_64-redhat-linux-gnu")),
    "comments": lambda one: request(one, comments=True),
    "one process per uop": lambda one: request(one, batched=False),
    "allowed flags": lambda one: request(one, allow_driver_flags=True),
    "hardened": lambda one: request(one, hardened=True),
    "layout": lambda one: request(one, layout=False),
    "hash of the tarball": lambda one: tree(one, vouched=f"pin {OTHER}"),
    "provisional": lambda one: tree(one, provisional=Provisional(series="3.14", differences=())),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_build_is_made_from_is_in_its_key(name: str, tmp_path: Path) -> None:
    found = inputs(tmp_path)
    assert remembering.key(CHANGES[name](found)) != remembering.key(found) == remembering.key(inputs(tmp_path))


@pytest.mark.parametrize("variable", ["argv", "SOURCE_DATE_EPOCH", "libraries"])
def test_what_a_manifest_says_of_the_run_is_in_the_key(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = inputs(tmp_path)
    before = remembering.key(found)
    match variable:
        case "argv":
            monkeypatch.setattr("sys.argv", ["stencilkit", "build", "--out", "elsewhere"])
        case "SOURCE_DATE_EPOCH":
            monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
        case _:
            monkeypatch.setattr(resources, "installed", lambda *_: ("tomli_w", 1, 1))
    assert remembering.key(found) != before


def test_how_many_compilers_run_at_once_is_not(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    assert remembering.key(request(found, jobs=7)) == remembering.key(found)


def test_installed_libraries_are_known_by_where_they_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    start = tmp_path / "stencilkit_sample.py"
    start.write_text("__version__ = '1.0'\nraise SystemExit('this was loaded')\n")
    before = resources.installed("stencilkit_sample")
    start.write_text("__version__ = '1.0.1'\nraise SystemExit('this was loaded')\n")
    assert before[0][0] == str(start)
    second = resources.installed("stencilkit_sample")
    assert second != before
    # The same size and time of content:
    start.write_text("__version__ = '1.0.2'\nraise SystemExit('this was loaded')\n")
    os.utime(start, ns=(second[0][2], second[0][2]))
    assert resources.installed("stencilkit_sample")[0][:3] == second[0][:3]
    assert resources.installed("stencilkit_sample") != second
    assert resources.installed("stencilkit_no_such_thing")[0][0] == "/dev/null"


def begun(found: Inputs, *read: Path, now: Closure | None = None, moment: int = 0) -> Begun:
    """Begin a build before its folders were made, unless a moment is given; `now` is what is included in the end."""
    return Begun(moment, remembering.stamps(read), lambda: now or found.closure)


@pytest.mark.parametrize("name", ["Include/Python.h", "Python/jit.c", "config/pyconfig.h", "clang"])
def test_what_a_file_was_made_of_that_changes_meanwhile_is_refused_and_forgotten(name: str, tmp_path: Path) -> None:
    program = tmp_path / "clang"
    program.write_bytes(b"clang")
    found = inputs(tmp_path)
    found = replace(
        found, identity=replace(found.identity, stamps=((program, files.stamp(program), samples.digest(b"clang")),))
    )
    path = next(place / name for place in (found.plan.tree.root, tmp_path) if (place / name).is_file())
    store = Store(tmp_path / "cache")
    store.put("0" * 64, b"made before")
    with remembering.unchanged(found, store, begun(found)):
        store.put("1" * 64, b"made of the same files")
    with (
        pytest.raises(SourceError, match="was changed while") as caught,
        remembering.unchanged(found, store, begun(found)),
    ):
        store.put("2" * 64, b"made of a mixture")
        path.write_bytes(b"other")
    assert caught.value.where == str(path)
    assert [store.get(digit * 64) is None for digit in "012"] == [False, False, True]
    path.unlink()
    with pytest.raises(SourceError, match="was changed while"), remembering.unchanged(found, store, begun(found)):
        # What fails then, fails for that reason.
        raise CompileError("no such header")
    with pytest.raises(KeyboardInterrupt), remembering.unchanged(found, store, begun(found)):
        store.put("2" * 64, b"made of a mixture")
        raise KeyboardInterrupt
    assert store.get("2" * 64) is None


@pytest.mark.parametrize("name", ["Include/Python.h", "config/pyconfig.h", "Tools/jit/template.c"])
def test_a_file_that_was_another_in_between_is_seen(name: str, tmp_path: Path) -> None:
    found, store = inputs(tmp_path), Store(tmp_path / "cache")
    path = next(place / name for place in (found.plan.tree.root, tmp_path) if (place / name).is_file())
    since, first = begun(found, found.plan.tree.root / "Tools/jit/template.c"), path.read_bytes()
    with pytest.raises(SourceError, match="was changed while") as caught, remembering.unchanged(found, store, since):
        store.put("0" * 64, b"made of the other")
        path.write_bytes(b"other")
        path.write_bytes(first)
        os.utime(path, ns=(0, 0))
    assert caught.value.where == str(path)
    assert store.get("0" * 64) is None


def test_a_new_header_that_comes_before_another_of_its_name_is_seen(tmp_path: Path) -> None:
    """It was not there when clang was asked what is included, and is what uops were compiled with."""
    found, store = inputs(tmp_path), Store(tmp_path / "cache")
    path = found.plan.tree.root / "Include/stdint.h"
    new = IncludedFile(origin="tree", name="Include/stdint.h", sha256=samples.digest(b"new"))
    now = replace(found.closure, digest="1", paths=(*found.closure.paths, (path, new)))
    for ends, expected in ((None, SourceError), (CompileError("packed"), SourceError), (KeyboardInterrupt(), None)):
        with (
            pytest.raises(expected or KeyboardInterrupt) as caught,
            remembering.unchanged(found, store, begun(found, now=now)),
        ):
            store.put("0" * 64, b"made with it")
            if ends is not None:
                raise ends
        assert store.get("0" * 64) is None
        assert getattr(caught.value, "where", str(path)) == str(path)
    later = environ.moment() + 60_000_000_000
    with remembering.unchanged(found, store, begun(found, now=now, moment=later)):
        store.put("0" * 64, b"nothing was new in the folders, so that nobody looked")
    assert store.get("0" * 64) is not None


def test_what_cannot_be_preprocessed_any_more_is_refused(tmp_path: Path) -> None:
    found = inputs(tmp_path)

    def look() -> Closure:
        raise CompileError("no such header")

    since = Begun(0, {}, look)
    with pytest.raises(SourceError) as caught, remembering.unchanged(found, Store(tmp_path / "cache"), since):
        pass
    assert caught.value.where == str(found.plan.pyconfig)


def test_a_pyconfig_that_was_another_when_clang_read_it_is_seen(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    other = IncludedFile(origin="pyconfig", name="pyconfig.h", sha256=samples.digest(b"other"))
    found = replace(found, closure=replace(found.closure, files=(*found.closure.files, other)))
    assert remembering.changed(found) == (str(found.plan.pyconfig / "pyconfig.h"),)


def test_uops_that_are_saved_between_their_reading_and_hashing_are_seen(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    path = found.plan.tree.root / "Python/jit.c"
    saved = IncludedFile(origin="tree", name="Python/jit.c", sha256=samples.digest(b"saved"))
    path.write_bytes(b"saved")
    found = replace(found, closure=replace(found.closure, paths=(*found.closure.paths, (path, saved))))
    assert remembering.changed(found) == (str(path),)


def build(found: Inputs) -> Build:
    described = samples.describe(samples.tree(found.plan.tree.root), samples.FILES, samples.stencils(), OTHER)
    contents = {"jit_stencils.h": b"\n\n", "empty.o": b"", MANIFEST_NAME: b"schema = 1\n"}
    return Build(request=found.request, manifest=described, files=contents, notes=("slow",))


def test_a_build_is_read_back(tmp_path: Path) -> None:
    found, store = inputs(tmp_path), Store(tmp_path / "cache")
    made = build(found)
    remembering.keep("00", made, store)
    assert remembering.recall("00", found.request, store) == replace(made, notes=())
    assert remembering.recall("01", found.request, store) is None


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"no zlib",
        zlib.compress(b""),
        zlib.compress(b"[]\n"),
        zlib.compress(b"{\n"),
        zlib.compress(b"[{}, []]\n"),
        zlib.compress(b'[[], [["x", "y"]]]\n'),
        zlib.compress(b'[{"schema": 1}, [["x", 1]]]\nx'),
        zlib.compress(b'[{"schema": 1}, [["x", 1]]]\nxx'),
        zlib.compress(bytes(70 << 20)),
    ],
)
def test_what_is_not_a_build_is_forgotten(entry: bytes, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    store.put("00", entry)
    assert remembering.recall("00", inputs(tmp_path).request, store) is None
    assert store.damaged == 1
    assert store.get("00") is None
