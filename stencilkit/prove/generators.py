"""Where generators are, new ones too, and whom they yield to: rows of the fact `objects-do-not-overlap`."""

from __future__ import annotations

import re
from typing import Final

from stencilkit.prove.placing import Condition, Index, Object

_YIELDING: Final = re.compile(r"_YIELD_VALUE")
_ITERATING: Final = re.compile(r"_FOR_ITER_GEN_FRAME")
_RETURNING: Final = re.compile(r"_RETURN_GENERATOR")
_SENDING: Final = re.compile(r"_SEND_GEN_FRAME")
_IS_GENERATOR: Final = Condition(of="iterator", field="PyObject.ob_type", symbol="PyGen_Type")
_NEW: Final = "Objects/genobject.c, make_gen: allocated by PyObject_GC_NewVar, with the words of the code's frame"
_ITERATOR: Final = "Include/object.h: what every object begins with; of a generator, it is in front of the frame"

GENERATORS: Final = (
    # The thread state has a frame between PyThreadState and these fields.
    Object(
        name="thread state behind its frame",
        kind="thread state",
        argument="tstate",
        start="_PyThreadStateImpl.refcount",
        size="_PyThreadStateImpl.asyncio_tasks_head",
        uops=_YIELDING,
        series=("3.15",),
        source="Include/internal/pycore_tstate.h, _PyThreadStateImpl",
    ),
    # The bytes in front of its frame, which tstate->exc_info points into.
    Object(
        name="generator",
        kind="generator",
        argument="frame",
        before="PyGenObject.gi_iframe",
        size="PyGenObject.gi_iframe",
        uops=_YIELDING,
        source="Include/internal/pycore_frame.h, _PyFrame_GetGenerator (3.13), pycore_genobject.h, "
        "_PyGen_GetGeneratorFromFrame: the frame is the generator's, a coroutine's or an asynchronous generator's; "
        "Objects/genobject.c, make_gen: allocated by PyObject_GC_NewVar",
    ),
    # Not of one kind with the frame: a generator that runs is not resumed, so what resumed this one is another frame.
    Object(
        name="previous frame",
        kind="previous frame",
        behind="frame",
        field="_PyInterpreterFrame.previous",
        size="_PyInterpreterFrame.localsplus",
        uops=_YIELDING,
        source="Python/bytecodes.c, _YIELD_VALUE (3.13: YIELD_VALUE): the frame of what resumed the generator; "
        "Objects/genobject.c, gen_send_ex2; Python/ceval.c, _PyEval_EvalFrameDefault: or the entry frame on C's stack",
    ),
    Object(
        name="value for the previous frame",
        kind="previous frame",
        within="previous frame",
        item="_PyInterpreterFrame.localsplus",
        index=Index(of="previous frame", field="_PyInterpreterFrame.stacktop", bits=32, signed=True),
        uops=_YIELDING,
        series=("3.13",),
        source="Include/internal/pycore_frame.h, _PyFrame_GetStackPointer: on top of that frame's evaluation stack, "
        "which has room for it; Python/bytecodes.c, _PUSH_FRAME: the stack pointer was saved; Python/ceval.c, "
        "_PyEval_EvalFrameDefault: the entry frame has a stack of one word",
    ),
    # Of one kind with the frame: a generator can be asked for what it does itself, and says that it is running.
    Object(
        name="top of the evaluation stack",
        kind="frame",
        argument="stack_pointer",
        items=1,
        counted=False,
        uops=_ITERATING,
        series=("3.13",),
        source="Python/bytecodes.c, _FOR_ITER_GEN_FRAME: an iterator is on the stack of the frame",
    ),
    Object(
        name="iterator",
        kind="generator",
        behind="top of the evaluation stack",
        size="PyObject",
        uops=_ITERATING,
        series=("3.13",),
        source=_ITERATOR,
    ),
    Object(
        name="generator that is asked",
        kind="generator",
        within="iterator",
        size="PyGenObject.gi_iframe",
        uops=_ITERATING,
        series=("3.13",),
        where=_IS_GENERATOR,
        source="Objects/genobject.c, make_gen: allocated by PyObject_GC_NewVar",
    ),
    Object(
        name="frame of the generator that is asked",
        kind="frame",
        within="iterator",
        item="PyGenObject.gi_iframe",
        size="_PyInterpreterFrame.localsplus",
        uops=_ITERATING,
        series=("3.13",),
        where=_IS_GENERATOR,
        source="Include/cpython/genobject.h, _PyGenObject_HEAD; Objects/genobject.c, make_gen",
    ),
    Object(
        name="value for the generator that is asked",
        kind="frame",
        within="frame of the generator that is asked",
        item="_PyInterpreterFrame.localsplus",
        index=Index(
            of="frame of the generator that is asked", field="_PyInterpreterFrame.stacktop", bits=32, signed=True
        ),
        uops=_ITERATING,
        series=("3.13",),
        where=_IS_GENERATOR,
        source="Include/internal/pycore_frame.h, _PyFrame_StackPush: within the generator, or the last word before "
        "localsplus if it is running (_PyFrame_GetStackPointer)",
    ),
    Object(
        name="new generator",
        kind="new generator",
        call="_Py_MakeCoro",
        new=True,
        size="PyGenObject.gi_iframe",
        uops=_RETURNING,
        series=("3.13",),
        source=f"{_NEW}: the thread state and the frame were there before, and stay where they are",
    ),
    Object(
        name="frame of the new generator",
        kind="new generator",
        within="new generator",
        item="PyGenObject.gi_iframe",
        size="_PyInterpreterFrame.localsplus",
        uops=_RETURNING,
        series=("3.13",),
        source=f"{_NEW}; Include/cpython/genobject.h, _PyGenObject_HEAD: coroutines have it at the same place",
    ),
    # What a frame begins with is copied as one structure, which has a word of localsplus, before the rest of those.
    *(
        Object(
            name=f"first value of the {of}",
            kind=kind,
            within=of,
            item="_PyInterpreterFrame.localsplus",
            uops=_RETURNING,
            series=("3.13",),
            source=f"{source}; Include/internal/pycore_frame.h, _PyFrame_Copy; Objects/codeobject.c, "
            "init_code: a code object's stack has a word or more",
        )
        for of, kind, source in (
            ("frame of the new generator", "new generator", _NEW),
            ("frame", "frame", "Include/internal/pycore_frame.h, _PyInterpreterFrame"),
        )
    ),
    # Since 3.15, how many of the values on the evaluation stack are in registers is in a stencil's name.
    *(
        Object(
            name=f"top of the evaluation stack of {suffix}",
            kind="frame",
            argument="stack_pointer",
            items=items,
            counted=False,
            uops=_ITERATING,
            series=("3.15",),
            suffix=suffix,
            source="Python/executor_cases.c.h, _FOR_ITER_GEN_FRAME: an iterator is on the stack of the frame, and one "
            "more value above it or in a register",
        )
        for suffix, items in (("_r03", 2), ("_r13", 1))
    ),
    *(
        Object(
            name="iterator",
            kind="generator",
            tagged=True,
            size="PyObject",
            uops=uops,
            series=("3.15",),
            suffix=suffix,
            behind=behind,
            argument=argument,
            source=_ITERATOR,
        )
        for uops, suffix, behind, argument in (
            (_ITERATING, "_r03", "top of the evaluation stack of _r03", ""),
            (_ITERATING, "_r13", "top of the evaluation stack of _r13", ""),
            (_ITERATING, "_r23", "", "tos_cache0"),
            (_SENDING, "_r33", "", "tos_cache0"),
        )
    ),
)
