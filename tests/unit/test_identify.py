"""Finding stencils in programs: the programs are made of bytes here, no lief is needed."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from stencilkit import identify, ledger
from stencilkit.cli import _identified
from stencilkit.errors import PolicyError
from stencilkit.identify import policy
from stencilkit.model.program import JIT_TEXT, Program, Region
from stencilkit.model.signature import SHORTEST, SMALL, Candidate, Identification, Made, fill, sign
from stencilkit.model.version import MajorRange
from stencilkit.pipeline import identifying

# The first and the last are long: a short one needs a neighbour on both sides to be missed.
SIZES = (90, 36, 40, 57, 63, 64, 80, 81, 96, 130, 200, 257, 333, 64, 33, 70)


def codes(seed: int = 1, sizes: tuple[int, ...] = SIZES) -> dict[str, bytes]:
    drawn = random.Random(seed)
    return {f"_UOP_{number:02}": drawn.randbytes(size) for number, size in enumerate(sizes)}


def candidate(
    bodies: Mapping[str, bytes],
    *,
    cpython: str = "3.14.7",
    llvm: str = "21.1.0",
    known: bool = False,
    data: Iterable[bytes] = (),
) -> Candidate:
    made = Made(cpython=cpython, triple="x86_64-unknown-linux-gnu", flavour="release", llvm=llvm)
    return Candidate(
        made=made,
        signatures={name: item for name, code in bodies.items() if (item := sign(code))},
        short=frozenset(fill(code) for code in bodies.values() if len(code) < SHORTEST),
        data=frozenset(fill(content) for content in data),
        codes=dict(bodies) if known else {},
    )


def program(
    bodies: Mapping[str, bytes],
    *,
    version: bytes = b"3.14.7",
    jit: bool = True,
    reverse: bool = False,
    align: int = 16,
    elsewhere: Mapping[str, bytes] = MappingProxyType({}),
) -> Program:
    """Lay arrays out as a C compiler does, behind text and other constants; those `elsewhere` far behind the others."""
    noise = random.Random(7).randbytes(70_000)
    text = b"\0" + version + b"\0cpython-314\0" + b"\x003.45.1\0" + (JIT_TEXT if jit else b"")
    arrays = b""
    for code in reversed(list(bodies.values())) if reverse else bodies.values():
        arrays += bytes(-len(arrays) % align) + code
    if elsewhere:
        arrays += noise + noise
    for code in elsewhere.values():
        arrays += bytes(-len(arrays) % align) + code
    content = noise + text + bytes(-(len(noise) + len(text)) % 16) + arrays + noise
    regions = (
        Region(name=".text", offset=64, size=60_000),
        Region(name=".rodata", offset=60_064, size=len(content) - 60_064),
    )
    return Program(label="python", format="elf", arch="x86_64", content=content, regions=regions, protections=())


def asked(found: Program, *candidates: Candidate) -> Identification:
    return identify.judge(found, candidates, identify.find(found, identify.index(candidates)), "")


def changed(found: Program, code: bytes, at: int) -> Program:
    place = found.content.index(code) + at
    content = found.content[:place] + bytes([found.content[place] ^ 0x10]) + found.content[place + 1 :]
    return Program(
        label=found.label, format="elf", arch="x86_64", content=content, regions=found.regions, protections=()
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("align", [1, 4, 8, 16, 32])
def test_all_of_a_candidate_is_found(reverse: bool, align: int) -> None:
    answer = asked(program(codes(), reverse=reverse, align=align), candidate(codes()))
    assert answer.verdict == "identified"
    (coverage,) = answer.best
    assert (coverage.stencils, coverage.of_stencils, coverage.hidden) == (16, 16, 0)
    assert coverage.size == sum(SIZES)
    assert (answer.python, answer.jit) == ("3.14.7", True)


def test_the_exact_llvm_is_told_from_others_by_what_differs() -> None:
    other = {**codes(), "_UOP_09": random.Random(2).randbytes(131)}
    one, two = candidate(codes()), candidate(other, llvm="20.1.2")
    answer = asked(program(codes()), two, one)
    assert answer.verdict == "identified"
    assert [item.candidate.made.llvm for item in answer.best] == ["21.1.0"]
    assert [item.candidate.made.llvm for item in answer.others] == ["20.1.2"]
    assert answer.telling == ("_UOP_09",)


def test_builds_with_the_same_stencils_are_all_named() -> None:
    answer = asked(program(codes()), candidate(codes()), candidate(codes(), llvm="21.1.8"))
    assert [item.candidate.made.llvm for item in answer.best] == ["21.1.0", "21.1.8"]


def test_builds_that_differ_in_hidden_stencils_only_are_all_named() -> None:
    """gcc -O3 leaves 24 stencils of 3.13 to be seen, which LLVM 20 and 21 make alike: it was called LLVM 20's."""
    other = {**codes(), "_UOP_01": random.Random(2).randbytes(36)}
    known = [candidate(other, llvm="20.1.2"), candidate(codes()), candidate(codes(), llvm="21.1.8")]
    known.append(candidate({**other, "_UOP_02": random.Random(3).randbytes(40)}, cpython="3.14.6", llvm="19.1.7"))
    stored = {name: code for name, code in codes().items() if len(code) > 40}
    answer = asked(program(stored), *known)
    assert answer.verdict == "identified"
    assert [item.candidate.made.llvm for item in answer.best] == ["20.1.2", "21.1.0", "21.1.8"]
    assert [item.candidate.made.cpython for item in answer.others] == ["3.14.6"]
    assert answer.notes[0] == "the builds named differ only in stencils that cannot be seen in it"
    # What does not say which release it is may be any of them; and one stencil more decides it.
    assert len(asked(program(stored, version=b""), *known).best) == 4
    answer = asked(program({**stored, "_UOP_01": codes()["_UOP_01"]}), *known)
    assert [item.candidate.made.llvm for item in answer.best] == ["21.1.0", "21.1.8"]
    assert not any("cannot be seen" in note for note in answer.notes)


