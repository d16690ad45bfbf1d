"""What a mistyped word may mean."""

from __future__ import annotations

import pytest

from stencilkit.cli import _COMMANDS, main
from stencilkit.errors import ExitCode, TargetError
from stencilkit.pipeline import knowing
from stencilkit.support import suggest

LINUX, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
MUSL, ARM_MUSL = "x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"
BSD = "x86_64-unknown-freebsd"
MAC, INTEL_MAC, BOTH = "aarch64-apple-darwin", "x86_64-apple-darwin", "universal2-apple-darwin"
WINDOWS, ARM_WINDOWS, OLD_WINDOWS = "x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc", "i686-pc-windows-msvc"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("x86_64", (LINUX, INTEL_MAC, WINDOWS, MUSL)),
        ("amd64", (LINUX, INTEL_MAC, WINDOWS, MUSL)),
        ("x86-64", (LINUX, INTEL_MAC, WINDOWS, MUSL)),
        ("aarch64", (ARM, MAC, ARM_WINDOWS, ARM_MUSL)),
        ("arm64", (ARM, MAC, ARM_WINDOWS, ARM_MUSL)),
        ("macos", (MAC, INTEL_MAC, BOTH)),
        ("arm64-macos", (MAC,)),
        ("linux", (LINUX, ARM, MUSL, ARM_MUSL)),
        ("linux/amd64", (LINUX, MUSL)),
        ("win64", (WINDOWS, OLD_WINDOWS, ARM_WINDOWS)),
        ("x86_64-unknown-linux-gun", (LINUX, MUSL, BSD)),
        ("x86_65-unknown-linux-gnu", (LINUX, MUSL, BSD)),
    ],
)
def test_a_triple_that_is_none(word: str, meant: tuple[str, ...]) -> None:
    with pytest.raises(TargetError) as caught:
        knowing.target(word)
    assert caught.value.fix.partition("?")[0] == suggest.question(meant).rstrip("?")


@pytest.mark.parametrize("word", ["sparc", "sparc64-unknown-linux-gnu", "-", ""])
def test_a_triple_that_is_like_none_gets_all(word: str) -> None:
    with pytest.raises(TargetError) as caught:
        knowing.target(word)
    assert caught.value.fix.startswith("choose one of ")


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (["biuld"], "did you mean build?"),
        (["verfy"], "did you mean verify?"),
        (["diff"], "did you mean compare?"),
        (["cache", "claer"], "did you mean clear?"),
        (["toolchains", "instal", "19"], "did you mean install?"),
        (["build", "--llmv", "19"], "did you mean --llvm?"),
        (["build", "--python", "x"], "did you mean --cpython?"),
        (["test", ".", "--suite", "jti"], "did you mean jit?"),
        (["install", ".", "--flavour", "pydebug"], "did you mean debug?"),
        (["install", ".", "--flavour", "relase"], "did you mean release?"),
        (["compare", "a", "b", "--format", "md"], "did you mean markdown?"),
        (["audit", ".", "--demand", "landingpads"], "did you mean landing-pads?"),
    ],
)
def test_a_mistyped_word(words: list[str], question: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == ExitCode.TROUBLE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"\n  next:  {question} " in f"{printed.err.rstrip()} "


@pytest.mark.parametrize("words", [["xyzzy"], ["cache", "xyzzy"], ["build", "--xyzzy"]])
def test_what_is_like_nothing_gets_the_list(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == ExitCode.TROUBLE
    printed = capsys.readouterr().err
    assert "did you mean" not in printed
    assert "--help" in printed


def test_another_digit_is_another_version() -> None:
    known = ["3.14.7", "3.15.0rc1"]
    assert suggest.nearest("3.14.77", known, likeness=suggest.VERSION_LIKENESS) == ("3.14.7",)
    assert suggest.nearest("3.14.0", known, likeness=suggest.VERSION_LIKENESS) == ()


def test_other_names_lead_to_what_there_is() -> None:
    assert set(suggest.COMMAND_WORDS.values()) <= set(_COMMANDS)
    assert not set(suggest.COMMAND_WORDS) & set(_COMMANDS)
    parts = {part for target in knowing.known_targets() for part in target.triple.split("-")}
    assert set(suggest.TRIPLE_WORDS.values()) <= parts


@pytest.mark.parametrize("words", [[], ["cache"]])
def test_without_a_command_there_is_help_and_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == ExitCode.TROUBLE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Usage: stencilkit")
    assert "error" not in printed.err.splitlines()[0]


def test_names_in_capitals_are_suggested() -> None:
    """Since 3.15 there is a stencil for each number of values in registers."""
    uops = ["_LOAD_FAST_r01", "_LOAD_FAST_r12", "_LOAD_FAST_r23", "_POP_TOP_r10"]
    assert suggest.nearest("_LOAD_FAST", uops) == ("_LOAD_FAST_r23", "_LOAD_FAST_r12", "_LOAD_FAST_r01")
    assert suggest.nearest("_pop_top_r10", uops)[0] == "_POP_TOP_r10"
