"""stencilkit prove on stencils of a few instructions: what it prints, how it ends, and what a ledger makes of that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import cli, emit
from stencilkit.pipeline import opening
from stencilkit.support import environ
from stencilkit.support.cache import ENTRIES, Store
from tests import samples
from tests.standin import Machine, Program


@pytest.fixture
def alike(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Machine:
    """Builds whose uops differ in an instruction that does nothing."""
    machine.build(llvm="19..20")
    capsys.readouterr()
    return machine


@pytest.fixture
def unlike(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Machine:
    """Builds of which the second destroys the frame."""
    machine.clang.programs[str(machine.programs / "clang-20")] = Program("20.1.8", before=bytes.fromhex("4d31e4"))
    machine.build(llvm="19..20")
    capsys.readouterr()
    return machine


def prove(machine: Machine, *words: str) -> int:
    return cli.main(["prove", str(machine.folder()), str(machine.folder("20.1.8")), "--jobs", "1", *words])


def test_what_is_proved_is_counted(alike: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert prove(alike) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{alike.folder()} -> {alike.folder('20.1.8')}"
    assert lines[1] == "CPython 3.14, x86_64-unknown-linux-gnu: 1 identical, 2 proved"
    assert len(lines) == 3
    assert prove(alike, "--uop", "_NOP", "--format", "markdown") == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"## {lines[0]}",
        "CPython 3.14, x86_64-unknown-linux-gnu: 1 proved",
    ]


def test_proofs_are_kept(alike: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    prove(alike)
    assert "stencils proved: 2 of 2" in capsys.readouterr().err
    assert prove(alike) == 0
    assert "stencils proved: 0 of 0" in capsys.readouterr().err
    assert prove(alike, "--no-cache") == 0
    assert "stencils proved: 2 of 2" in capsys.readouterr().err


@pytest.mark.parametrize("forged", [b"\xff", b"[]", b"{}", b'{"verdict": "proved"}', b"[" * 100_000])
def test_proofs_that_cannot_be_read_are_made_again(
    forged: bytes, alike: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever wrote them computed a digest."""
    store = Store(environ.cache_root() / ENTRIES)
    before = {path.name for path in store.root.glob("*/*")}
    prove(alike)
    for path in list(store.root.glob("*/*")):
        if path.name not in before:
            store.put(path.name, forged)
    capsys.readouterr()
    assert prove(alike) == 0
    printed = capsys.readouterr()
    assert "stencils proved: 2 of 2" in printed.err
    assert "1 identical, 2 proved" in printed.out