def test_a_ledger_must_have_each_of_the_builds_that_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    other = candidate({**codes(), "_UOP_01": random.Random(2).randbytes(36)}, llvm="20.1.2")
    same = candidate(codes(), llvm="21.1.8")
    stored = {name: code for name, code in codes().items() if len(code) > 36}
    answer = asked(program(stored), other, candidate(codes()), same)
    demanded = policy.Policy(ledger=True)
    for has, refused in (({"21.1.8"}, True), ({"20.1.2"}, True), ({"20.1.2", "21.1.8"}, False)):
        monkeypatch.setattr(ledger, "has", lambda *made, has=has: made[-1] in has)
        assert bool(identifying.refusals(answer, demanded, Path("ledger"))) == refused, has


def test_of_releases_with_the_same_stencils_the_programs_own_is_named() -> None:
    found = program(codes(), version=b"3.14.10")
    answer = asked(found, candidate(codes()), candidate(codes(), cpython="3.14.10"))
    assert [item.candidate.made.cpython for item in answer.best] == ["3.14.10"]
    answer = asked(found, candidate(codes()))
    assert answer.verdict == "identified"
    assert "no signatures of CPython 3.14.10 are known" in answer.notes[0]


def test_another_release_is_nearest() -> None:
    differing = {**codes(), **{f"_UOP_{number:02}": random.Random(3).randbytes(100) for number in (6, 8, 9)}}
    answer = asked(program(differing, version=b"3.14.10"), candidate(codes()))
    assert answer.verdict == "nearest"
    assert [missing.name for missing in answer.best[0].missing] == ["_UOP_06", "_UOP_08", "_UOP_09"]


