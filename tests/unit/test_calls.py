"""How a driver calls the compiler: what is kept of it, and all that the answer depends on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit.compiler import Session
from stencilkit.model.build import Closure, Headers, IncludedFile, Plan
from stencilkit.model.toolchain import Identity
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import keeping
from stencilkit.pipeline.asking import Questions, _Answer
from stencilkit.pipeline.keeping import Calls
from stencilkit.support.cache import Store
from tests import fakes

IDENTITY = Identity(program="1", libraries={"libLLVM.so": "2"})


def plan(here: Path) -> Plan:
    return fakes.plan(here, (fakes.unit("_A"),))


def session(here: Path, name: str) -> Session:
    words = ("-cc1", f"-fdebug-compilation-dir={here / name}", "-O3")
    return Session(plan=plan(here), work=here / name, driver="batched", cc1=words, second_cc1=words[:1])


def test_what_is_kept_is_of_the_folder_that_a_build_works_in(tmp_path: Path) -> None:
    calls = Calls(Store(tmp_path / "cache"), "0" * 64)
    begun = Session(plan=plan(tmp_path), work=tmp_path / "two")
    assert calls.recall(begun) is None
    calls.keep(session(tmp_path, "one"))
    assert calls.recall(begun) == session(tmp_path, "two")


def test_nothing_is_kept_of_a_driver_that_is_called_for_each_uop(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    Calls(store, "0" * 64).keep(Session(plan=plan(tmp_path), work=tmp_path))
    Calls(store, "").keep(session(tmp_path, "one"))
    assert not store.added()
    assert Calls(store, "").recall(Session(plan=plan(tmp_path), work=tmp_path)) is None


@pytest.mark.parametrize("entry", [b"[]", b"{}", b"[[1], []]", b"[[], [], []]", b'["-cc1", "-O3"', b"1"])
def test_an_entry_that_says_something_else_is_forgotten(entry: bytes, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    store.put("0" * 64, entry)
    assert Calls(store, "0" * 64).recall(session(tmp_path, "one")) is None
    assert store.damaged == 1


CHANGES: dict[str, Callable[[Plan, Identity], tuple[Plan, Identity, str]]] = {
    "answer": lambda one, who: (one, who, "said another"),
    "program": lambda one, who: (one, replace(who, program="2"), "said"),
    "library": lambda one, who: (one, replace(who, libraries={"libLLVM.so": "3"}), "said"),
    "command": lambda one, who: (replace(one, toolchain=replace(one.toolchain, command=("/x/clang",))), who, "said"),
    "version": lambda one, who: (
        replace(one, toolchain=replace(one.toolchain, version=LlvmVersion(19, 1, 6))),
        who,
        "said",
    ),
    "flag of the user's": lambda one, who: (replace(one, cflags=("-DOTHER",)), who, "said"),
    "flags": lambda one, who: (replace(one, flags=one.flags[:-1]), who, "said"),
    "headers": lambda one, who: (
        replace(one, headers=Headers(origin="sysroot", arguments=("--sysroot=/x",), root=Path("/x"))),
        who,
        "said",
    ),
    "pyconfig.h": lambda one, who: (replace(one, pyconfig=Path("/x")), who, "said"),
    "output": lambda one, who: (replace(one, emits="assembly"), who, "said"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_all_that_the_answer_depends_on_is_in_its_key(name: str, tmp_path: Path) -> None:
    found = plan(tmp_path)
    before = keeping.calls_key(found, IDENTITY, "said")
    assert before == keeping.calls_key(plan(tmp_path), IDENTITY, "said")
    assert keeping.calls_key(*CHANGES[name](found, IDENTITY)) != before


def test_what_is_precompiled_is_of_one_pyconfig_h(tmp_path: Path) -> None:
    """A comment that moves changes no macro, and where clang reads the number of one again."""
    (tmp_path / "pyconfig.h").write_text("/* 2 */\n#define A 1\n")
    found = replace(plan(tmp_path), pyconfig=tmp_path)

    def key(sha256: str) -> str:
        closure = Closure(
            files=(IncludedFile(origin="pyconfig", name="pyconfig.h", sha256=sha256),), digest="0", paths=()
        )
        return keeping.prefix_key(found, closure, IDENTITY, ())

    assert key("1") == key("1") != key("2")


def test_where_nobody_knows_what_was_said_there_is_no_key(tmp_path: Path) -> None:
    assert not keeping.calls_key(plan(tmp_path), IDENTITY, "")


def questions(here: Path, *said: str, plainly: bool = True) -> Questions:
    answers = []
    for text in said:
        answers.append(Future[_Answer]())
        answers[-1].set_result(_Answer((False, "emit"), (), (), (), text, plainly))
    return Questions(plan=plan(here), work=here, real=(), answers=tuple(answers))


def test_what_a_driver_says_is_digested_without_the_folder(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    first = questions(one, "a", f"in {one}").digest()
    assert first == questions(two, "a", f"in {two}").digest()
    others = [questions(one, "a", "in /"), questions(one, "a"), questions(one, f"in {one}", "a")]
    assert len({first, *(other.digest() for other in others)}) == 4


def test_what_a_wrapper_says_may_come_from_anywhere(tmp_path: Path) -> None:
    assert not questions(tmp_path, "a", plainly=False).digest()
