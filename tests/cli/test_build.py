"""Builds that go wrong on the way, or are disturbed, with a real clang and a CPython of a dozen uops."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from stencilkit.pipeline import requesting
from tests import fakes
from tests import workbench as wb

pytestmark = pytest.mark.network
VERSION = "3.14.7"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wb.small_tree(VERSION, tmp_path_factory.mktemp("small") / "cpython")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Make a folder with a place for temporary files."""
    (tmp_path / "tmp").mkdir()
    return tmp_path


def arguments(tree: Path, here: Path, *more: str | Path, llvm: Path | None = None) -> list[str | Path]:
    base: list[str | Path] = ["build", "--cpython", tree, "--llvm", llvm or wb.pypi_llvm(19), "--out", here / "out"]
    return [*base, "--target", wb.X86, "--pyconfig-dir", wb.pyconfig(VERSION), *more]


def environment(here: Path) -> dict[str, str]:
    return {"STENCILKIT_CACHE": str(here / "cache"), "TMPDIR": str(here / "tmp")}


def build(
    tree: Path, here: Path, *more: str | Path, llvm: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return wb.stencilkit(*arguments(tree, here, *more, llvm=llvm), check=check, env=environment(here))


def trouble(done: subprocess.CompletedProcess[str], here: Path) -> str:
    """Check that a run failed in one block, and left nothing; return what it said."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("stencilkit: error: ") == 1
    assert "Traceback" not in done.stderr
    assert "\n  next:  " in done.stderr
    assert not (here / "out").exists()
    assert not list((here / "tmp").iterdir())
    return done.stderr


def wrapper(here: Path, before: str = "", after: str = "") -> Path:
    """Put a script before the clang of the wheel, which runs before or after the real one."""
    zig = wb.pypi_llvm(19)
    real = f'"{zig}" clang'
    return fakes.program(
        here / "wrapped" / "clang",
        f'case "$1" in -cc1) set -- "$@";; *) set -- -resource-dir "{zig.parent}/lib" "$@";; esac\n'
        f'{before}\n{real} "$@"\nresult=$?\n{after}\nexit $result',
    )


def test_all_uops_that_do_not_compile_are_told_at_once(here: Path) -> None:
    broken = {
        "_NOP": "        case _NOP: {\n            no_such_thing();\n            break;\n        }\n",
        "_LOAD_FAST_0": "        case _LOAD_FAST_0: {\n            int x = ;\n            break;\n        }\n",
    }
    tree = wb.small_tree(VERSION, here / "cpython", edit=broken)
    text = trouble(build(tree, here, check=False), here)
    assert "2 of 13 units did not compile" in text
    assert "[_NOP]" in text
    assert "no_such_thing" in text
    assert "[_LOAD_FAST_0]" in text
    assert "expected expression" in text


def test_a_header_that_does_not_exist_is_told_once(small: Path, here: Path) -> None:
    tree = here / "cpython"
    shutil.copytree(small, tree)
    template = tree / "Tools/jit/template.c"
    template.write_text('#include "no_such_header.h"\n' + template.read_text())
    text = trouble(build(tree, here, check=False), here)
    assert "'no_such_header.h' file not found" in text
    assert "clang cannot preprocess what all uops include" in text


def test_truncated_objects_are_found(small: Path, here: Path) -> None:
    clang = wrapper(here, after='for file in *.o; do [ -f "$file" ] && truncate -s 100 "$file"; done')
    text = trouble(build(small, here, llvm=clang, check=False), here)
    assert "the object is damaged" in text
    assert "where: uop " in text


def test_a_compiler_that_is_killed_is_told(small: Path, here: Path) -> None:
    clang = wrapper(
        here, before='for word in "$@"; do [ "$word" = -E ] || case "$word" in *.c) kill -9 $$;; esac; done'
    )
    clang.write_text(clang.read_text().replace("for word", 'case " $* " in *" -E "*|*"###"*) ;; *) for word').replace(
        "esac; done", "esac; done;; esac", 1
    ))  # fmt: skip
    text = trouble(build(small, here, llvm=clang, check=False), here)
    assert "was killed by SIGKILL (is there enough memory? fewer --jobs need less)" in text


def test_a_clang_that_refuses_the_fast_path_gives_the_same_bytes(small: Path, here: Path) -> None:
    fast = here / "fast"
    build(small, here, "--out", fast)
    plain = here / "plain"
    refusing = wrapper(here, before='[ "$1" = -cc1 ] && { echo "error: unknown argument -cc1" >&2; exit 1; }')
    done = build(small, here, "--out", plain, "--no-cache", llvm=refusing)
    assert "note: one compiler process per uop" in done.stderr
    asked = here / "asked"
    build(small, here, "--out", asked, "--no-cache", "--one-process-per-uop")
    for other in (plain, asked):
        manifests = [tomllib.loads(next(folder.rglob("manifest.toml")).read_text()) for folder in (fast, other)]
        assert [manifest["build"]["driver"] for manifest in manifests] == ["batched", "plain"]
        headers = [{p.name: p.read_bytes() for p in folder.rglob("*.h")} for folder in (fast, other)]
        assert headers[0] == headers[1]
        assert len(headers[0]) == 2


def test_a_damaged_cache_is_noticed_and_mended(small: Path, here: Path) -> None:
    build(small, here)
    whole = wb.outputs(here / "out")
    entries = [path for path in (here / "cache" / "entries").rglob("*") if path.is_file()]
    assert len(entries) >= 13
    for number, path in enumerate(sorted(entries)):
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(bytes(raw) if number % 2 else bytes(raw[: number % len(raw)]))
    build(small, here, "--out", here / "again")
    assert wb.outputs(here / "again") == whole
    assert build(small, here).stdout.splitlines()[-1].startswith("unchanged ")


def test_a_header_that_is_saved_while_it_is_read_leaves_nothing_wrong_in_the_cache(here: Path) -> None:
    """It is saved between clang's preprocessing it and our hashing it, and put back later."""
    tree = wb.small_tree(VERSION, here / "cpython")
    header, cases = tree / "Include/internal/pycore_interpframe_structs.h", tree / "Python/executor_cases.c.h"
    first, saved, armed = header.read_bytes(), here / "saved.h", here / "armed"
    saved.write_bytes(first.replace(b"struct _PyInterpreterFrame {", b"struct _PyInterpreterFrame { long more;"))
    save = f'[ -e "{armed}" ] && case " $* " in *" -MF "*) rm "{armed}"; cp "{saved}" "{header}";; esac; true'
    clang = wrapper(here, after=save)
    build(tree, here, llvm=clang)
    cases.write_text(re.sub(r"(case _\w+: \{\n)", r"\1            (void)1;\n", cases.read_text()))
    armed.touch()
    build(tree, here, llvm=clang)
    assert not armed.exists()
    assert header.read_bytes() == saved.read_bytes()
    for content in (saved.read_bytes(), first):
        header.write_bytes(content)
        build(tree, here, llvm=clang)
        build(tree, here, "--no-cache", "--out", here / "alone", llvm=clang)
        assert wb.outputs(here / "out") == wb.outputs(here / "alone")


def test_a_new_header_that_comes_before_another_while_uops_are_compiled_is_noticed(here: Path) -> None:
    """It was not there when clang was asked what uops include."""
    tree = wb.small_tree(VERSION, here / "cpython")
    new, armed = tree / "Include/stdint.h", here / "armed"
    text = "#include_next <stdint.h>\n#pragma pack(push, 1)\n"
    (here / "new.h").write_text(text)
    put = f'[ -e "{armed}" ] && case "$*" in *_NOP.c*) cp "{here / "new.h"}" "{new}";; esac; true'
    clang = wrapper(here, before=put)
    armed.touch()
    done = build(tree, here, llvm=clang, check=False)
    assert "a file was changed while stencils were made of it" in trouble(done, here)
    assert str(new) in done.stderr
    armed.unlink()
    new.unlink()
    build(tree, here, llvm=clang)
    build(tree, here, "--no-cache", "--out", here / "alone", llvm=clang)
    assert wb.outputs(here / "out") == wb.outputs(here / "alone")


# What an earlier answer must not be taken for, each beside the others: a header that changed, one that is found before
# the system's, the code that runs stencils, and a file of the generator's.
CHANGES = {
    "Include/object.h": "#define STENCILKIT_CHANGED 1\n",
    "Include/errno.h": "#include_next <errno.h>\n#define STENCILKIT_NEW 1\n",
    "Python/jit.c": "// changed\n",
    "Tools/jit/_targets.py": "# changed\n",
}


def test_what_was_made_before_is_not_taken_for_something_else(here: Path) -> None:
    tree = wb.small_tree(VERSION, here / "cpython")
    build(tree, here)
    first = wb.outputs(here / "out")
    shutil.rmtree(here / "out")
    assert "13 of 13" in build(tree, here).stderr
    assert wb.outputs(here / "out") == first, "recalled, and written again"
    for name, text in CHANGES.items():
        before = wb.outputs(here / "out")
        with (tree / name).open("a") as file:
            file.write(text)
        build(tree, here)
        assert wb.outputs(here / "out") != before, name
    build(tree, here, "--no-cache", "--out", here / "alone")
    assert wb.outputs(here / "out") == wb.outputs(here / "alone")


def test_two_builds_at_once_end_with_the_same_files(small: Path, here: Path) -> None:
    """One cache, one output folder."""
    commands = [[sys.executable, "-m", "stencilkit", *map(str, arguments(small, here))] for _ in range(3)]
    env = wb.environment(environment(here))
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for command in commands
    ]
    for process in running:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    build(small, here, "--out", here / "alone", "--no-cache")
    assert wb.outputs(here / "out") == wb.outputs(here / "alone")
    assert not list((here / "tmp").iterdir())
    assert not list(here.rglob("*.tmp"))


