"""3.13's uops, made of what clang's front end makes of their text once: the bytes that each one's own text gives."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import compiler, configure, headers, targets, toolchain
from stencilkit.compiler import Session
from stencilkit.model.build import Plan
from stencilkit.model.request import BuildRequest
from stencilkit.model.target import Flavour
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import building, compiling, knowing
from stencilkit.support.cache import Store
from tests import workbench as wb

VERSION = "3.13.15"
# Those with most code, with several strings, and with more than one phi node in a block.
FEW = ("_BINARY_OP_ADD_FLOAT", "_COMPARE_OP", "_FATAL_ERROR", "_TO_BOOL_STR")


def planned(triple: str, flavour: Flavour, major: int, here: Path) -> Plan:
    store = Store(wb.CACHE / "cache" / "entries")
    tool = toolchain.identify(wb.debian_llvm(major) / "clang", "named", store)
    assert isinstance(tool, Toolchain)
    asked = targets.resolve(targets.load(), triple)
    lender = toolchain.identify(wb.pypi_llvm(wb.NEWEST_WHEEL), "pypi", store)
    assert isinstance(lender, Toolchain)
    config = wb.config_for(VERSION, triple, flavour, here / "config")
    return building.plan_of(
        BuildRequest(
            tree=knowing.tree(wb.tree(VERSION)),
            asked=asked,
            flavour=flavour,
            toolchain=tool,
            headers=headers.choose(asked.target, tool, [lender]),
            pyconfig=configure.given(config, asked, flavour),
            cflags="",
            jobs=1,
        )
    )


def session_in(folder: Path, plan: Plan) -> Session:
    folder.mkdir()
    return compiler.prepare(compiler.ask(plan, folder))


_PIECE = 16
ROWS: list[tuple[int, str, Flavour]] = [
    (major, triple, flavour)
    for major in wb.DEBIAN
    for triple in (wb.X86, wb.ARM, *wb.FOREIGN)
    for flavour in ("release", "debug")
]
USUAL: list[tuple[int, str, Flavour]] = [(18, wb.X86, "release"), (18, wb.ARM, "debug"), (23, wb.X86, "debug")]


@pytest.mark.parametrize(
    ("major", "triple", "flavour", "names"),
    [(*row, FEW) for row in USUAL] + [pytest.param(*row, (), marks=pytest.mark.matrix) for row in ROWS],
)
def test_a_spliced_uop_is_the_one_that_is_compiled(
    major: int, triple: str, flavour: Flavour, names: tuple[str, ...], tmp_path: Path
) -> None:
    plan = planned(triple, flavour, major, tmp_path)
    uops = [replace(unit, short_body=None) for unit in plan.units if unit.role == "uop"]
    chosen = [unit for unit in uops if not names or unit.name in names]
    plain, other = (session_in(tmp_path / name, plan) for name in ("plain", "spliced"))
    front: Future[compiler.Front | None] = Future()
    front.set_result(other.find_front(uops[0], [unit.name for unit in uops]))
    differing = set()
    for start in range(0, len(chosen), _PIECE):
        units = chosen[start : start + _PIECE]
        compiled = compiling._compile(plain, units).objects
        spliced = compiling._compile(replace(other, front=front), units).objects
        assert set(compiled) == set(spliced) == {unit.name for unit in units}
        differing |= {name for name, obj in compiled.items() if spliced[name] != obj}
    assert list(other.work.glob("spliced-*")), "they were compiled from their own texts"
    assert not differing