def test_what_differs_is_shown_with_a_run_that_does(unlike: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert prove(unlike) == 1
    said = capsys.readouterr().out
    assert "CPython 3.14, x86_64-unknown-linux-gnu: 1 identical, 2 differs\n" in said
    assert "  _NOP: differs (r12 may differ)\n" in said
    assert "      B  exit CONTINUE r12=0x0\n" in said
    assert "              0:  xor r12, r12\n" in said
    assert prove(unlike, "--format", "json") == 1
    answer = json.loads(capsys.readouterr().out)
    (pair,) = answer["pairs"]
    assert not answer["proved"]
    assert {proof["name"]: (proof["verdict"], proof["accepted"]) for proof in pair["proofs"]} == {
        "_NOP": ("differs", False),
        "_POP_TOP": ("differs", False),
        "shim": ("identical", True),
    }
    assert prove(unlike, "--format", "junit") == 1
    assert 'tests="3" failures="2"' in capsys.readouterr().out


@pytest.mark.parametrize(("code", "ends"), [("410f284508", 1), ("410f104508", 0)])
def test_what_faults_where_data_is_not_aligned_is_not_proved(
    code: str, ends: int, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Movaps and movups, xmm0, [r13 + 8]: as LLVM 19's xorps of 3.15 on x86_64 Windows, of data that is anywhere."""
    before = bytes.fromhex(code)
    machine.clang.programs[str(machine.programs / "clang-20")] = Program("20.1.8", before=before)
    machine.build(llvm="19..20")
    capsys.readouterr()
    assert prove(machine, "--uop", "_NOP", "--no-replay") == ends
    fault = "not proved (unsupported: memory that may not be aligned, at 0x0: movaps xmm0, xmmword ptr [r13 + 8])"
    assert (fault in capsys.readouterr().out) == bool(ends)


def test_stencils_are_proved_against_themselves(alike: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prove", str(alike.folder()), "--self", "--jobs", "1"]
    assert cli.main([*words, "--uop", "_NOP", "--uop", "_POP_TOP"]) == 0
    assert "2 proved" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{19}"], "prove takes two or more paths, or --self and one"),
        (["{19}", "{20}", "--self"], "--self takes one path"),
        (["{19}", "{20}", "--uop", "_NOPE"], "_NOPE"),
        (["{19}", "{20}", "--assume", "nothing"], "nothing"),
        (["{19}", "{20}", "--update"], "--ledger"),
    ],
)
def test_what_is_refused(words: list[str], message: str, alike: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    places = {"{19}": str(alike.folder()), "{20}": str(alike.folder("20.1.8"))}
    assert cli.main(["prove", *(places.get(word, word) for word in words)]) == 2
    assert message in capsys.readouterr().err


def test_a_bundle_is_taken_if_one_build_in_it_is_meant(
    alike: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both, one = str(tmp_path / "both.tar"), str(tmp_path / "one.tar")
    assert cli.main(["pack", str(alike.out), "-o", both]) == 0
    assert cli.main(["pack", str(alike.folder()), "-o", one]) == 0
    assert cli.main(["prove", one, str(alike.folder("20.1.8")), "--jobs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-2].endswith("1 identical, 2 proved")
    assert cli.main(["prove", both, str(alike.folder())]) == 2
    said = capsys.readouterr().err
    assert f"{both} has 2 builds that could be meant" in said
    assert "name one by --target, or unpack the bundle and give a folder" in said


@pytest.fixture
def ledger(alike: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A ledger that expects both builds, and knows no proofs."""
    folder, variations = tmp_path / "ledger", tmp_path / "variations.toml"
    folder.mkdir()
    variations.write_text('schema = 1\n[[variation]]\nname = "a"\nwhy = "b"\nenvironment = { LC_ALL = "C" }\n')
    places = ["--ledger", str(folder), "--variations", str(variations), "--update"]
    assert cli.main(["gate", *alike.words("--llvm", "19..20"), *places]) == 0
    assert "2 stencils differ from those of LLVM 19.1.7; none is known to be proved" in capsys.readouterr().out
    return folder


def test_a_ledger_says_what_is_proved(ledger: Path, alike: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert prove(alike, "--ledger", str(ledger)) == 1
    assert "not as the ledger says: " in capsys.readouterr().out
    assert prove(alike, "--ledger", str(ledger), "--update") == 0
    (entry,) = ledger.glob("3.14.7/*llvm-20.1.8.toml")
    assert "proofs" in entry.read_text()
    assert prove(alike, "--ledger", str(ledger)) == 0
    text = entry.read_text()
    assert "proved = 2\n" in text
    entry.write_text(text.replace("proved = 2\n", 'proved = 1\n\n[proofs.otherwise]\n_NOP = "differs"\n'))
    capsys.readouterr()
    assert prove(alike, "--ledger", str(ledger)) == 1
    assert "not as the ledger says: _NOP is proved; the ledger says differs\n" in capsys.readouterr().out


def test_what_proofs_take_for_granted(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prove", "--assumptions"]) == 0
    text = capsys.readouterr().out
    assert "(always)\n    " in text
    assert "(only with --assume)\n    " in text
    assert cli.main(["prove", "--assumptions", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["assumptions"]
    assert text.count("\n    source: ") == len(rows)
    assert cli.main(["prove", "--assumptions", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("| name | when | what | source |\n| --- |")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ledger", "{ledger}", "--uop", "_NOP"), "the ledger is about all stencils of two builds"),
        (("--ledger", "{ledger}"), "is not what the ledger describes"),
    ],
)
def test_a_ledger_is_asked_about_what_it_describes(
    words: tuple[str, ...], message: str, alike: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger"
    samples.ledger(ledger, alike.folder())
    assert prove(alike, *(word.replace("{ledger}", str(ledger)) for word in words)) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "next:  " in printed


def test_a_stencil_that_one_side_lacks_is_not_proved(alike: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    header = alike.folder("20.1.8") / f"jit_stencils-{samples.TRIPLE}.h"
    described, python = opening.read_header(header.read_text(), header.name)
    assert python.support.series == "3.14"
    left = replace(
        described.stencils, groups=tuple(group for group in described.stencils.groups if group.name != "_NOP")
    )
    text = emit.render_header(left, described.format, line1=described.line1, line2="$ build.py")
    (alone := alike.out.with_name(f"jit_stencils-{samples.TRIPLE}.h")).write_text(text)
    words = ["prove", str(alike.folder()), str(alone), "--jobs", "1", "--format", "json"]
    assert cli.main(words) == 1
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    (found,) = [proof for proof in pair["proofs"] if proof["name"] == "_NOP"]
    assert (found["verdict"], found["why"]) == ("not proved", f"unsupported: it is in {alike.folder()} alone")
