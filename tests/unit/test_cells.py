"""gate and qualify, with a compiler and stencilkit itself in this process: what they conclude, and say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from stencilkit import cli, results, source
from stencilkit.errors import ProcessError
from stencilkit.model.judgement import Sample
from stencilkit.model.qualification import Check, Job, Name
from stencilkit.pipeline import answering, auditing, recalling, sampling
from stencilkit.pipeline import gate as gates
from stencilkit.support.cache import NoStore, Store
from tests import samples
from tests.results import cell
from tests.standin import Machine

GATE = """\
schema = 1

[[variation]]
name = "a locale"
why = "sorting"
environment = { LC_ALL = "C.UTF-8" }
"""


def gate(machine: Machine, *words: str, more: str = "") -> int:
    ledger, variations = machine.out.with_name("ledger"), machine.out.with_name("variations.toml")
    ledger.mkdir(exist_ok=True)
    variations.write_text(GATE + more)
    places = ["--ledger", str(ledger), "--variations", str(variations)]
    return cli.main(["gate", *machine.words("--llvm", "19", *places, *words)])


def test_a_gate_writes_a_ledger_and_finds_what_is_not_in_it(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(machine, "--update") == 0
    said = capsys.readouterr().out
    assert f"written: 3.14.7/{samples.TRIPLE}-release-llvm-19.1.7.toml" in said
    assert "varied, all at once: a locale" in said
    assert gate(machine) == 0
    assert "as expected" in capsys.readouterr().out
    machine.change()
    report = machine.out.with_name("report.md")
    assert gate(machine, "--report", str(report)) == 1
    assert "UNEXPECTED" in capsys.readouterr().out
    assert "UNEXPECTED" in report.read_text()
    assert gate(machine, "--format", "json") == 1
    (outcome,) = json.loads(capsys.readouterr().out)["outcomes"]
    assert (outcome["passed"], outcome["unstable"]) == (False, [])
    assert outcome["unexpected"]


def test_a_gate_names_what_a_build_depends_on(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """And leaves the ledger as it is."""
    nop = '\n[[variation]]\nname = "a nop"\nwhy = "a test"\nenvironment = { NOP = "case" }\n'
    assert gate(machine, "--update", more=nop) == 1
    said = capsys.readouterr().out
    assert "VARIES" in said
    assert "varies with a nop (a test): " in said
    assert "varies with a locale" not in said
    assert "left alone: 3.14.7/" in said
    missing = '\n[[variation]]\nname = "a clock"\nwhy = "a test"\nprefix = ["faketime", "2001"]\n'
    assert gate(machine, "--update", "--format", "markdown", more=missing) == 0
    assert "* not varied: a clock: cannot run faketime: No such file or directory" in capsys.readouterr().out


def test_a_gate_whose_build_fails_is_trouble(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.clang.bad = {"_NOP"}
    assert gate(machine, "--update") == 2
    said = capsys.readouterr().err
    assert "a build (nothing varied) ended with 2" in said
    assert "1 of 3 units did not compile" in said
    assert gate(machine, "--update", "--llvm", "17") == 2


def qualify(machine: Machine, *words: str, llvm: str = "19..20", out: str = "qualified") -> int:
    places = ["--llvm", llvm, "--out", str(machine.out.with_name(out)), "--jobs", "1"]
    return cli.main(["qualify", *machine.words(*places, *words)])


def test_what_differs_from_upstreams_generator_is_not_qualified(
    judged: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qualify(judged, "--depth", "build") == 1
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if line.startswith("3.14.7 ")]
    assert [(row[1], row[4], row[5], row[6], row[7]) for row in rows] == [
        ("19.1.7", "3", "3", "26", "qualified,"),
        ("20.1.8", "3", "1", "28", "not"),
    ]
    assert "equal to this tree's own generator: _NOP differs; _POP_TOP differs" in said
    assert "not varied: umask: cannot run sh: No such file or directory;" in said
    # What is there is not thrown away.
    assert qualify(judged, "--depth", "build") == 2
    assert "there are results in this folder already" in capsys.readouterr().err
    assert qualify(judged, "--depth", "build", "--resume") == 1


def test_stencils_that_are_proved_say_so(judged: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert qualify(judged, "--depth", "prove", "--format", "json") == 1
    first, second = json.loads(capsys.readouterr().out)["cells"]
    assert (first["pinned"], first["identical"], first["differing"]) == (True, 3, [])
    checks = {check["name"]: (check["outcome"], check["figure"]) for check in second["checks"]}
    assert checks["proof"] == ("passed", "2 of 2 proved")
    assert checks["run"][0] == "not asked"
    found = {result.cell.llvm: result for result in results.read_all(judged.out.with_name("qualified"))}
    assert {item.name: item.proof for item in found["20.1.8"].differing} == {"_NOP": "proved", "_POP_TOP": "proved"}
    assert all(item.likeness == "same-holes" for item in found["20.1.8"].differing)
    (row, *_) = found["20.1.8"].differing[0].rows
    assert (row.left, row.same) == ("", False)
    assert row.right.endswith("nop")


def test_answers_are_kept_for_the_next_run(judged: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where its results go to another folder; --no-cache asks again."""
    qualify(judged, "--depth", "build", llvm="19")
    judged.compiled()
    qualify(judged, "--depth", "build", llvm="19", out="again")
    assert judged.compiled() == set()
    qualify(judged, "--depth", "build", "--no-cache", llvm="19", out="once more")
    assert judged.compiled()


