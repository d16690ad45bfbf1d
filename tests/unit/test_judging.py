"""What is compared of two generators."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit import generator
from stencilkit.errors import CompileError, OutputError, SourceError, StencilkitError, ToolchainError
from stencilkit.model.judgement import Call, ComparedFile, Judgement, Made
from stencilkit.pipeline import judging


def judgement(*files: ComparedFile, different: tuple[str, ...] = ()) -> Judgement:
    return Judgement(uops=1, of=1, files=files, different=different, allowed=(), programs={})


def test_only_comments_may_differ() -> None:
    ours = {"jit.h": b"// a\nint x;\n  // b\n", "jit.o": b"//1", "manifest.toml": b"ours alone"}
    assert judgement(*judging.compare(ours, {"jit.h": b"int x;\n", "jit.o": b"//1"})).equal
    one, two = judging.compare(ours, {"jit.h": b"int y;\n", "jit.o": b"//2"})
    assert "-int y;" in one.lines
    assert "+int x;" in one.lines
    assert two.lines == ("other bytes: 3 of stencilkit's, 3 of upstream's",)
    gone, new = judging.compare({"a.h": b""}, {"b.h": b""})
    assert (gone.name, new.name) == ("a.h", "b.h")
    assert gone.lines
    assert new.lines


def test_nothing_compared_is_not_equal() -> None:
    assert not judgement().equal
    assert judgement(ComparedFile(name="a.h")).equal
    assert not judgement(ComparedFile(name="a.h"), different=("_NOP",)).equal


@pytest.mark.parametrize("pin", ["_LLVM_VERSION = os.environ['V']\n", "_LLVM_VERSION = 19\n_LLVM_VERSION = 20\n", ""])
def test_a_generator_of_another_shape_is_refused(pin: str, tmp_path: Path) -> None:
    tools = tmp_path / "tree" / "Tools" / "jit"
    tools.mkdir(parents=True)
    (tools / "_llvm.py").write_text(pin)
    call = Call(spelling="x", flavour="release", llvm=22, clang=("clang",), programs={}, pyconfig=tmp_path)
    with pytest.raises(SourceError, match="cannot run this generator as a judge"):
        generator.run(call, tmp_path / "tree", tmp_path)


def test_the_programs_that_a_generator_calls_are_read_off_it(tmp_path: Path) -> None:
    tools = tmp_path / "Tools" / "jit"
    tools.mkdir(parents=True)
    (tools / "_a.py").write_text("run('llvm-readobj')\n")
    (tools / "_b.py").write_text('run("llvm-dwarfdump"); run("clang"); run("llvm-readobj")\n')
    (tools / "README.md").write_text('"llvm-config"\n')
    assert generator.programs(tmp_path) == ("llvm-dwarfdump", "llvm-readobj")


# What a generator does, and what is made of that.

TARGETS = '        section_type = section["Type"]["Name"]\n'
FAILS = """import sys
"--output-dir"
sys.exit({!r})
"""
STOPS = """import pathlib, sys
"--output-dir"
if "== 0x70000003:" not in pathlib.Path(__file__).with_name("_targets.py").read_text():
    sys.exit("AssertionError: Unknown")
pathlib.Path(sys.argv[sys.argv.index("--output-dir") + 1], "jit_stencils.h").write_text("made")
"""


def generate(script: str, root: Path) -> Made:
    tools = root / "tree" / "Tools" / "jit"
    tools.mkdir(parents=True)
    (tools / "_llvm.py").write_text("_LLVM_VERSION = 19\n")
    (tools / "_targets.py").write_text(TARGETS)
    (tools / "build.py").write_text(script)
    (root / "work").mkdir()
    call = Call(spelling="x86_64", flavour="debug", llvm=22, clang=("clang",), programs={}, pyconfig=root)
    return generator.run(call, root / "tree", root / "work")


@pytest.mark.process
@pytest.mark.parametrize(
    ("printed", "error", "what", "step"),
    [
        ("Can't find llvm-readobj!", ToolchainError, "needs llvm-readobj, and no LLVM", "distribution's llvm-22"),
        ("OSError: No space left on device", OutputError, "there is no room", "free some space there"),
        ("ValueError: odd", CompileError, "the tree's own Tools/jit/build.py", "leave --check-upstream out"),
    ],
)
def test_a_generator_that_fails_is_quoted_with_a_next_step(
    printed: str, error: type[StencilkitError], what: str, step: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=what) as caught:
        generate(FAILS.format(printed), tmp_path)
    assert step in caught.value.fix
    if error is CompileError:
        assert caught.value.details == printed
        assert caught.value.where.startswith("Tools/jit/build.py x86_64 --debug --output-dir ")


@pytest.mark.process
def test_a_generator_that_stops_at_build_attributes_is_run_again_without_them(tmp_path: Path) -> None:
    made = generate(STOPS, tmp_path)
    assert made.files == {"jit_stencils.h": b"made"}
    (allowed,) = made.allowed
    assert "build attributes of objects" in allowed.what
    edited = (tmp_path / "tree/Tools/jit/_targets.py").read_text()
    assert edited == (f'        if section["Type"]["Value"] == 0x70000003:\n            return\n{TARGETS}')
