"""Where CPython's objects are that do not overlap: the rows of the fact `objects-do-not-overlap`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stencilkit.prove.executors import EXECUTORS, LEAVING
from stencilkit.prove.generators import GENERATORS
from stencilkit.prove.placing import Condition, Index, Object

# What is no part of an address in a value of the evaluation stack. Include/internal/pycore_stackref.h, Py_TAG_REFCNT.
TAGS: Final[Mapping[str, int]] = {"3.13": 0, "3.14": 1, "3.15": 1}
# Frames are pushed there without asking for room: that was done before. A number in the name is the oparg.
_CALLING: Final = re.compile(r"_INIT_CALL_PY_EXACT_ARGS(?:_(?P<oparg>\d))?")
_SUBSCRIPTING: Final = re.compile(r"_BINARY_OP_SUBSCR_INIT_CALL")
_PUSHING: Final = re.compile(f"{_CALLING.pattern}|{_SUBSCRIPTING.pattern}")
_CREATING: Final = re.compile(r"_CREATE_INIT_FRAME")
# Uops that have a name by the number oparg, half of it, or a quarter. Python/executor_cases.c.h: FRAME_CO_NAMES.
_NAMING: Final = re.compile(r"_(?:DELETE|STORE)_(?:ATTR|GLOBAL|NAME)|_IMPORT_FROM|_LOAD_NAME|_STORE_ATTR_WITH_HINT")
_NAMING_HALF: Final = re.compile(r"_LOAD_(?:ATTR|ATTR_WITH_HINT|GLOBAL)")
_NAMING_QUARTER: Final = re.compile(r"_LOAD_SUPER_ATTR_(?:ATTR|METHOD)")
_NAMING_LOCAL: Final = re.compile(r"_LOAD_FROM_DICT_OR_DEREF")
_IMPORTING: Final = re.compile(r"_IMPORT_NAME")
_NAMED: Final = re.compile(
    "|".join(one.pattern for one in (_NAMING, _NAMING_HALF, _NAMING_QUARTER, _NAMING_LOCAL, _IMPORTING))
)
# Uops that read or write what tstate->exc_info points to. None of these may have a row for a generator.
_HANDLING: Final = re.compile(r"_POP_EXCEPT|_PUSH_EXC_INFO")
_EXTENDING: Final = re.compile(r"_BINARY_OP_EXTEND")
# Uops that are about an object which the trace keeps: its address is their operand.
_KEEPING: Final = re.compile(
    r"(?:_POP_TOP|_POP_TWO)?_LOAD_CONST_INLINE(?:_BORROW)?(?:_WITH_NULL)?|_LOAD_ATTR_CLASS(?:_[01])?"
    r"|_LOAD_ATTR_METHOD_(?:LAZY_DICT|NO_DICT|WITH_VALUES)|_LOAD_ATTR_NONDESCRIPTOR_(?:NO_DICT|WITH_VALUES)"
)
_GETTING: Final = re.compile(r"_LOAD_ATTR_(?:PROPERTY|GETATTRIBUTE_OVERRIDDEN)_FRAME")
_CALLING_C: Final = re.compile(r"_CALL_BUILTIN_FAST_WITH_KEYWORDS")
_IS_BUILTIN: Final = Condition(of="callable", field="PyObject.ob_type", symbol="PyCFunction_Type")
_TUPLES: Final = "Objects/tupleobject.c: allocated by PyObject_GC_NewVar; Python/bytecodes.c"
# Only what was read in CPython 3.13.15, 3.14.7 and 3.15.0rc1. A frame can be in a generator, whose row has only what
# is in front of that. In 3.15 one is in _PyThreadStateImpl, behind the PyThreadState: no row has that. What a row needs
# comes before it.
OBJECTS: Final = (
    Object(
        name="thread state",
        kind="thread state",
        argument="tstate",
        size="PyThreadState",
        source="Python/pystate.c, alloc_threadstate: from the heap, or in the interpreter's state",
    ),
    # Without localsplus: no compiler changes the order of what is there and what is on the evaluation stack.
    Object(
        name="frame",
        kind="frame",
        argument="frame",
        size="_PyInterpreterFrame.localsplus",
        source="Python/pystate.c, allocate_chunk; Include/internal/pycore_interpframe_structs.h, _PyGenObject_HEAD; "
        "Python/ceval.c, _PyEval_EvalFrameDefault: in the data stack, a generator, or C's stack",
    ),
    Object(
        name="evaluation stack",
        kind="evaluation stack",
        argument="stack_pointer",
        items=2,
        uops=_CALLING,
        source="Python/bytecodes.c, _INIT_CALL_PY_EXACT_ARGS: callable, self, and oparg arguments are on the stack of "
        "the frame, below the data stack's top",
    ),
    Object(
        name="evaluation stack",
        kind="evaluation stack",
        argument="stack_pointer",
        items=1,
        counted=False,
        uops=_SUBSCRIPTING,
        series=("3.14",),
        source="Python/bytecodes.c, _BINARY_OP_SUBSCR_INIT_CALL: the function is on top of the stack of the frame; "
        "_BINARY_OP_SUBSCR_CHECK_FUNC: it is a function, and there is room for its frame",
    ),
    Object(
        name="function",
        kind="function",
        behind="evaluation stack",
        tagged=True,
        size="PyFunctionObject",
        uops=_PUSHING,
        source="Python/bytecodes.c, _CHECK_FUNCTION_EXACT_ARGS (3.13), _CHECK_FUNCTION_VERSION: it is a function; "
        "Objects/funcobject.c, _PyFunction_FromConstructor: allocated by PyObject_GC_New",
    ),
    Object(
        name="code object",
        kind="code object",
        behind="function",
        field="PyFunctionObject.func_code",
        size="PyCodeObject.co_code_adaptive",
        uops=_PUSHING,
        source="Objects/codeobject.c, _PyCode_New: allocated by PyObject_NewVar, or static; Objects/funcobject.c, "
        "func_set_code: func_code is a code object",
    ),
    Object(
        name="new frame",
        kind="new frame",
        behind="thread state",
        field="PyThreadState.datastack_top",
        size="_PyInterpreterFrame.localsplus",
        owner="code object",
        words="PyCodeObject.co_nlocalsplus",
        uops=_PUSHING,
        source="Include/internal/pycore_frame.h (3.13), pycore_interpframe.h: _PyFrame_PushUnchecked; "
        "Python/bytecodes.c, _CHECK_STACK_SPACE: there is room for it, above all that is in use; Objects/codeobject.c, "
        "init_code: co_framesize counts co_nlocalsplus",
    ),
    # Without locals: the function, whose code says how many there are, may be in a register.
    Object(
        name="new frame of a subscript",
        kind="new frame",
        behind="thread state",
        field="PyThreadState.datastack_top",
        size="_PyInterpreterFrame.localsplus",
        uops=_SUBSCRIPTING,
        series=("3.15",),
        source="Include/internal/pycore_interpframe.h: _PyFrame_PushUnchecked; Python/bytecodes.c, "
        "_BINARY_OP_SUBSCR_CHECK_FUNC: there is room for it",
    ),
    Object(
        name="new frame of a trampoline",
        kind="new frame",
        behind="thread state",
        field="PyThreadState.datastack_top",
        size="_PyInterpreterFrame.localsplus",
        uops=_CREATING,
        source="Include/internal/pycore_frame.h (3.13), pycore_interpframe.h: _PyFrame_PushTrampolineUnchecked; "
        "Python/bytecodes.c, _CHECK_AND_ALLOCATE_OBJECT, _ALLOCATE_OBJECT: there is room for it",
    ),
    Object(
        name="code object of a trampoline",
        kind="code object",
        symbol="_Py_InitCleanup",
        size="PyCodeObject.co_code_adaptive",
        uops=_CREATING,
        source="Python/specialize.c: a static variable",
    ),
    Object(
        name="code object of the frame",
        kind="code object",
        behind="frame",
        field="_PyInterpreterFrame.f_executable",
        tagged=True,
        size="PyCodeObject.co_code_adaptive",
        uops=re.compile(f"{_NAMED.pattern}|{LEAVING.pattern}"),
        source="Include/internal/pycore_frame.h (3.13), pycore_interpframe.h: _PyFrame_GetCode; these uops are made of "
        "instructions of a code object, which its frame has, or end with one of them",
    ),
    *(
        Object(
            name=f"name {number}",
            kind="tuple",
            behind="code object of the frame",
            field=f"PyCodeObject.{field}",
            item="PyTupleObject.ob_item",
            index=Index(shift=shift),
            uops=uops,
            series=series,
            source=f"{_TUPLES}: {how}",
        )
        for number, (field, shift, uops, series, how) in enumerate(
            (
                ("co_names", 0, _NAMING, (), "GETITEM(FRAME_CO_NAMES, oparg)"),
                ("co_names", 0, _IMPORTING, ("3.14",), "GETITEM(FRAME_CO_NAMES, oparg)"),
                ("co_names", 1, _NAMING_HALF, (), "GETITEM(FRAME_CO_NAMES, oparg >> 1)"),
                ("co_names", 2, _NAMING_QUARTER, (), "GETITEM(FRAME_CO_NAMES, oparg >> 2)"),
                ("co_localsplusnames", 0, _NAMING_LOCAL, (), "PyTuple_GET_ITEM(.., oparg)"),
            )
        )
    ),
    # Of one kind with the thread state, which it is mostly a part of. Otherwise it is in front of a generator's frame.
    Object(
        name="exception state",
        kind="thread state",
        behind="thread state",
        field="PyThreadState.exc_info",
        size="_PyErr_StackItem",
        uops=_HANDLING,
        source="Python/pystate.c, init_threadstate: the thread state's exc_state; Objects/genobject.c, gen_send_ex2; "
        "Python/bytecodes.c, _SEND_GEN_FRAME, _FOR_ITER_GEN_FRAME: a generator's gi_exc_state, before gi_iframe",
    ),
    Object(
        name="specialization",
        kind="specialization",
        hole="operand0",
        size="_PyBinaryOpSpecializationDescr",
        uops=_EXTENDING,
        series=("3.14", "3.15"),
        source="Python/bytecodes.c, _BINARY_OP_EXTEND; Python/specialize.c, binary_op_extended_specialization: in a "
        "static array",
    ),
    *(
        Object(
            name=name,
            kind=name,
            hole=hole,
            size="PyObject",
            uops=uops,
            series=series,
            source=f"{source}: the address of an object of CPython, as every caller of these uops gives it",
        )
        for name, hole, uops, series, source in (
            ("constant", "operand0", _KEEPING, (), "Python/bytecodes.c, `PyObject *ptr` and `PyObject *descr`"),
            ("getter", "operand0", _GETTING, ("3.14",), "Python/bytecodes.c, `PyObject *fget`"),
            ("getter", "operand1", _GETTING, ("3.15",), "Python/bytecodes.c, `PyObject *fget`, `getattribute`"),
        )
    ),
    Object(
        name="evaluation stack of a call",
        kind="evaluation stack",
        argument="stack_pointer",
        items=2,
        uops=_CALLING_C,
        series=("3.14",),
        source="Python/bytecodes.c, _CALL_BUILTIN_FAST_WITH_KEYWORDS: callable, self, and oparg arguments are on the "
        "stack of the frame, behind localsplus",
    ),
    Object(
        name="callable",
        kind="callable",
        behind="evaluation stack of a call",
        tagged=True,
        size="PyObject",
        uops=_CALLING_C,
        series=("3.14",),
        source="Include/object.h: what every object begins with",
    ),
    Object(
        name="method definition",
        kind="method definition",
        behind="callable",
        field="PyCFunctionObject.m_ml",
        size="PyMethodDef",
        uops=_CALLING_C,
        series=("3.14",),
        where=_IS_BUILTIN,
        source="Objects/methodobject.c, PyCMethod_New: what the caller gives, in a static array most often, and anyhow "
        "an object of C's that is there as long as the function (Doc/c-api/structures.rst, PyMethodDef)",
    ),
    *EXECUTORS,
    *GENERATORS,
)
