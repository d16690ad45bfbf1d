"""Random single-place mutations of every file that make takes: verify refuses all but those that change nothing."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from stencilkit import manifest, reader
from stencilkit.model.manifest import MANIFEST_NAME, FileRole
from stencilkit.model.verdict import Policy
from stencilkit.pipeline import verifying
from stencilkit.pipeline.evidence import Subject
from tests import workbench as wb

SEEDS = range(10)
PER_SEED = 1000
ALPHABET = bytes(range(32, 127)) + b"\n\t\r\0\xff"


def mutate(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Change a text in one place; the result may, by chance, be the same text."""
    at = chance.randrange(len(data))
    byte = bytes([chance.choice(ALPHABET)])
    kind = chance.choice(("replace", "near", "delete", "insert", "swap", "double a line", "drop a line", "truncate"))
    start = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at) + 1 or len(data)
    near = bytes([data[at] ^ 1])
    changed = {
        "replace": data[:at] + byte + data[at + 1 :],
        # A digit becomes a digit, mostly: what still looks well.
        "near": data[:at] + near + data[at + 1 :],
        "delete": data[:at] + data[at + 1 :],
        "insert": data[:at] + byte + data[at:],
        "swap": data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :],
        "double a line": data[:end] + data[start:end] + data[end:],
        "drop a line": data[:start] + data[end:],
        "truncate": data[:at],
    }
    return kind, changed[kind]


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Remember the first good answer of a pure function of a text."""
    known: dict[str, Any] = {}

    def call(text: str, *rest: object) -> Any:
        if text in known:
            return known[text]
        answer = function(text, *rest)
        if not known:
            known[text] = answer
        return answer

    return call


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wb.built("3.14.7", 19, tmp_path_factory.mktemp("built"), "--pyconfig-dir", wb.pyconfig("3.14.7"))


@pytest.mark.parametrize(
    ("seed", "count"),
    [pytest.param(0, 150, id="some"), *(pytest.param(s, PER_SEED, marks=pytest.mark.matrix) for s in SEEDS)],
)
def test_mutants_are_refused(built: Path, seed: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Half of each pair is always the original: these are pure functions, so they need not run on it 1000 times.
    for module, name in ((manifest, "parse"), (reader, "read")):
        monkeypatch.setattr(module, name, remembering(getattr(module, name)))
    header = next(built.glob("jit_stencils-*.h"))
    chance = random.Random(seed)
    originals = {path: path.read_bytes() for path in (header, built / MANIFEST_NAME)}
    assert verifying.run(Subject(path=built)).accepted
    tried, same, survivors = Counter[str](), Counter[str](), []
    for _ in range(count):
        path = chance.choice(sorted(originals))
        kind, mutant = mutate(originals[path], chance)
        tried[kind] += 1
        path.write_bytes(mutant)
        try:
            accepted = verifying.run(Subject(path=built)).accepted
        finally:
            path.write_bytes(originals[path])
        if mutant == originals[path]:
            same[kind] += 1
            assert accepted
        elif accepted:
            survivors.append(
                (path.name, kind, next(i for i, b in enumerate(originals[path]) if mutant[i : i + 1] != b"%c" % b))
            )
    print(f"{count} tried, {count - same.total() - len(survivors)} refused; the same text: {dict(same)}; {dict(tried)}")
    assert not [(name, kind) for name, kind, _ in survivors]


# What changes nothing: the version of stencilkit that wrote a dispatcher, in its first line.
HARMLESS = re.compile(rb"// stencilkit [0-9A-Za-z.+]{1,40}\n")
TRIPLES = {wb.X86: 21, wb.ARM: 21, wb.MAC_ARM: 21, wb.MAC_X86: 21, wb.WIN_X86: 21, wb.WIN_I686: 21, wb.WIN_ARM: 21}
ROLES = ("stencils", "dispatcher", "shim", "unwind", "unwind-dispatcher")
FULL = 10_000


class Reading:
    """manifest.parse for texts that differ from a known one in one digest: nine tenths of verify's time go there.

    Every 200th is parsed all the same, and must be what was made of the known one.
    """

    def __init__(self, text: str, before: str, parse: Callable[[str, str], Any]) -> None:
        self._before, self._parse = before, parse
        self._known = parse(text, "manifest")
        whole = {item.name: getattr(self._known, item.name) for item in dataclasses.fields(self._known)}
        self._parts = {name: part for name, part in whole.items() if self._exchanged(part, "") != part}
        self._expected = ("", "")
        self._calls = 0

    def expect(self, text: str, digest: str) -> None:
        self._expected = (text, digest)

    def __call__(self, text: str, where: str) -> Any:
        expected, digest = self._expected
        if text != expected:
            return self._parse(text, where)
        new = {name: self._exchanged(part, digest) for name, part in self._parts.items()}
        found = dataclasses.replace(self._known, **new)
        self._calls += 1
        assert self._calls % 200 or found == self._parse(text, where)
        return found

    def _exchanged(self, value: Any, digest: str) -> Any:
        if isinstance(value, str):
            return digest if value == self._before else value
        if isinstance(value, tuple):
            return tuple(self._exchanged(item, digest) for item in value)
        if isinstance(value, Mapping):
            return {key: self._exchanged(item, digest) for key, item in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
            new = {name: self._exchanged(item, digest) for name, item in inner.items()}
            return (
                value if all(new[name] is item for name, item in inner.items()) else dataclasses.replace(value, **new)
            )
        return value


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build few uops of 3.15, whose folder has five files that make takes."""
    work = tmp_path_factory.mktemp("small")

    @functools.cache
    def build(triple: str) -> Path:
        tree = work / "tree"
        if not tree.is_dir():
            wb.small_tree("3.15.0rc1", tree, uops=3)
        config = wb.config_for("3.15.0rc1", triple, "release", work / f"config-{triple}")
        return wb.built("3.15.0rc1", TRIPLES[triple], work, "--pyconfig-dir", config, triple=triple, source_tree=tree)

    return build


