"""What is compared of two generators."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit import generator
from stencilkit.errors import SourceError
from stencilkit.model.judgement import Call, ComparedFile, Judgement
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
