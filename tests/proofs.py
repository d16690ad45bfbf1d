"""What tests of proofs share: answers, and stencils of a few instructions."""

from __future__ import annotations

from collections.abc import Mapping

from stencilkit import disassemble, prove
from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import Patch, Stencil, StencilGroup

FACT = "objects-do-not-overlap"
LAYOUT = {
    "PyThreadState": 0x180,
    "PyThreadState.datastack_top": 0x100,
    "PyThreadState.exc_info": 0x90,
    "_PyErr_StackItem": 0x10,
    "_PyInterpreterFrame.f_executable": 0,
    "_PyInterpreterFrame.localsplus": 0x50,
    "_PyInterpreterFrame.previous": 8,
    "_PyThreadStateImpl.refcount": 0x1D0,
    "_PyThreadStateImpl.asyncio_tasks_head": 0x220,
    "PyGenObject.gi_iframe": 0x48,
    "PyFunctionObject": 0x98,
    "PyFunctionObject.func_code": 0x30,
    "PyCodeObject.co_code_adaptive": 0xD0,
    "PyCodeObject.co_localsplusnames": 0x60,
    "PyCodeObject.co_names": 0x20,
    "PyCodeObject.co_nlocalsplus": 0x48,
    "PyTupleObject.ob_item": 0x18,
    "_PyExitData": 0x10,
    "_PyBinaryOpSpecializationDescr": 0x38,
    "PyCFunctionObject.m_ml": 0x10,
    "PyMethodDef": 0x20,
    "PyObject": 0x10,
    "PyObject.ob_type": 8,
    "PyCodeObject.co_executors": 0x98,
    "PyThreadState.previous_executor": 0x110,
    "_PyExecutorArray.executors": 8,
    "_PyExecutorObject.exits": 0x80,
    "_PyExitData.target": 0,
    "_PyInterpreterFrame.stacktop": 0x40,
    "_Py_CODEUNIT": 2,
    "_Py_CODEUNIT.op.arg": 1,
    "_Py_CODEUNIT.op.code": 0,
}
LINUX = "x86_64-unknown-linux-gnu"


def assert_proved(found: Proof) -> None:
    assert found.verdict is Verdict.PROVED, found


def assert_not_proved(found: Proof) -> None:
    """A proof that is refused says why."""
    assert found.verdict is Verdict.NOT_PROVED, found
    assert found.why


def group(code: str, *patches: Patch, name: str = "_UOP_r00", data: bytes = b"") -> StencilGroup:
    body = Stencil(body=bytes.fromhex(code), patches=patches)
    return StencilGroup(name=name, code=body, data=Stencil(body=data, patches=()))


def arm(code: str, *patches: Patch) -> StencilGroup:
    """Write words as the manual has them."""
    return group("".join(bytes.fromhex(word)[::-1].hex() for word in code.split()), *patches)


def given(
    left: StencilGroup,
    right: StencilGroup,
    *,
    series: str = "3.15",
    triple: str = LINUX,
    runs: int = 0,
    prototypes: Mapping[str, Prototype] | None = None,
    budget: int = prove.BUDGET,
) -> Proof:
    """Prove with what is known of CPython's objects, if LAYOUT were theirs."""
    arch = triple.partition("-")[0]
    setting = prove.Setting(
        series=series,
        triple=triple,
        arch=arch,
        entry=None,
        prototypes=prototypes or {},
        alignments={},
        layout=LAYOUT,
        decode=lambda one: disassemble.operations(one.code, arch),
        runs=runs,
        budget=budget,
    )
    return prove.prove(left, right, setting)


def assert_given(found: Proof) -> None:
    assert (found.verdict, found.facts) == (Verdict.GIVEN, (FACT,)), found
