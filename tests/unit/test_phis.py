"""When a unit of CPython 3.13 may be compiled without the dead cases of its switch."""

from __future__ import annotations

import pytest

from stencilkit.compiler import phis

HEAD = "; *** IR Dump After CallSiteSplittingPass on {function} ***\n; Function Attrs: nounwind\n"
ENTRY = (
    HEAD.format(function="_JIT_ENTRY")
    + "define dso_local i64 @_JIT_ENTRY(ptr noundef %0) #0 {{\n{body}  ret i64 0\n}}\n"
)
OTHER = (
    HEAD.format(function="helper")
    + "define internal i64 @helper() {\n  %1 = phi i64 [0, %2]\n  %3 = phi i64 [0, %2]\n}\n"
)
PHI = "  %{name} = phi i64 [ 1, %2 ], [ 2, %3 ]\n"
USE = "  call void @_Py_Fatal(ptr noundef @{name})\n"


def entry(*lines: str) -> str:
    return ENTRY.format(body="".join(lines))


@pytest.mark.parametrize(
    ("lines", "safe"),
    [
        ((), True),
        ((PHI.format(name="4"),), True),
        ((PHI.format(name="4"), "5:\n", PHI.format(name="6")), True),
        ((PHI.format(name="4"), PHI.format(name="5")), False),
        ((USE.format(name=".str"), USE.format(name=".str")), True),
        ((USE.format(name=".str"), USE.format(name=".str.1")), False),
        ((USE.format(name=".str"), USE.format(name="__PRETTY_FUNCTION__._JIT_ENTRY")), False),
        ((USE.format(name="_Py_NoneStruct"), USE.format(name="_Py_TrueStruct")), True),
    ],
    ids=["plain", "one phi", "phis in two blocks", "two phis", "one string", "two strings", "assertion", "externals"],
)
def test_which_units_depend_on_dead_code(lines: tuple[str, ...], safe: bool) -> None:
    assert phis.insensitive(OTHER + entry(*lines), ["_A"]) == ({"_A"} if safe else set())


def test_functions_belong_to_units_in_order() -> None:
    printed = entry() + OTHER + entry(PHI.format(name="4"), PHI.format(name="5")) + entry()
    assert phis.insensitive(printed, ["_A", "_B", "_C"]) == {"_A", "_C"}


@pytest.mark.parametrize("printed", ["", entry(), entry() * 3, "; *** IR Dump After SomethingElse ***\n"])
def test_output_that_is_not_understood_trusts_nothing(printed: str) -> None:
    assert phis.insensitive(printed, ["_A", "_B"]) == set()
