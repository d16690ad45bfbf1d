"""What is known of what a callee returns, and of a function of the stencil's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import stencilkit
from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import Patch, PatchForm, StencilGroup
from tests.proofs import assert_not_proved, assert_proved, given, group

PROTOTYPES = {
    "PyOne": Prototype(result="ptr", arguments=()),
    "PyNumber": Prototype(result="i64", arguments=()),
    "PyEnd": Prototype(result="void", arguments=(), returns=False),
}
# What returns a pointer, as read in the headers of CPython 3.13.15, 3.14.7 and 3.15.0rc1: to an object, or to something
# else that begins at a word.
OBJECTS = """
    PyBool_FromLong PyCell_New PyDict_New PyErr_Format PyException_GetTraceback PyFloat_FromDouble
    PyFunction_New PyLong_FromLong PyLong_FromSsize_t PyNumber_Invert PyNumber_Negative PyObject_Call
    PyObject_Format PyObject_GenericGetAttr PyObject_GetAttr PyObject_GetItem PyObject_GetIter
    PyObject_RichCompare PyObject_SelfIter PyObject_Str PyObject_Vectorcall PySequence_Tuple PySet_New
    PySlice_New PyTuple_GetItem PyType_GenericAlloc PyUnicode_Concat PyUnicode_FromFormat
    _PyBuildSlice_ConsumeRefs _PyCallMethodDescriptorFastWithKeywords_StackRef
    _PyCallMethodDescriptorFast_StackRef _PyCoro_GetAwaitableIter _PyDict_FromItems _PyDict_LoadGlobal
    _PyDict_Subscript _PyDict_SubscriptKnownHash _PyErr_Format _PyErr_FormatFromCause _PyErr_GetRaisedException
    _PyEval_GetANext _PyEval_GetAwaitable _PyEval_ImportFrom _PyEval_ImportName _PyEval_LazyImportFrom
    _PyEval_LazyImportName _PyEval_LoadName _PyEval_MatchClass _PyEval_MatchKeys _PyFunction_Vectorcall
    _PyGen_yf _PyImport_LoadLazyImportTstate _PyInterpolation_Build _PyList_BinarySlice _PyList_Extend
    _PyList_FromArraySteal _PyList_FromStackRefStealOnSuccess _PyList_SliceSubscript _PyLong_Add
    _PyLong_Multiply _PyLong_Subtract _PyMapping_GetOptionalItem2 _PySuper_Lookup _PyTemplate_Build
    _PyTuple_BinarySlice _PyTuple_FromArraySteal _PyTuple_FromStackRefStealOnSuccess _PyUnicode_BinarySlice
    _PyUnicode_JoinArray _Py_BuildMap_StackRefSteal _Py_BuildString_StackRefSteal
    _Py_BuiltinCallFastWithKeywords_StackRef _Py_BuiltinCallFast_StackRef _Py_CallBuiltinClass_StackRef
    _Py_MakeCoro _Py_VectorCall_StackRefSteal
"""
OTHERS = {
    "PyInterpreterState_Get": "PyInterpreterState *",
    "_PyEvalFramePushAndInit": "_PyInterpreterFrame *",
    "_PyEvalFramePushAndInit_Ex": "_PyInterpreterFrame *",
    "_PyObjectArray_FromStackRefArray": "PyObject **",
}


def calling(symbol: str, then: str) -> StencilGroup:
    """Call a function; do something with its result in rax."""
    patch = Patch(func="patch_x86_64_32rx", offsets=(3,), form=PatchForm.GOT_SLOT, symbol=symbol, addend=-4)
    return group(f"50 ff 15 00 00 00 00 {then} 58", patch)


def proof(left: StencilGroup, right: StencilGroup, runs: int = 0) -> Proof:
    return given(left, right, prototypes=PROTOTYPES, runs=runs, series="3.14")


STORE = "49 89 45 00"  # [r13] = rax


def test_a_pointer_that_is_returned_is_a_multiple_of_a_word() -> None:
    """A tag is put into its low bits by or, or added: clang 19 and 23, of new references to objects."""
    ored, added = f"48 83 c8 01 {STORE}", f"48 ff c0 {STORE}"
    assert_proved(proof(calling("PyOne", ored), calling("PyOne", added)))
    assert_not_proved(proof(calling("PyNumber", ored), calling("PyNumber", added)))
    assert proof(calling("PyNumber", ored), calling("PyNumber", added), runs=40).verdict is Verdict.DIFFERS


def test_and_of_no_more_than_that() -> None:
    masked, as_it_is = f"48 83 e0 f0 {STORE}", STORE
    assert_not_proved(proof(calling("PyOne", masked), calling("PyOne", as_it_is)))
    assert_proved(proof(calling("PyOne", f"48 83 e0 f8 {STORE}"), calling("PyOne", as_it_is)))


def test_every_function_that_returns_a_pointer_was_read() -> None:
    """A function that returns `char *` may return any number: read its header before it goes into this list."""
    table = tomllib.loads((Path(stencilkit.__file__).parent / "prove" / "prototypes.toml").read_text("utf-8"))
    functions = [part["functions"] for part in table.values() if isinstance(part, dict) and "functions" in part]
    found = {name for rows in functions for name, text in rows.items() if text.startswith("ptr(")}
    assert found == {*OBJECTS.split(), *OTHERS}


def own(body: str, after: str = "c3") -> StencilGroup:
    """Call a function that is behind the jump on to the next stencil; then go on."""
    tail = bytes.fromhex(f"{body} {after}").hex()
    # call +0x6; pop rax; jmp over the function; the function
    size = len(bytes.fromhex(tail))
    return group(f"50 e8 03 00 00 00 58 eb {size:02x} {tail}")


def inlined(body: str) -> StencilGroup:
    return group(f"50 {body} 58")


MORE = "49 83 c5 08"  # r13 += 8


@pytest.mark.parametrize("body", [MORE, "90", f"49 8b 45 00 {MORE}"])
def test_a_function_of_its_own_is_run_where_it_is_called(body: str) -> None:
    assert_proved(proof(own(body), inlined(body)))
    assert_proved(proof(inlined(body), own(body)))
    assert_proved(proof(own(body), own(body)))


def test_and_what_it_does_counts() -> None:
    assert_not_proved(proof(own(MORE), inlined("49 83 c5 10")))
    assert proof(own(MORE), inlined("49 83 c5 10"), runs=20).verdict is Verdict.DIFFERS
    # It leaves a word on the stack.
    assert_not_proved(proof(own(MORE, "50 c3"), inlined(MORE)))


def test_a_function_that_calls_itself_is_no_endless_search() -> None:
    # call +3; pop rax; jmp +5; here: call here; ret
    endless = group("50 e8 03 00 00 00 58 eb 06 e8 fb ff ff ff c3")
    assert_not_proved(proof(endless, endless))


def test_a_last_call_of_such_a_function_returns_to_where_it_was_called_from() -> None:
    """call +3; pop rax; jmp over; here: jmp [PyOne]. A result is stored behind it."""
    patch = Patch(func="patch_x86_64_32rx", offsets=(15,), form=PatchForm.GOT_SLOT, symbol="PyOne", addend=-4)
    tail = group(f"50 e8 07 00 00 00 {STORE} 58 eb 06 ff 25 00 00 00 00", patch)
    assert_proved(proof(tail, calling("PyOne", STORE)))
    assert_not_proved(proof(tail, calling("PyOne", "49 89 45 08")))
