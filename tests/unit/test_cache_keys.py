"""What the key of a cached uop depends on: all that can change its object, and no path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from stencilkit.model.build import Closure, Headers, Plan
from stencilkit.model.source import Unit
from stencilkit.model.target import Flag
from stencilkit.model.toolchain import Identity
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import keeping
from tests import fakes

CLOSURE = Closure(files=(), digest="0", paths=())
IDENTITY = Identity(program="1", libraries={"libLLVM.so": "2"})
UNITS = (fakes.unit("_A"), fakes.unit("_B", short_body="short\n"))


class Key(NamedTuple):
    """The keys of one unit."""

    short: str
    whole: str


def keys(
    plan: Plan, closure: Closure = CLOSURE, identity: Identity = IDENTITY, unasked: tuple[str, ...] = ()
) -> dict[str, Key]:
    found = keeping.keys(plan, closure, identity, unasked)
    return {name: Key(found.short[name], found.whole[name]) for name in found.short}


def toolchain(plan: Plan, **changes: object) -> Plan:
    return replace(plan, toolchain=replace(plan.toolchain, **changes))  # type: ignore[arg-type]


CHANGES: dict[str, Callable[[Plan], Plan]] = {
    "flavour": lambda plan: replace(plan, flavour="debug"),
    "version": lambda plan: toolchain(plan, version=LlvmVersion(19, 1, 6)),
    "vendor": lambda plan: toolchain(plan, vendor="clang version 19.1.7 (another)"),
    "flags": lambda plan: replace(plan, flags=(*plan.flags, Flag(text="-O1", why=""))),
    "order of flags": lambda plan: replace(plan, flags=plan.flags[::-1]),
    "order of the parts": lambda plan: replace(
        plan, order=("cflags", *(place for place in plan.order if place != "cflags"))
    ),
    "step of a flag": lambda plan: replace(plan, flags=tuple(replace(flag, step="emit") for flag in plan.flags)),
    "cflags": lambda plan: replace(plan, cflags=()),
    "headers": lambda plan: replace(plan, headers=replace(plan.headers, origin="toolchain")),
    "triple": lambda plan: replace(plan, target=replace(plan.target, triple="x86_64-unknown-linux-musl")),
    "symbol prefix": lambda plan: replace(plan, target=replace(plan.target, symbol_prefix="_")),
    "label prefix": lambda plan: replace(plan, target=replace(plan.target, label_prefix="L")),
    "text": lambda plan: replace(
        plan, units=tuple(replace(one, body=f"{one.body}x", short_body=one.short_body and "x") for one in plan.units)
    ),
    "line": lambda plan: replace(plan, units=tuple(replace(one, body_line=3) for one in plan.units)),
    "file name": lambda plan: replace(plan, units=tuple(replace(one, file="./x.c") for one in plan.units)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_an_object_changes_its_key(name: str, tmp_path: Path) -> None:
    plan = fakes.plan(tmp_path, UNITS)
    before, after = keys(plan), keys(CHANGES[name](plan))
    assert before.keys() == after.keys() == {"_A", "_B"}
    for unit in before:
        assert before[unit].short != after[unit].short
        assert before[unit].whole != after[unit].whole


def test_compiler_and_headers_are_known_by_content(tmp_path: Path) -> None:
    plan = fakes.plan(tmp_path, UNITS)
    for other in (
        keys(plan, replace(CLOSURE, digest="1")),
        keys(plan, CLOSURE, replace(IDENTITY, program="2")),
        keys(plan, CLOSURE, replace(IDENTITY, libraries={"libLLVM.so": "3"})),
        keys(plan, CLOSURE, replace(IDENTITY, libraries={})),
    ):
        assert not set(other.values()) & set(keys(plan).values())


def test_places_do_not_matter(tmp_path: Path) -> None:
    plan = fakes.plan(tmp_path / "a", UNITS)
    elsewhere = fakes.plan(tmp_path / "b", UNITS, command=("/opt/clang",))
    elsewhere = toolchain(elsewhere, program=Path("/opt/clang"), origin="pypi")
    moved = replace(elsewhere, headers=Headers(origin="system", arguments=("-isystem", "/x"), root=Path("/x")))
    assert keys(plan) == keys(moved)


def test_dead_code_has_a_key_of_its_own(tmp_path: Path) -> None:
    found = keys(fakes.plan(tmp_path, UNITS))
    assert found["_A"].short == found["_A"].whole
    assert found["_B"].short != found["_B"].whole
    other = keys(fakes.plan(tmp_path, (UNITS[0], replace(UNITS[1], body="other dead code\n"))))
    assert other["_B"].short == found["_B"].short
    assert other["_B"].whole != found["_B"].whole
    assert len({key.whole for key in (*found.values(), *other.values())}) == 3


def test_uops_have_keys_of_their_own(tmp_path: Path) -> None:
    one, other = fakes.unit("_A", body="x"), fakes.unit("_B", body="x", file="./_A.c")
    found = keys(fakes.plan(tmp_path, (one, other)))
    assert found["_A"] != found["_B"], "a uop's number is a macro"


def test_what_a_wrapper_adds_has_keys_of_its_own(tmp_path: Path) -> None:
    plan = fakes.plan(tmp_path, UNITS)
    assert keys(plan, unasked=("-target-feature +avx2",)) != keys(plan)


def test_what_is_live_is_known_of_one_text(tmp_path: Path) -> None:
    def body(*units: Unit, identity: Identity = IDENTITY) -> str:
        return keeping.keys(fakes.plan(tmp_path, units), CLOSURE, identity, ()).body

    assert body(UNITS[0]) == ""
    changed = replace(UNITS[1], body="other dead code\n")
    assert len({body(*UNITS), body(changed), body(*UNITS, identity=replace(IDENTITY, program="2"))}) == 3
    assert body(*UNITS) == body(UNITS[1]), "other units do not matter"
