"""Random single-place mutations of a real header and its manifest: verify refuses all but those that change nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workbench as wb

from stencilkit import manifest, reader
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.pipeline import verifying
from stencilkit.pipeline.evidence import Subject

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
