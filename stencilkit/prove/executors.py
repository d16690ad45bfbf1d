"""Where executors and their exits are: rows of the fact `objects-do-not-overlap`."""

from __future__ import annotations

import re
from typing import Final

from stencilkit.prove.placing import Condition, Index, Object

LEAVING: Final = re.compile(r"_COLD_EXIT")
# The instruction that an executor has taken the place of. Include/opcode_ids.h of CPython 3.13: ENTER_EXECUTOR.
_ENTERED: Final = Condition(of="instruction", field="_Py_CODEUNIT.op.code", number=70, bits=8)
_MAKING: Final = "Python/optimizer.c, _PyOptimizer_Optimize"

EXECUTORS: Final = (
    Object(
        name="exit",
        kind="executor",
        hole="operand0",
        size="_PyExitData",
        uops=re.compile(r"_EXIT_TRACE"),
        series=("3.14",),
        source="Python/bytecodes.c, _EXIT_TRACE; Python/optimizer.c, allocate_executor: allocated by "
        "PyObject_GC_NewVar",
    ),
    # An executor's exits are at its end. It can be the one that a trace goes on in: the two have other bytes.
    Object(
        name="exit that a trace left by",
        kind="exits of an executor",
        behind="thread state",
        field="PyThreadState.previous_executor",
        item="_PyExecutorObject.exits",
        index=Index(step="_PyExitData"),
        size="_PyExitData",
        uops=LEAVING,
        series=("3.13",),
        source="Tools/jit/template.c, exit_to_trace: the thread state has the executor; Python/bytecodes.c, "
        "_COLD_EXIT; Python/optimizer.c, make_executor_from_uops: exit n leads to COLD_EXITS[n], whose oparg is n; "
        "allocate_executor: by PyObject_GC_NewVar, with room for all exits",
    ),
    Object(
        name="instruction",
        kind="code object",
        within="code object of the frame",
        item="PyCodeObject.co_code_adaptive",
        index=Index(step="_Py_CODEUNIT", of="exit that a trace left by", field="_PyExitData.target", bits=32),
        size="_Py_CODEUNIT",  # which is no whole word: this row says where it is, and nothing of what is apart
        uops=LEAVING,
        series=("3.13",),
        source="Python/bytecodes.c, _COLD_EXIT: _PyCode_CODE(code) + exit->target, where the trace goes on",
    ),
    Object(
        name="place of the executor",
        kind="executors",
        behind="code object of the frame",
        field="PyCodeObject.co_executors",
        item="_PyExecutorArray.executors",
        index=Index(of="instruction", field="_Py_CODEUNIT.op.arg", bits=8),
        uops=LEAVING,
        series=("3.13",),
        where=_ENTERED,
        source="Python/optimizer.c, get_index_for_executor: allocated by PyMem_Realloc; insert_executor: the "
        "instruction's oparg is the index",
    ),
    *(
        Object(
            name=name,
            kind="head of an executor",
            behind=behind,
            call=call,
            out=out,
            size="_PyExecutorObject.exits",
            uops=LEAVING,
            series=("3.13",),
            where=where,
            source=f"{source}; Include/internal/pycore_optimizer.h, _PyExecutorObject: what is in front of all exits",
        )
        for name, behind, call, out, where, source in (
            (
                "executor of an instruction",
                "place of the executor",
                "",
                0,
                _ENTERED,
                "Python/optimizer.c, insert_executor: the array has executors",
            ),
            (
                "new executor",
                "",
                "_PyOptimizer_Optimize",
                3,
                None,
                f"{_MAKING}: it is there if 1 is returned; the thread state and the frame keep all of the other rows",
            ),
        )
    ),
)
