"""Results of our own, as many as a test wants, for tests that need no compiler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from stencilkit import __version__
from stencilkit.model.comparison import Row
from stencilkit.model.manifest import Deviation
from stencilkit.model.qualification import QUESTIONS, Cell, Check, Differing, Result, Sizes

X86 = "x86_64-unknown-linux-gnu"
TARGETS = (X86, "aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin")
LLVMS = ("19.1.7", "20.1.2", "21.1.0", "22.1.8", "23.1.4")


def cell(**fields: Any) -> Cell:
    return Cell(**{"cpython": "3.14.7", "llvm": "22.1.8", "target": X86, "flavour": "release", **fields})


def checks(**outcomes: str) -> tuple[Check, ...]:
    """Answer every question with yes, as far as depth "build" asks it, or as `outcomes` says."""
    found: list[Any] = []
    for name, question in QUESTIONS.items():
        outcome = outcomes.get(name, "passed" if question.depth == "build" else "not asked")
        reason = "" if outcome == "passed" else f"a reason for {outcome}"
        found.append(Check(name=name, outcome=outcome, figure="286 stencils", reason=reason))  # type: ignore[arg-type]  # a Literal
    return tuple(found)


def result(**fields: Any) -> Result:
    base: dict[str, Any] = {
        "cell": cell(),
        "depth": "build",
        "checks": checks(),
        "stencilkit": __version__,
        "vendor": "clang version 22.1.8",
        "content": "a" * 64,
        "sizes": Sizes(stencils=286, code=37269, data=3200),
        "reference": "19.1.7",
        "before": Sizes(stencils=286, code=37317, data=3200),
        "identical": 285,
        "differing": (differing(),),
        "seconds": {"built": 6.25, "varied": 7.5},
        "speed": {},
    }
    return Result(**{**base, **fields})


def differing(name: str = "_BINARY_OP", length: int = 12, **fields: Any) -> Differing:
    rows = [
        Row(f"{n:4x}:  mov rax, qword ptr [rbx + {n}]", f"{n:4x}:  mov rax, qword ptr [rbx + {n}]", True)
        for n in range(length)
    ]
    rows[3] = Row("   3:  movabs rcx, 0  ; patch_64(code + 0x5, instruction->operand0)", "   3:  mov ecx, 1", False)
    rows.append(Row("", "  2a:  ret", False))
    base: dict[str, Any] = {
        "name": name,
        "likeness": "other-holes",
        "code": (42, 40),
        "data_size": (8, 8),
        "rows": tuple(rows),
        "holes": ("- code: patch_64 OPERAND0", "+ code: patch_32 OPERAND0"),
        "symbols": ("- _Py_Dealloc",),
        "data": ("-    0:  00 01", "+    0:  00 02"),
        "proof": "not proved",
        "why": "limit",
    }
    return Differing(**{**base, **fields})


def matrix(cpythons: int = 2, per: int = 6) -> Iterator[Result]:
    """Make a matrix in which every verdict occurs, with `per` stencils that differ in each cell."""
    for patch in range(cpythons):
        for target in TARGETS:
            for number, llvm in enumerate(LLVMS):
                where = cell(cpython=f"3.14.{patch}", llvm=llvm, target=target)
                found = result(
                    cell=where,
                    pinned=number == 0,
                    identical=286 - number * per,
                    sizes=Sizes(stencils=286, code=37317 + 40 * number, data=3200),
                    differing=tuple(differing(f"_UOP_{number}_{n}") for n in range(number * per)),
                )
                if number == 2:
                    flag = Deviation(what="-mframe-pointer=all", why="LLVM 21 has another flag", cost="none")
                    found = replace(found, checks=checks(built="noted"), deviations=(flag,))
                if number == 4 and target == X86:
                    found = replace(found, checks=checks(ledger="failed"))
                if number == 4 and target != X86:
                    found = replace(found, finished=False, sizes=None, differing=(), checks=checks(built="not asked"))
                yield found