def test_the_cache_stays_within_its_bound_and_can_be_cleared(small: Path, here: Path) -> None:
    build(small, here)
    info = wb.stencilkit("cache", "info", "--format", "json", env=environment(here)).stdout
    assert '"entries"' in info
    wb.stencilkit("cache", "clear", env=environment(here))
    assert not [path for path in (here / "cache" / "entries").rglob("*") if path.is_file()]


def limited() -> None:
    """Let no file grow beyond 128 KiB: a disk that is full in the middle of the manifest."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 << 10, 128 << 10))


def test_a_full_disk_leaves_the_old_files_alone(small: Path, here: Path) -> None:
    build(small, here)
    before = {path: path.read_bytes() for path in (here / "out").rglob("*") if path.is_file()}
    # Comments make other, larger files of the same cached uops.
    done = subprocess.run(
        [sys.executable, "-m", "stencilkit", *map(str, arguments(small, here, "--comments"))],
        env=wb.environment(environment(here)),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert done.stderr.count("stencilkit: error: ") == 1
    assert {path: path.read_bytes() for path in (here / "out").rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written(small: Path, here: Path) -> None:
    """Even root cannot write into /proc."""
    done = build(small, here, "--out", "/proc/stencils", check=False)
    text = trouble(done, here)
    assert "cannot write" in text
    assert "where: /proc/stencils" in text


def processes(folder: Path) -> Iterator[str]:
    """Name the processes whose command line or working folder is in a folder."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                line = (path / "cmdline").read_bytes()
                where = str((path / "cwd").readlink())
            except OSError:
                continue
            if str(folder).encode() in line or where.startswith(str(folder)):
                yield line.replace(b"\0", b" ").decode(errors="replace")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_leaves_nothing(here: Path, number: int) -> None:
    """In the middle of compiling all of 3.14, twice for the impatient."""
    command = [sys.executable, "-m", "stencilkit", *map(str, arguments(wb.tree(VERSION), here, "--no-cache"))]
    process = subprocess.Popen(
        command, env=wb.environment(environment(here)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not list((here / "tmp").glob("stencilkit-build-*/full-*")) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "stencilkit: interrupted; nothing was left half-written"
    assert "Traceback" not in err
    assert not (here / "out").exists()
    assert not list((here / "tmp").iterdir())
    assert not list(processes(here / "tmp"))


def test_paths_may_be_relative(small: Path, here: Path) -> None:
    """Compilers run in folders of their own."""
    (here / "cpython").symlink_to(small)
    (here / "zig").symlink_to(wb.pypi_llvm(19).parent)
    (here / "config").symlink_to(wb.pyconfig(VERSION))
    done = wb.stencilkit(
        *("build", "--cpython", "cpython", "--llvm", "zig/zig", "--pyconfig-dir", "config", "--target", wb.X86),
        *("--out", "out"),
        env={"STENCILKIT_CACHE": "cache", "STENCILKIT_DATA": "data", "TMPDIR": str(here / "tmp")},
        cwd=here,
    )
    assert done.stdout.splitlines()[-1] == f"wrote out/{VERSION}/{wb.X86}/release/llvm-19.1.7"
    build(small, here, "--out", here / "absolute")
    assert wb.outputs(here / "out") == wb.outputs(here / "absolute")


def test_without_a_target_it_is_this_machines_and_nothing_else_is_written(small: Path, here: Path) -> None:
    triple = requesting.native().triple
    done = wb.stencilkit(
        *("build", "--cpython", small, "--llvm", wb.pypi_llvm(19), "--pyconfig-dir", wb.pyconfig(VERSION, triple)),
        *("--out", here / "out"),
    )
    wrote = [line for line in done.stdout.splitlines() if line.startswith("wrote ")]
    assert wrote == [f"wrote {here}/out/{VERSION}/{triple}/release/llvm-19.1.7"]
    assert len(list((here / "out").rglob("llvm-*"))) == 1


def test_a_tarball_builds_as_its_tree_does(small: Path, here: Path) -> None:
    shutil.make_archive(str(here / "x"), "gztar", small.parent, small.name)
    build(here / "x.tar.gz", here)
    build(small, here, "--out", here / "other")
    assert wb.outputs(here / "out") == wb.outputs(here / "other")
    (here / "cut.tar.gz").write_bytes((here / "x.tar.gz").read_bytes()[:-100_000])
    shutil.rmtree(here / "out")
    text = trouble(build(here / "cut.tar.gz", here, check=False), here)
    assert "cannot unpack the archive" in text


def test_an_apple_sdk_gives_the_stencils_of_its_headers(small: Path, here: Path) -> None:
    """The headers of macOS that travel with a PyPI toolchain, laid out as an SDK has them."""
    include = wb.pypi_llvm(19).parent / "lib" / "libc" / "include"
    (here / "MacOSX.sdk" / "usr").mkdir(parents=True)
    found = next(path for name in ("any-macos-any", "any-darwin-any") if (path := include / name).is_dir())
    (here / "MacOSX.sdk" / "usr" / "include").symlink_to(found)
    base: list[str | Path] = [
        "--llvm",
        wb.pypi_llvm(19),
        "--target",
        wb.MAC_ARM,
        "--pyconfig-dir",
        wb.pyconfig(VERSION, wb.MAC_ARM),
    ]
    contents = []
    sdk: list[str | Path] = ["--sysroot", here / "MacOSX.sdk"]
    for name, more in (("wheel", []), ("sdk", sdk)):
        command: list[str | Path] = ["build", "--cpython", small, *base, *more, "--out", here / name]
        folder = wb.stencilkit(*command, env=environment(here)).stdout.strip().splitlines()[-1].split(" ", 1)[1]
        described = tomllib.loads((Path(folder) / "manifest.toml").read_text("utf-8"))
        assert described["build"]["headers"] == {"wheel": "toolchain", "sdk": "sysroot"}[name]
        contents.append((Path(folder) / "jit_stencils.h").read_bytes())
    assert contents[0] == contents[1]
