"""What `stencilkit test` makes of builds that fail and of interpreters that crash and hang; stand-ins for both."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit import targets
from stencilkit.errors import JitTestError, WitnessError
from stencilkit.jittest import making, running, timing
from stencilkit.model.artifact import Artifact
from stencilkit.model.layout import Layout
from stencilkit.model.testing import Suite
from stencilkit.model.verdict import Check
from stencilkit.pipeline import bundling, testing, witnessing
from stencilkit.support import environ
from stencilkit.support.progress import SILENT
from tests import fakes, samples
from tests import workbench as wb

NATIVE = next((t for t in targets.load().targets if environ.is_native(t.native)), targets.load().targets[0])
DUMP = 'Timeout (0:00:01)!\\nThread 0x00007f (most recent call first):\\n  File "loop.py", line 7 in spin'


def interpreter(tmp_path: Path, script: str, timeout: float = 120.0) -> running.Interpreter:
    program = fakes.program(tmp_path / "python", script)
    return running.Interpreter(program=program, work=tmp_path, path=environ.variable("PATH"), timeout=timeout)


def test_a_crash_only_with_the_jit_is_blamed(tmp_path: Path) -> None:
    fake = interpreter(
        tmp_path, '[ "$PYTHON_JIT" = 0 ] && exit 0\necho "Fatal Python error: Segmentation fault"\nkill -SEGV $$'
    )
    (verdict,) = running.run_modules(fake, ["test_x"], 1, SILENT)
    assert verdict.jit.outcome == "crashed"
    assert verdict.without is not None
    assert verdict.without.outcome == "skipped"
    assert verdict.blamed == ("test_x",)
    assert "Fatal Python error" in verdict.jit.tail
    assert Path(verdict.jit.log).is_file()


def test_a_hang_is_told_with_the_stack(tmp_path: Path) -> None:
    fake = interpreter(tmp_path, f"[ \"$PYTHON_JIT\" = 0 ] && exit 0\nprintf '{DUMP}\\n'\nexit 1")
    (verdict,) = running.run_modules(fake, ["test_x"], 1, SILENT)
    assert verdict.jit.outcome == "hung"
    assert verdict.blamed == ("test_x",)
    assert 'File "loop.py", line 7 in spin' in verdict.jit.tail


def test_a_hang_that_faulthandler_does_not_see_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_GRACE_SECONDS", 0.5)
    run = running.run_module(interpreter(tmp_path, "exec sleep 1000", timeout=0.5), "test_x", "jit")
    assert run.outcome == "hung"


def test_a_jit_that_crashes_at_once_is_told_by_its_end(tmp_path: Path) -> None:
    answer = '[ "$PYTHON_JIT" = 0 ] && echo {} && exit 0\n'
    proof = running.prove(interpreter(tmp_path, f"{answer}echo 'Fatal Python error' >&2\nkill -SEGV $$"))
    assert not proof.holds
    assert proof.ended == "was ended by signal 11\nFatal Python error"


def test_first_loops_that_never_end_are_told(tmp_path: Path) -> None:
    proof = running.prove(
        interpreter(tmp_path, '[ "$PYTHON_JIT" = 0 ] && echo {} && exit 0\nexec sleep 1000', timeout=3.0)
    )
    assert not proof.holds
    assert proof.ended.startswith("did not end: ")


def test_a_build_that_crashes_without_the_jit_is_trouble(tmp_path: Path) -> None:
    with pytest.raises(JitTestError, match="ended with 3 in a few loops, and its JIT was off") as caught:
        running.prove(interpreter(tmp_path, "echo 'no encodings' >&2\nexit 3"))
    assert "no encodings" in caught.value.details


def test_a_benchmark_that_answers_wrongly_without_the_jit_is_trouble(tmp_path: Path) -> None:
    with pytest.raises(JitTestError, match="without the JIT: CPython ended with 1") as caught:
        timing.benchmark([interpreter(tmp_path, "echo 'lists: got 1, expected 2' >&2\nexit 1")], SILENT)
    assert "lists: got 1, expected 2" in caught.value.details


def test_a_benchmark_that_answers_wrongly_with_the_jit_is_told(tmp_path: Path) -> None:
    script = "[ \"$PYTHON_JIT\" = 0 ] && echo '{\"a\": 3.0}' && exit 0\necho 'lists: got 1, expected 2' >&2\nexit 1"
    off, (on,) = timing.benchmark([interpreter(tmp_path, script)], SILENT)
    assert off.seconds == {"a": 3.0}
    assert on == timing.Timing(seconds={}, failure="ended with 1\nlists: got 1, expected 2")


def test_benchmarks_keep_the_best(tmp_path: Path) -> None:
    script = "echo x >>count; n=$(wc -l <count)\n"
    script += 'if [ "$PYTHON_JIT" = 1 ]; then echo "{\\"a\\": 1.$n}"; else echo \'{"a": 3.0}\'; fi'
    off, (on,) = timing.benchmark([interpreter(tmp_path, script)], SILENT)
    assert (off.seconds, on.seconds) == ({"a": 3.0}, {"a": 1.2})


@pytest.fixture
def request_(tmp_path: Path) -> testing.TestRequest:
    tree = samples.tree(tmp_path / "tree")
    samples.folder(tmp_path / "out", tree)
    suite: Suite = "smoke"
    return testing.TestRequest(
        tree=tree,
        target=NATIVE,
        flavour="release",
        artifacts=bundling.open_all(tmp_path / "out"),
        suite=suite,
        modules=(),
        benchmarks=False,
        configure=(),
        jobs=1,
        timeout=120.0,
        folder=tmp_path / "work",
    )


def test_a_configure_that_fails_is_told_with_its_end(request_: testing.TestRequest) -> None:
    fakes.program(request_.tree.root / "configure", "seq 100\necho 'configure: error: no compiler'\nexit 1")
    with pytest.raises(JitTestError, match=r"configure of CPython 3\.14\.7 failed") as caught:
        testing.run(request_, SILENT)
    assert caught.value.details.endswith("100\nconfigure: error: no compiler")
    assert Path(caught.value.where).read_text().startswith("1\n")


def test_a_make_that_fails_is_told_with_its_end(request_: testing.TestRequest) -> None:
    makefile = r"all:\n\t@echo jit.c:1: error: no stencils\n\t@exit 3\n\n"
    makefile += r"jit_stencils.h:\n\tpython /Tools/jit/build.py x86_64-pc-linux-gnu -o .\n"
    script = f"printf '{makefile}' >Makefile\ncp {request_.tree.root}/pyconfig.h ."
    fakes.program(request_.tree.root / "configure", script)
    with pytest.raises(JitTestError, match=r"make of CPython 3\.14\.7 failed") as caught:
        testing.run(request_, SILENT)
    assert "jit.c:1: error: no stencils" in caught.value.details
    assert Path(caught.value.where).is_file()


def test_a_make_that_crashes_in_the_new_cpython_suspects_the_stencils(request_: testing.TestRequest) -> None:
    makefile = r"all:\n\t@kill -SEGV \$\$\$\$\n\n"
    makefile += r"jit_stencils.h:\n\tpython /Tools/jit/build.py x86_64-pc-linux-gnu -o .\n"
    fakes.program(
        request_.tree.root / "configure", f'printf "{makefile}" >Makefile\ncp {request_.tree.root}/pyconfig.h .'
    )
    with pytest.raises(JitTestError, match=r"make of CPython 3\.14\.7 failed") as caught:
        testing.run(request_, SILENT)
    assert "suspect the stencils" in caught.value.fix


def test_a_folder_in_use_is_refused(request_: testing.TestRequest) -> None:
    request_.folder.mkdir()
    (request_.folder / "mine").write_text("")
    with pytest.raises(JitTestError, match="is not empty"):
        testing.run(request_, SILENT)


def test_a_tree_that_was_built_in_is_refused(request_: testing.TestRequest) -> None:
    (request_.tree.root / "Programs").mkdir()
    (request_.tree.root / "Programs" / "python.o").write_text("")
    with pytest.raises(JitTestError, match="has been built in"):
        testing.run(request_, SILENT)


def test_a_target_that_cannot_run_here_says_so(request_: testing.TestRequest) -> None:
    mac = next(target for target in targets.load().targets if target.format == "macho")
    with pytest.raises(JitTestError, match="cannot be built and run on this machine"):
        making.open_workplace(request_.folder, request_.tree, mac, "release", 1)
    assert not environ.is_native(mac.native)


MUSL = next(target for target in targets.load().targets if target.triple == "x86_64-unknown-linux-musl")


def test_another_c_library_needs_its_compiler(request_: testing.TestRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environ, "native", lambda: "x86_64-linux-gnu")
    monkeypatch.setenv("PATH", str(fakes.program(request_.folder.parent / "programs" / "make", "exit 0").parent))
    with pytest.raises(JitTestError, match="x86_64-linux-musl-gcc is not on PATH") as caught:
        making.open_workplace(request_.folder, request_.tree, MUSL, "release", 1)
    assert caught.value.fix.startswith("install musl-dev:amd64 (")


def machine_with(*programs: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an x86_64 machine with glibc, and programs that say how they were called."""
    monkeypatch.setattr(environ, "native", lambda: "x86_64-linux-gnu")
    for name in programs:
        fakes.program(folder / "programs" / name, f'echo {name} "$@"')
    monkeypatch.setenv("PATH", f"{folder / 'programs'}:{environ.variable('PATH')}")