@pytest.mark.parametrize("known", [False, True])
def test_every_change_of_a_byte_is_found(known: bool) -> None:
    bodies = codes()
    found, item = program(bodies), candidate(bodies, known=known)
    drawn = random.Random(5)
    for name, code in bodies.items():
        for at in {0, len(code) // 2, len(code) - 1, drawn.randrange(len(code))}:
            answer = asked(changed(found, code, at), item)
            assert answer.verdict == "changed", (name, at)
            (missing,) = answer.best[0].missing
            assert missing.name == name
            if known:
                assert missing.differing == (at,)


def clangs(seed: int = 4) -> tuple[dict[str, bytes], list[bytes]]:
    """Make code of all sizes and data, of which clang makes an array each, in this order, but of what is equal."""
    drawn = random.Random(seed)
    sizes = [*range(17, 60, 2), 38, 43, 45, 32, 33, 49, 80, 90, 300, 120, *range(17, 32, 3), 130]
    drawn.shuffle(sizes)
    bodies = {f"_UOP_{number:02}": drawn.randbytes(size - 4) + bytes(4) for number, size in enumerate([99, *sizes, 99])}
    # Some stencils have the code of another, somewhere before; some end with that of a short one.
    names = sorted(bodies)
    bodies[names[20]], bodies[names[30]] = bodies[names[3]], bodies[names[9]]
    return bodies, [drawn.randbytes(30), bytes(8), bytes(24), b"unbound local\0\0\0"]


def stored(bodies: Mapping[str, bytes], data: list[bytes]) -> Program:
    """Store them as clang does: equal arrays once."""
    arrays = dict.fromkeys([*bodies.values(), *data])
    order = random.Random(2).sample(range(len(bodies)), len(data))
    mixed = list(dict.fromkeys(bodies.values()))
    for position, content in zip(order, data, strict=True):
        mixed.insert(position % (len(mixed) - 2) + 1, content)
    assert len(mixed) == len(arrays)
    return program({str(number): content for number, content in enumerate(mixed)})


@pytest.mark.parametrize("seed", range(3))
def test_clangs_layout_is_explained(seed: int) -> None:
    bodies, data = clangs(seed)
    answer = asked(stored(bodies, data), candidate(bodies, data=data))
    assert answer.verdict == "identified", answer.best[0].missing
    assert answer.best[0].hidden == 0


def test_every_change_of_a_byte_is_found_where_equal_arrays_are_one() -> None:
    """The neighbours of some stencils are elsewhere; changes are in code that is too short to have two whole ends."""
    bodies, data = clangs()
    found, item = stored(bodies, data), candidate(bodies, known=True, data=data)
    for name, code in bodies.items():
        # Of 32 to 63 bytes, some are in both ends.
        for at in {len(code) // 2, len(code) - 1} if SHORTEST <= len(code) < 64 else {len(code) // 3}:
            answer = asked(changed(found, code, at), item)
            assert answer.verdict == "changed", (name, len(code), at)
            named = {missing.name for missing in answer.best[0].missing}
            same = {other for other, body in bodies.items() if body == code}
            assert named == (same if len(code) >= SHORTEST else {SMALL}), (name, len(code), at)
            if len(code) >= SHORTEST:
                assert {missing.differing for missing in answer.best[0].missing} == {(at,)}, (name, len(code), at)


def test_changed_data_is_found() -> None:
    bodies, data = clangs()
    answer = asked(changed(stored(bodies, data), data[0], 11), candidate(bodies, data=data))
    assert answer.verdict == "changed"
    assert [missing.name for missing in answer.best[0].missing] == [SMALL]


@pytest.mark.parametrize("size", [38, 49])
def test_a_stencil_is_not_hidden_by_zeros_or_by_another(size: int) -> None:
    """Zeros look like padding, and the code of another stencil is known."""
    bodies, data = clangs()
    found, item = stored(bodies, data), candidate(bodies, data=data)
    name, code = next((name, code) for name, code in bodies.items() if len(code) == size)
    others = [other for other in bodies.values() if len(other) <= size and other != code]
    for other in (bytes(size), *others):
        content = found.content.replace(code, other + bytes(size - len(other)))
        answer = asked(replace(found, content=content), item)
        assert answer.verdict in ("changed", "nearest")
        assert name in [missing.name for missing in answer.best[0].missing]


def test_gccs_arrays_are_not_hidden_by_another() -> None:
    """gcc may store short code as instructions: what is where it would be as an array says that it was not."""
    bodies = codes()
    found, item = program(bodies), candidate(bodies)
    short = {name: code for name, code in bodies.items() if len(code) < 65}
    for name, code in short.items():
        for other in [bytes(len(code)), *(one for one in short.values() if len(one) == len(code) and one != code)]:
            answer = asked(replace(found, content=found.content.replace(code, other)), item)
            assert answer.verdict == "changed", name
            assert name in [missing.name for missing in answer.best[0].missing], name


def test_short_code_that_became_instructions_is_not_missed() -> None:
    stored = {name: code for name, code in codes().items() if len(code) > 36}
    answer = asked(program(stored), candidate(codes()))
    assert answer.verdict == "identified"
    assert answer.best[0].hidden == 2
    assert "2 stencils of less than 65 bytes" in answer.notes[0]


def test_a_compiler_that_stores_all_but_long_code_as_instructions() -> None:
    """gcc without PGO: nothing up to 256 bytes is an array, everything above is."""
    bodies = codes(sizes=(*range(40, 257, 9), *range(257, 400, 9)))
    stored = {name: code for name, code in bodies.items() if len(code) > 256}
    answer = asked(program(stored), candidate(bodies))
    assert answer.verdict == "identified"
    assert (answer.best[0].stencils, answer.best[0].hidden) == (16, 25)
    assert "25 stencils of less than 273 bytes" in answer.notes[0]
    gone = {name: code for name, code in stored.items() if name != "_UOP_30"}
    assert asked(program(gone), candidate(bodies)).verdict == "nearest"


def test_a_piece_before_the_first_array_is_not_the_end_of_a_changed_one() -> None:
    """gcc -O3 -flto: the pieces of 16 bytes of one stencil of a debug build of 3.13 ended where the arrays begin."""
    bodies = codes(sizes=(*range(40, 257, 9), *range(257, 400, 9)))
    stored = {name: code for name, code in bodies.items() if len(code) > 256}
    pieces = {"pieces": bytes(range(100, 132)) + bodies["_UOP_14"][-48:]}
    answer = asked(program({**pieces, **stored}), candidate(bodies))
    assert (answer.verdict, answer.best[0].stencils, answer.best[0].hidden) == ("identified", 16, 25)


def test_a_few_short_arrays_do_not_hide_that_the_others_are_instructions() -> None:
    """3.13 compiled by gcc -O2: four of the code up to 256 bytes are arrays, most are not."""
    bodies = codes(sizes=(*range(66, 257, 9), *range(257, 400, 9)))
    short = [name for name, code in bodies.items() if len(code) <= 256]
    stored = {name: code for name, code in bodies.items() if name in short[2::6] or len(code) > 256}
    assert len(stored) == 4 + 16
    answer = asked(program(stored), candidate(bodies))
    assert (answer.verdict, answer.best[0].stencils) == ("identified", 20)
    # Where half of them are, the others should be, too.
    stored = {name: code for name, code in bodies.items() if name in short[::2] or len(code) > 256}
    assert asked(program(stored), candidate(bodies)).verdict == "nearest"


def test_long_code_that_is_not_there_is_missed() -> None:
    stored = {name: code for name, code in codes().items() if name != "_UOP_12"}
    answer = asked(program(stored), candidate(codes()))
    assert answer.verdict == "nearest"
    assert [(missing.name, missing.offset) for missing in answer.best[0].missing] == [("_UOP_12", -1)]


def test_neighbours_with_the_same_code_are_one_array() -> None:
    bodies = {**codes(), "_UOP_04a": random.Random(8).randbytes(90)}
    bodies["_UOP_05"] = bodies["_UOP_04"]
    stored = {name: code for name, code in bodies.items() if name not in ("_UOP_04a", "_UOP_05")}
    answer = asked(program(stored), candidate(dict(sorted(bodies.items()))))
    assert [(missing.name, missing.offset) for missing in answer.best[0].missing] == [("_UOP_04a", -1)]


def test_a_python_without_a_jit() -> None:
    assert asked(program({}, jit=False), candidate(codes())).verdict == "no JIT"


def test_a_program_that_is_no_python() -> None:
    found = program({}, version=b"x", jit=False)
    assert asked(found, candidate(codes())).verdict == "unknown"


def test_a_jit_of_which_nothing_is_known() -> None:
    answer = asked(program(codes(seed=9)), candidate(codes()))
    assert (answer.verdict, answer.jit) == ("unknown", True)


@pytest.mark.parametrize("names", [("_UOP_04", "_UOP_09"), ("_UOP_01", "_UOP_03", "_UOP_11")])
def test_arrays_that_a_profile_moved_elsewhere_are_found(names: tuple[str, ...]) -> None:
    """gcc with PGO: seven of the 247 stencils of a CPython 3.14 were missed, whose functions the profile's task ran."""
    moved = {name: code for name, code in codes().items() if name in names}
    others = {name: code for name, code in codes().items() if name not in names}
    answer = asked(program(others, elsewhere=moved), candidate(codes()))
    assert (answer.verdict, answer.best[0].stencils, answer.best[0].hidden) == ("identified", 16, 0)
    last = codes()[names[-1]]
    answer = asked(changed(program(others, elsewhere=moved), last, 50), candidate(codes()))
    assert answer.verdict in ("changed", "nearest")
    assert [missing.name for missing in answer.best[0].missing] == [names[-1]]


def test_a_long_run_of_unaligned_arrays_is_found() -> None:
    """gcc -Os: 36 of the stencils of a debug build of 3.14 were missed, none of which is at a multiple of 16."""
    bodies = codes(sizes=(*(64 for _ in range(16)), 65, *(800 for _ in range(70))))
    answer = asked(program(bodies, align=1), candidate(bodies))
    assert (answer.verdict, answer.best[0].stencils) == ("identified", 87)


def test_short_code_elsewhere_may_be_chance() -> None:
    moved = {name: code for name, code in codes().items() if name in ("_UOP_01", "_UOP_03", "_UOP_14")}
    others = {name: code for name, code in codes().items() if name not in moved}
    answer = asked(program(others, elsewhere=moved), candidate(codes()))
    assert (answer.best[0].stencils, answer.best[0].hidden) == (13, 3)


def test_a_few_stencils_by_chance_say_nothing() -> None:
    few = dict(list(codes().items())[:5])
    assert asked(program(few, version=b"x", jit=False), candidate(codes())).verdict == "unknown"


def test_code_that_is_a_part_of_another_is_not_found_in_it() -> None:
    bodies = codes()
    bodies["_UOP_00"] = bodies["_UOP_12"][16:60]
    stored = {name: code for name, code in bodies.items() if name != "_UOP_00"}
    answer = asked(program(stored), candidate(bodies))
    assert answer.best[0].hidden == 1


def without_zeros(seed: int, size: int) -> bytes:
    return bytes(random.Random(seed).choices(range(1, 256), k=size))


def test_code_that_a_linker_stores_as_the_end_of_another_is_not_missed() -> None:
    """gcc -Os makes strings of code without zero bytes, and linkers store strings that end alike once."""
    bodies = {f"_UOP_{size}": without_zeros(size, size) for size in range(36, 60)}
    bodies["_UOP_55"] = bodies["_UOP_59"][-55:]
    stored = {name: code + b"\0" for name, code in bodies.items() if name != "_UOP_55"}
    answer = asked(program(stored, align=1), candidate(bodies))
    assert (answer.verdict, answer.best[0].hidden) == ("identified", 1)
    # What ends otherwise is no tail.
    answer = asked(program(stored, align=1), candidate({**bodies, "_UOP_55": bodies["_UOP_59"][1:56]}))
    assert answer.verdict == "nearest"
    assert [missing.name for missing in answer.best[0].missing] == ["_UOP_55"]
    # One that has an array of its own, which was changed, is not hidden by the other.
    own = {**stored, "_UOP_55": bodies["_UOP_55"][:-1] + b"\xff\0"}
    answer = asked(program(dict(sorted(own.items())), align=1), candidate(bodies))
    assert answer.verdict == "changed"
    assert [missing.name for missing in answer.best[0].missing] == ["_UOP_55"]


def test_code_that_is_stored_without_the_zeros_at_its_end_is_not_missed() -> None:
    """gcc -Os stores 32 of 35 bytes as an array, and the zeros by an instruction."""
    bodies = {f"_UOP_{size}": without_zeros(size, size) for size in range(36, 60) if size != 47}
    bodies["_UOP_47"] = without_zeros(1, 31) + bytes(4)
    constant = {"_UOP_47_": without_zeros(2, 50)}
    found = program(dict(sorted({**bodies, **constant, "_UOP_47": bodies["_UOP_47"][:32]}.items())), align=1)
    answer = asked(found, candidate(bodies))
    assert (answer.verdict, answer.best[0].hidden) == ("identified", 1)
    bodies["_UOP_47"] = bodies["_UOP_47"][:-1] + b"\1"
    answer = asked(found, candidate(bodies))
    assert answer.verdict == "changed"
    assert [missing.name for missing in answer.best[0].missing] == ["_UOP_47"]


def test_the_versions_of_libraries_are_not_cpythons() -> None:
    assert identify.version(program({}, version=b"3.14.10")) == "3.14.10"
    assert identify.version(program({}, version=b"3.13.1")) == ""


def test_a_policy_is_read() -> None:
    read = policy.parse('schema = 1\naccept = ["identified", "nearest"]\nledger = true\nllvm = "20..22"', "here")
    assert (read.accept, read.ledger, read.llvm, read.seen) == (
        ("identified", "nearest"),
        True,
        MajorRange.parse("20..22"),
        0,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "schema = 2",
        "schema = 1\naccept = []",
        'schema = 1\naccept = ["fine"]',
        'schema = 1\naccept = ["identified", "nearest", "changed", "unknown", "no JIT"]',
        'schema = 1\nllvm = "new"',
        "schema = 1\nseen-percent = 101",
        "schema = 1\nledger = 1",
        "schema = 1\ndemand = true",
    ],
)
def test_a_policy_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        policy.parse(text, "here")


def test_what_a_policy_refuses() -> None:
    few = asked(program({name: code for name, code in codes().items() if len(code) > 36}), candidate(codes()))
    refused = list(policy.refusals(policy.Policy(seen=90), few, in_ledger=False))
    assert refused == ["87 % of the stencils are visible in it, and the policy demands 90"]
    whole = asked(program(codes()), candidate(codes()))
    assert not list(policy.refusals(policy.Policy(seen=100), whole, in_ledger=False))
    assert list(policy.refusals(policy.Policy(ledger=True), whole, in_ledger=False)) == [
        "the ledger has no entry for CPython 3.14.7, x86_64-unknown-linux-gnu, release, LLVM 21.1.0"
    ]
    assert not list(policy.refusals(policy.Policy(ledger=True), whole, in_ledger=True))
    old = policy.Policy(llvm=MajorRange.parse("19..20"))
    assert list(policy.refusals(old, whole, in_ledger=True)) == ["LLVM 21 is not one of 19..20"]
    nothing = asked(program({}, jit=False), candidate(codes()))
    assert list(policy.refusals(policy.Policy(ledger=True), nothing, in_ledger=False)) == [
        'the verdict is "no JIT", not "identified"'
    ]


def shown(form: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Show an identified Python with a label that would break tables, a changed one, a problem and an empty folder."""
    bodies = codes()
    good = asked(replace(program(bodies), label="a|b\n`c"), candidate(bodies))
    bad = asked(changed(program(bodies), bodies["_UOP_09"], 3), candidate(bodies))
    answers = [
        identifying.Answer(path=Path("x.deb"), found=(good, bad), members=9, problems=("error: y\n  next: z",)),
        identifying.Answer(path=Path("empty"), found=(), members=0),
    ]
    refused = [[identifying.refusals(item, policy.Policy(), None) for item in answer.found] for answer in answers]
    _identified.show(answers, refused, form)
    return capsys.readouterr().out


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown("markdown", capsys).splitlines()
    assert [line for line in lines if line.startswith("#")] == ["### `a\\|b 'c`: identified", "### `python`: changed"]
    assert f"| found | 16 of 16 stencils, {sum(SIZES)} of {sum(SIZES)} bytes |" in lines
    assert '| refused | the verdict is "changed", not "identified" |' in lines
    assert any(line.startswith("| missing | _UOP_09 (130 bytes): other bytes at offset") for line in lines)
    assert lines[-2:] == ["* `error: y next: z`", "* empty: no CPython among 0 files"]


def test_junit(capsys: pytest.CaptureFixture[str]) -> None:
    suites = ET.fromstring(shown("junit", capsys))
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in suites] == [
        ("x.deb", "3", "2"),
        ("empty", "1", "1"),
    ]
    failures = [failure.get("message") for failure in suites.iter("failure")]
    assert failures == [
        'changed: the verdict is "changed", not "identified"',
        "error: y",
        "empty: no CPython among 0 files",
    ]


def test_json_has_why_the_policy_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = json.loads(shown("json", capsys))["answers"][0]["pythons"]
    assert (first["refused"], second["refused"]) == ([], ['the verdict is "changed", not "identified"'])