@pytest.mark.parametrize(
    ("role", "triple", "count"),
    [
        *(pytest.param(role, wb.X86, 60, id=f"some-{role}") for role in ROLES),
        # One of each format; `make oracle` has the others.
        *(pytest.param("shim", triple, 60, id=f"some-shim-{triple}") for triple in (wb.MAC_ARM, wb.WIN_X86)),
        *(pytest.param(role, wb.X86, FULL, id=f"all-{role}", marks=pytest.mark.matrix) for role in ROLES),
        *(
            pytest.param("shim", triple, FULL, id=f"all-shim-{triple}", marks=pytest.mark.matrix)
            for triple in TRIPLES
            if triple != wb.X86
        ),
    ],
)
def test_mutants_with_good_digests_are_refused(
    role: FileRole, triple: str, count: int, small: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changes a file can make the manifest's digest of it, and the seal, good again."""
    folder = small(triple)
    path = folder / MANIFEST_NAME
    text = path.read_text()
    target = folder / manifest.parse(text, "manifest").file(role).name
    original = target.read_bytes()
    before = hashlib.sha256(original).hexdigest()
    body = text[: text.rindex("seal = ")]
    subject = Subject(path=folder, policy=Policy(mingw=True))
    reading = Reading(text, before, manifest.parse)
    monkeypatch.setattr(manifest, "parse", reading)
    chance = random.Random(f"{role} {triple}")
    refused = same = 0
    harmless = set[bytes]()
    survivors = []
    try:
        assert verifying.run(subject).accepted
        for _ in range(count):
            kind, mutant = mutate(original, chance)
            digest = hashlib.sha256(mutant).hexdigest()
            resealed = body.replace(before, digest)
            sealed = f'{resealed}seal = "{hashlib.sha256(resealed.encode()).hexdigest()}"\n'
            reading.expect(sealed, digest)
            target.write_bytes(mutant)
            path.write_text(sealed)
            first, _, rest = mutant.partition(b"\n")
            if not verifying.run(subject).accepted:
                refused += 1
            elif mutant == original:
                same += 1
            elif HARMLESS.fullmatch(first + b"\n") and rest == original.partition(b"\n")[2]:
                harmless.add(first)
            else:
                survivors.append((kind, next(i for i, b in enumerate(original) if mutant[i : i + 1] != b"%c" % b)))
    finally:
        target.write_bytes(original)
        path.write_text(text)
    print(f"{target.name}: {count} tried, {refused} refused; {same} the same bytes; harmless: {sorted(harmless)}")
    assert not survivors
    assert not harmless or role in ("dispatcher", "unwind-dispatcher")
    assert refused > count // 2