# Of the two uops of that CPython, a sample of one has the first.
CHOSEN, OTHER = sorted(
    ("_NOP", "_POP_TOP"), key=lambda name: sampling.choose(["_NOP", "_POP_TOP"], Sample(count=1)) != [name]
)


@pytest.fixture
def known(judged: Machine) -> Machine:
    """A machine with a ledger that has what LLVM 19 makes."""
    assert gate(judged, "--update") == 0
    return judged


def vary(monkeypatch: pytest.MonkeyPatch, machine: Machine, nop: str = "nothing") -> None:
    """Let one thing be varied, which puts an instruction before some uops."""
    path = machine.out.with_name("one variation.toml")
    path.write_text(f'{GATE}\n[[variation]]\nname = "a nop"\nwhy = "a test"\nenvironment = {{ NOP = "{nop}" }}\n')
    monkeypatch.setattr(answering, "variations", lambda: gates.load(path))


def checks(machine: Machine, *words: str, out: str) -> dict[Name, Check]:
    """Qualify LLVM 19 by the ledger; return the checks."""
    qualify(machine, "--ledger", str(machine.out.with_name("ledger")), *words, llvm="19", out=out)
    (found,) = results.read_all(machine.out.with_name(out))
    return {check.name: check for check in found.checks}


def test_what_is_as_in_a_ledger_is_varied_by_a_sample(known: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is varied where nothing says what variations do to the rest."""
    vary(monkeypatch, known)
    # What fails is not kept, and this generator makes the same of all trees: let it not be asked.
    known.clang.upstream = {}
    whole = Check(name="varied", outcome="passed", figure="2 variations at once")
    found = checks(known, "--sample", "1", out="sample")
    assert (found["varied"].outcome, found["varied"].figure) == ("passed", "2 variations at once, 1 of 2 uops")
    assert "as in the ledger, which has only what the gate built the same" in found["varied"].reason
    # Answers are kept, each under what it was asked with.
    assert checks(known, "--sample", "0", out="all")["varied"] == whole
    assert checks(known, "--sample", "2", out="as many")["varied"] == whole
    qualify(known, "--sample", "1", llvm="19", out="no ledger")
    (alone,) = results.read_all(known.out.with_name("no ledger"))
    assert {check.name: check for check in alone.checks}["varied"] == whole
    (entry,) = known.out.with_name("ledger").rglob("*-llvm-*.toml")
    text = entry.read_text()
    entry.rename(entry.with_name(entry.name.replace("19.1.7", "19.1.0")))
    assert checks(known, "--sample", "1", out="another's entry")["varied"] == whole
    entry.write_text(text.replace("code-bytes = ", "code-bytes = 1"))
    found = checks(known, "--sample", "1", out="another entry")
    assert (found["varied"], found["ledger"].outcome) == (whole, "failed")
    entry.write_text(text)
    assert checks(known, "--sample", "1", out="sample again")["varied"].figure.endswith("1 of 2 uops")


def test_a_variation_that_changes_the_sample_is_named(known: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    vary(monkeypatch, known, f"case {CHOSEN}:")
    found = checks(known, "--sample", "1", out="sample")["varied"]
    assert (found.outcome, found.figure) == ("failed", "2 variations at once, 1 of 2 uops")
    assert found.reason.startswith("differs with a nop (a test): ")
    assert f"{CHOSEN}: same-holes" in found.reason
    # What is not in the sample is not seen, as docs/qualify.md says.
    vary(monkeypatch, known, f"case {OTHER}:")
    assert checks(known, "--sample", "1", "--no-cache", out="other")["varied"].outcome == "passed"
    found = checks(known, "--sample", "0", "--no-cache", out="all")["varied"]
    assert found.outcome == "failed"
    assert f"{OTHER}: same-holes" in found.reason


def test_a_sample_that_does_not_stand_for_the_whole_fails(known: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stencil that depends on which others there are."""
    vary(monkeypatch, known)
    only = source.only
    monkeypatch.setattr(source, "only", lambda *words: only(*words).replace("break;", "/* BYTES: 90 */ break;"))
    found = checks(known, "--sample", "1", out="sample")
    assert found["varied"].outcome == "failed"
    assert found["varied"].reason == f"{CHOSEN} differs where only a sample of the uops is built"
    assert found["generator"].outcome == "failed"


def test_a_ledger_that_cannot_be_read_stands_for_nothing(known: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    vary(monkeypatch, known)
    (entry,) = known.out.with_name("ledger").rglob("*-llvm-*.toml")
    entry.write_text(entry.read_text()[:-40])
    found = checks(known, "--sample", "1", out="sample")
    assert (found["varied"].outcome, found["varied"].figure) == ("passed", "2 variations at once")
    assert found["ledger"].outcome == "failed"


def job(machine: Machine, **more: Any) -> Job:
    program = str(machine.programs / "clang-19")
    fields = {"cell": cell(llvm="19.1.7"), "depth": "build", "ledger": {}, "sample": 8, "jobs": 1, **more}
    return Job(
        tree=str(machine.tree), pyconfig=str(machine.config), program=program, reference=program, inputs="", **fields
    )


def digest(machine: Machine, **more: Any) -> str:
    """Digest what a job is about in a new process."""
    for known in (recalling._tree, recalling._identity, recalling._programs):
        known.cache_clear()
    return recalling.inputs(job(machine, **more), NoStore())


def test_a_digest_of_a_job_has_all_that_its_answers_depend_on(judged: Machine) -> None:
    first = digest(judged)
    assert digest(judged) == first
    found = {first, digest(judged, sample=0), digest(judged, ledger={"a.toml": ""})}
    judged.change()
    found.add(digest(judged))
    for path in (judged.config / "pyconfig.h", judged.programs / "clang-19"):
        path.write_text(path.read_text() + "\n")
        found.add(digest(judged))
    readobj = judged.programs / "llvm-readobj"
    readobj.write_text("#!/bin/sh\n")
    readobj.chmod(0o755)
    found.add(digest(judged))
    assert len(found) == 7


def test_a_run_that_goes_on_with_another_tree_asks_again(judged: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--depth", "build", "--no-cache")
    qualify(judged, *words, llvm="19")
    judged.compiled()
    qualify(judged, *words, "--resume", llvm="19")
    assert judged.compiled() == set()
    assert "is done again" not in capsys.readouterr().err
    judged.change()
    recalling._tree.cache_clear()
    qualify(judged, *words, "--resume", llvm="19")
    assert judged.compiled()
    assert "is done again: tree, pyconfig.h," in capsys.readouterr().err


def test_what_a_machine_was_too_busy_for_is_asked_again(
    judged: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That it was not asked once does not mean that it cannot be."""

    def busy(*_: object) -> NoReturn:
        raise ProcessError("llvm-objdump did not end within 60 seconds")

    with monkeypatch.context() as patch:
        patch.setattr(auditing, "of", busy)
        qualify(judged, llvm="19")
    assert "audit: not asked: llvm-objdump did not end" in capsys.readouterr().out.replace("\n", " ")
    qualify(judged, llvm="19", out="again")
    assert "audit: not asked" not in capsys.readouterr().out


def test_answers_depend_on_headers_that_are_in_no_tree(judged: Machine) -> None:
    """Those of the C library, say, or clang's own."""
    qualify(judged, "--depth", "build", llvm="19")
    judged.compiled()
    (judged.config / "limits.h").write_text("#define PATH_MAX 4097\n")
    qualify(judged, "--depth", "build", llvm="19", out="again")
    assert judged.compiled()


def test_what_does_not_compile_is_not_qualified(judged: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    judged.change()
    judged.clang.bad = {"_NOP"}
    assert qualify(judged, "--depth", "build", llvm="19") == 1
    assert "not qualified" in capsys.readouterr().out


def test_a_matrix_for_github_builds_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["qualify", "--format", "github", "--llvm", "19", "--target", "x86_64*linux-gnu"]
    assert cli.main([*words, "--cpython", "3.14.7"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["include"]
    assert (row["cpython"], row["llvm"], row["target"], row["pinned"]) == ("3.14.7", 19, samples.TRIPLE, True)
    assert cli.main([*words, "--cpython", "3.12.1"]) == 2
    assert "the matrix is empty" in capsys.readouterr().err
    assert cli.main([*words, "--target", "x86*-gun"]) == 2
    assert "--target 'x86*-gun' matches no target" in capsys.readouterr().err
    for idle in (["--flavour", "debug"], ["--depth", "prove"], ["--resume"], ["--ledger", str(tmp_path)]):
        assert cli.main([*words, *idle]) == 2
        assert f"{idle[0]} has no effect with --format github" in capsys.readouterr().err
    assert cli.main(["qualify", "--wheels"]) == 2
    assert "--wheels is for --format github" in capsys.readouterr().err


@pytest.mark.parametrize(
    "forged",
    [
        b"\xff",
        b"[]",
        b'{"a": 1}',
        b'{"../a": "x"}',
        b'{"/a": "x"}',
        b'{"": "x"}',
        b'{"..": "x"}',
        b'{"a": "\\u1234"}',
        b"[" * 100_000,
    ],
    ids=lambda value: repr(value[:16]),
)
def test_a_folder_in_the_cache_that_nobody_kept_is_not_used(forged: bytes, tmp_path: Path) -> None:
    store, folder = Store(tmp_path / "cache" / "entries"), tmp_path / "deep" / "out"
    store.put("a" * 64, forged)
    assert recalling.get_folder("a" * 64, folder, store) is None
    assert (store.damaged, store.get("a" * 64)) == (1, None)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.h").write_bytes(bytes(range(256)))
    recalling.put_folder("b" * 64, tmp_path / "one", store)
    assert recalling.get_folder("b" * 64, folder, store) == folder
    assert (folder / "a.h").read_bytes() == bytes(range(256))
