"""What is derived from the shim, and kept: it is what would be derived again, and depends on all that decides it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import targets
from stencilkit.errors import ObjectError
from stencilkit.model.target import Target
from stencilkit.pipeline import companions
from stencilkit.pipeline.companions import Companions
from stencilkit.support import resources
from stencilkit.support.cache import NoStore, Store

TARGET = targets.load().targets[0]
SHIM = b"a shim"


class Deriving:
    """Stands for what reads shims; notes of which."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Target, bytes]] = []
        monkeypatch.setattr(companions, "_derive", self._derive)

    def _derive(self, target: Target, shim: bytes) -> Companions:
        self.asked.append((target, shim))
        if shim == b"damaged":
            raise ObjectError("damaged")
        digests = {"shim": "1", "unwind": "2"}
        return Companions(shim=shim, unwind=(("JIT_X", -8), ("JIT_Y", 1)), digests=digests, producer="clang")


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Deriving:
    return Deriving(monkeypatch)


def test_a_shim_is_read_once(reading: Deriving, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    first = companions.derived(TARGET, SHIM, "code", store)
    assert first == companions.derive(TARGET, SHIM)
    reading.asked.clear()
    assert companions.derived(TARGET, SHIM, "code", store) == first
    assert reading.asked == []
    assert companions.derived(TARGET, SHIM, "code", NoStore()) == first
    assert reading.asked == [(TARGET, SHIM)]


def test_nothing_is_derived_where_there_is_no_shim(reading: Deriving, tmp_path: Path) -> None:
    found = companions.derived(TARGET, None, "code", Store(tmp_path / "cache"))
    assert (found.shim, found.files("", ""), reading.asked) == (None, {}, [])


@pytest.mark.parametrize("changed", ["shim", "target", "code", "libraries"])
def test_all_that_it_follows_from_is_in_the_key(
    changed: str, reading: Deriving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "cache")
    companions.derived(TARGET, SHIM, "code", store)
    if changed == "libraries":
        monkeypatch.setattr(resources, "installed", lambda *_: (("capstone", 1, 2, 3),))
    companions.derived(
        replace(TARGET, condition="another") if changed == "target" else TARGET,
        b"another" if changed == "shim" else SHIM,
        "another" if changed == "code" else "code",
        store,
    )
    assert len(reading.asked) == 2


def test_what_cannot_be_read_is_refused_each_time(reading: Deriving, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    for number in (1, 2):
        with pytest.raises(ObjectError, match="damaged"):
            companions.derived(TARGET, b"damaged", "code", store)
        assert len(reading.asked) == number
    assert not store.added()


@pytest.mark.parametrize("entry", [b"", b"1", b"[[], {}, 1]", b'[[["X", true]], {}, ""]', b'[[["X"]], {}, ""]'])
def test_an_entry_of_somebody_elses_is_derived_again(entry: bytes, reading: Deriving, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    first = companions.derived(TARGET, SHIM, "code", store)
    store.put(store.added()[-1], entry)
    assert companions.derived(TARGET, SHIM, "code", store) == first
    assert len(reading.asked) == 2
