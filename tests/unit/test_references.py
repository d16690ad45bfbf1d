"""What a uop reaches: macros and inline functions lead on, declarations lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit import references, source
from tests import samples

HEADER = """
PyAPI_FUNC(int) PyRun_SimpleString(const char *s);  /* declared, and reached by nobody */
#define REACHED(x) \\
    function((x), &PyLong_Type)
static inline int function(int (*f)(void), PyTypeObject *type)
{
    if (f) { return deeper(type); }
    return 0;
}
static inline void deeper(PyTypeObject *type) { PyErr_Clear(); }
static inline void unreached(void) { PyErr_Print(); }
// a comment that calls PyErr_SetNone();
#define CHECKER(T) static inline bool Is ## T ## Check(PyObject *o) { return o == &Py ## T ## _Type; }
CHECKER(Bool)
"""
CASES = """
        case _ONE: {
            REACHED(other);
            break;
        }

        case _TWO: {
            IsBoolCheck(value);
            break;
        }
"""


@pytest.fixture
def reached(tmp_path: Path) -> dict[str, frozenset[str]]:
    tree = samples.tree(tmp_path)
    (tree.root / "Include" / "sample.h").write_text(HEADER)
    cases = tree.root / source.CASES
    cases.write_text(CASES + "#undef TIER_TWO\n")
    return dict(references.reachable(tree, source.uops(tree)))


def test_uops_reach_what_their_code_can_name(reached: dict[str, frozenset[str]]) -> None:
    assert {"function", "deeper", "PyErr_Clear", "PyLong_Type"} <= reached["_ONE"]
    assert "PyBool_Type" in reached["_TWO"]


@pytest.mark.parametrize("name", ["PyRun_SimpleString", "PyErr_Print", "PyErr_SetNone", "PyBool_Type"])
def test_a_declaration_reaches_nothing(name: str, reached: dict[str, frozenset[str]]) -> None:
    assert name not in reached["_ONE"]


def test_one_uop_does_not_reach_what_another_does(reached: dict[str, frozenset[str]]) -> None:
    assert "PyErr_Clear" not in reached["_TWO"]