def test_another_c_library_is_built_for_without_an_emulator(
    request_: testing.TestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a cross build: what configure compiles runs here. make gets what configure does not know."""
    machine_with("x86_64-linux-musl-gcc", "ccache", folder=tmp_path, monkeypatch=monkeypatch)
    script = r'echo "$*" >words; echo "$PKG_CONFIG_LIBDIR" >where; stencilkit-cc -c x.c >compiler'
    script += r"""; printf 'all:\n\t@echo "$(NAME)" >python\n' >Makefile"""
    fakes.program(request_.tree.root / "configure", script)
    place = making.open_workplace(request_.folder, request_.tree, MUSL, "release", 1)
    assert place.emulator == ()
    words = making.configure(place, ["OPT=-O1"])
    assert words[-2:] == ("CC=stencilkit-cc", "OPT=-O1")
    assert (place.build / "words").read_text().strip() == f"-q {' '.join(words)}"
    assert "--host" not in " ".join(words)
    assert (place.build / "where").read_text().strip() == str(place.build)
    assert (place.build / "compiler").read_text() == "ccache x86_64-linux-musl-gcc -c x.c\n"
    making.make(place, ["NAME=shim"])
    # The program is itself, not a script that starts it in an emulator.
    assert (place.build / "python").read_text() == "shim\n"


def test_another_c_library_of_another_processor_needs_an_emulator(
    request_: testing.TestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian has musl's loader where it is on such a machine, and no folder of libraries for -L."""
    machine_with("aarch64-linux-musl-gcc", "qemu-aarch64-static", folder=tmp_path, monkeypatch=monkeypatch)
    arm = next(target for target in targets.load().targets if target.triple == "aarch64-unknown-linux-musl")
    target = replace(arm, loader=str(tmp_path / "ld-musl-aarch64.so.1"))
    with pytest.raises(JitTestError, match="cannot be built and run on this machine") as caught:
        making.open_workplace(request_.folder, request_.tree, target, "release", 1)
    assert "musl-dev:arm64" in caught.value.fix
    Path(target.loader).touch()
    place = making.open_workplace(tmp_path / "place", request_.tree, target, "release", 1)
    assert place.emulator == (str(tmp_path / "programs/qemu-aarch64-static"),)
    script = r"""printf 'all:\n\t@touch python\n' >Makefile; cc=$(command -v stencilkit-cc || echo true)"""
    script += (
        '; "$cc" --print-multiarch >platform; "$cc" -E ../t/Misc/platform_triplet.c >triplet; "$cc" -c x.c >compiler'
    )
    fakes.program(request_.tree.root / "configure", script)
    words = making.configure(place, [])
    assert "--host=aarch64-linux-musl" in words
    assert words[-1] == "CC=stencilkit-cc"
    assert (place.build / "platform").read_text() == "aarch64-linux-musl\n"
    assert (place.build / "triplet").read_text() == "PLATFORM_TRIPLET=aarch64-linux-musl\n"
    assert (place.build / "compiler").read_text() == "aarch64-linux-musl-gcc -mno-outline-atomics -c x.c\n"


def described(artifact: Artifact) -> Artifact:
    empty: dict[str, Any] = {field.name: {} for field in fields(Layout)}
    return replace(artifact, manifest=replace(artifact.manifest, layout=Layout(**empty)))


def test_stencils_of_another_configuration_are_not_blamed_for_a_crash(
    request_: testing.TestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have other places in CPython's structures compiled in: nothing is made of them, nor of others before."""
    makefile = f"jit_stencils.h:\\n\\tpython /Tools/jit/build.py {samples.TRIPLE} -o .\\n"
    script = f"printf 'CC=cc\\n{makefile}' >Makefile\ncp {request_.tree.root}/pyconfig.h ."
    fakes.program(request_.tree.root / "configure", script)
    size = Check(kind="witness", status="failed", what="1 number differs", details=("sizeof(_PyRuntime): 8, not 16",))
    asked: list[str] = []

    def ask(_: object, runtime: witnessing.Runtime) -> tuple[Check, ...]:
        asked.append(runtime.compiler[0])
        return (replace(size, status="passed") if len(asked) == 1 else size,)

    monkeypatch.setattr(witnessing, "ask", ask)
    (artifact,) = request_.artifacts
    with pytest.raises(JitTestError, match=r"LLVM 19\.1\.7 are of a CPython that is configured otherwise") as caught:
        testing.run(replace(request_, artifacts=(described(artifact),) * 2), SILENT)
    assert caught.value.details == "1 number differs\nsizeof(_PyRuntime): 8, not 16"
    assert "--pyconfig-dir" in caught.value.fix
    # The folder may be gone by the time that somebody reads this; logs are not.
    assert str(request_.folder) not in caught.value.fix
    assert caught.value.where.endswith("-configure.log")
    assert Path(caught.value.where).is_file()
    assert asked == ["cc", "cc"]


@pytest.mark.parametrize(("own", "program"), [("", "x86_64-linux-musl-gcc"), ("CC=another-gcc", "another-gcc")])
def test_the_compiler_that_is_asked_is_the_one_of_the_build(
    own: str, program: str, request_: testing.TestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found where the build finds it, whatever the folder is called, and has what ccache needs."""
    monkeypatch.setattr(environ, "native", lambda: "x86_64-linux-gnu")
    said = tmp_path / "said"
    for name in ("x86_64-linux-musl-gcc", "another-gcc"):
        fakes.program(tmp_path / "programs" / name, f'echo {name} "$CCACHE_DIR" >>"{said}"; exit 3')
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{environ.variable('PATH')}")
    monkeypatch.setenv("CCACHE_DIR", "/cache")
    monkeypatch.setattr(making, "_which", lambda name, _: None if name == "ccache" else name)
    makefile = r"jit_stencils.h:\n\tpython /Tools/jit/build.py x86_64-linux-musl -o .\n"
    script = f"for word; do case $word in CC=*) printf '%s\\n{makefile}' \"$word\" >Makefile;; esac; done\n"
    script += f"cp {request_.tree.root}/pyconfig.h ."
    fakes.program(request_.tree.root / "configure", script)
    (artifact,) = request_.artifacts
    wanted = replace(
        request_,
        target=MUSL,
        configure=(own,) if own else (),
        folder=tmp_path / "a work folder",
        artifacts=(described(artifact),),
    )
    with pytest.raises(WitnessError, match="ended with 3"):
        testing.run(wanted, SILENT)
    assert said.read_text() == f"{program} /cache\n"


def test_glibc_is_another_c_library_on_musl(
    request_: testing.TestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a name as every compiler for another machine has, and configure would take the machine's own."""
    monkeypatch.setattr(environ, "native", lambda: "x86_64-linux-musl")
    fakes.program(tmp_path / "programs" / "x86_64-linux-gnu-gcc", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{environ.variable('PATH')}")
    fakes.program(request_.tree.root / "configure", "stencilkit-cc --print-multiarch >platform")
    glibc = next(target for target in targets.load().targets if target.triple == "x86_64-unknown-linux-gnu")
    place = making.open_workplace(request_.folder, request_.tree, glibc, "release", 1)
    assert making.configure(place, [])[-1] == "CC=stencilkit-cc"
    assert (place.build / "platform").read_text() == "x86_64-linux-gnu\n"


def test_pack_inspect_install_as_a_user_does(request_: testing.TestRequest, tmp_path: Path) -> None:
    bundle = tmp_path / "b.tar.gz"
    packed = wb.stencilkit("pack", tmp_path / "out", "-o", bundle)
    assert "007" not in packed.stderr
    assert re.search(r"sha256:[0-9a-f]{64}$", packed.stdout.strip())
    told = json.loads(wb.stencilkit("inspect", bundle, "--format", "json").stdout)
    assert told["schema"] == 1
    assert told["stencils"][0]["llvm"] == "19.1.7"
    tree = request_.tree.root
    refused: tuple[tuple[list[str | Path], int], ...] = (
        (["pack", tmp_path / "out", "-o", tmp_path / "b.zip"], 2),
        (["inspect", tree / "pyconfig.h"], 2),
        (["install", bundle, "--cpython", tree, "--build-dir", tmp_path], 2),
    )
    for words, code in refused:
        done = wb.stencilkit(*words, check=False)
        assert done.returncode == code
        assert done.stderr.startswith("stencilkit: error: ")
        assert "Traceback" not in done.stderr
    (tree / "Makefile").write_text(
        f"HOST_GNU_TYPE=\t{samples.TRIPLE}\n\n"
        f"jit_stencils.h:\n\tpython /Tools/jit/build.py {samples.TRIPLE} --output-dir .\n"
    )
    assert "placed" in wb.stencilkit("install", bundle, "--cpython", tree).stdout
    assert "placed" not in wb.stencilkit("install", bundle, "--cpython", tree).stdout
    stamp = ("--names", "fedora", "--stamp", tree, "--cpython", tree)
    wb.stencilkit("pack", bundle, *stamp, "-o", tmp_path / "stamped")
    stamped = (tmp_path / "stamped" / "Python-3.14.7-x86_64-optimized-jit_stencils.h").read_bytes()
    assert stamped == (tree / f"jit_stencils-{samples.TRIPLE}.h").read_bytes()
    path = tree / "Include" / "Python.h"
    path.write_text(path.read_text() + "int more;\n")
    done = wb.stencilkit("install", bundle, "--cpython", tree, check=False)
    assert done.returncode == 1
    assert "Include/Python.h" in done.stdout
    done = wb.stencilkit("pack", bundle, *stamp, "-o", tmp_path / "refused", check=False)
    assert done.returncode == 1
    assert "Include/Python.h" in done.stdout
    assert not (tmp_path / "refused").exists()
    done = wb.stencilkit("install", bundle, "--cpython", "3.14.7", check=False)
    assert "is not a configured build folder" in done.stderr
