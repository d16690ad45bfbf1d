"""Everything that a proof takes for granted: each row with its reason and source. Its digest stands in every answer.

Nothing that is not here, in `conventions`, or in the semantics of instructions, is assumed. The prototypes of C
functions are data of their own (prototypes.toml), made from CPython's headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stencilkit.model.proof import Prototype
from stencilkit.model.stencil import HoleValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One thing that is taken for granted; `optional` ones are used only where --assume or a policy names them."""

    name: str
    text: str
    source: str
    optional: bool = False


ASSUMPTIONS: Final = (
    Assumption(
        name="same-start",
        text="both stencils start with the same registers, memory and holes",
        source="Python/jit.c, _PyJIT_Compile: a stencil is copied whole, nothing runs between two stencils",
    ),
    Assumption(
        name="frame-private",
        text="no pointer that a stencil gets, or loads from memory, points into its own stack frame, or to an argument "
        "that it got on the stack",
        source="C11 6.2.4: an object of automatic storage does not exist before its block is entered",
    ),
    Assumption(
        name="frame-not-kept",
        text="a callee that is given a pointer into the frame uses what its row below says, and keeps it only where "
        "that says so",
        source="the functions of FRAME_POINTERS, read in CPython's sources",
    ),
    Assumption(
        name="frame-arrays",
        text="code that writes the frame at a variable place writes within an array there, beside the frame's other "
        "words; both stencils write the same places",
        source="C11 6.5.6 paragraph 8; the bounds of an array are not in machine code",
    ),
    Assumption(
        name="jumps-to-stencils",
        text="a jump out of a stencil through a pointer goes to a stencil, not to a C function",
        source="Tools/jit/template.c: PATCH_JUMP, GOTO_TIER_TWO and GOTO_TIER_ONE end a stencil; no uop ends with the "
        "result of a call through a pointer",
    ),
    Assumption(
        name="alone",
        text="between two calls, nobody else reads or writes memory that a stencil uses in a way that counts: to write "
        "back what is there is no change, and an atomic operation is like another one",
        source="configure.ac: --enable-experimental-jit does not work with --disable-gil; what other threads and "
        "signals set (eval_breaker) may be seen a little later",
    ),
    Assumption(
        name="callees-deterministic",
        text="what a callee returns and leaves in memory depends on its arguments and on memory; the first stencil "
        "does not depend on the bits of a register above a narrower result",
        source="both sides run in the same process; a callee sees no other state of the caller under the ABI",
    ),
    Assumption(
        name="callees-that-read",
        text="a function of READING returns only with memory as it was",
        source="Python/ceval.c, _Py_assert_within_stack_bounds: compares numbers, and returns, or ends the process",
    ),
    Assumption(
        name="callees-follow-abi",
        text="a callee keeps the registers, and the caller's frame above the stack pointer, that the ABI says",
        source="System V ABI AMD64 3.2.1; AAPCS64 6.1; Microsoft, x64 and ARM64 ABI conventions",
    ),
    Assumption(
        name="indirect-callees",
        text="a function that is called through a pointer, or with a format that is not in the stencil, takes at most "
        "as many arguments as there are registers, and no floating point, or those that CALLEES, TABLES and "
        "UOP_CALLEES say; on i686, those that these and STACKED_CALLEES say; where variadic arguments are on the stack "
        "(aarch64 macOS, i686), such a format asks for one; on x86_64 Windows, where the first of them is an "
        "address in the frame, the result of 16 bytes goes there",
        source="Include/cpython/object.h, Include/descrobject.h: the types of slots and C functions; "
        "Python/ceval.c, _Py_SpecialMethods: the formats; Microsoft, x64 calling convention: return values",
    ),
    Assumption(
        name="x87-empty",
        text="where a stencil starts on i686, the x87 has no number in its registers; its control word stays as it is",
        source="System V ABI Intel386 2.2.2, which Windows follows: the stack of registers is empty at calls; "
        "CPython changes the control word around float and string conversions alone (pycore_pymath.h)",
    ),
    Assumption(
        name="memory-readable",
        text="memory that is read is there: a load that one side does and the other does not changes nothing",
        source="C11 6.5.3.2; the order of faults is not part of a program's meaning",
    ),
    Assumption(
        name="symbols-apart",
        text="the addresses of different symbols differ, are not null, and are aligned as declared",
        source="C11 6.5.9, 6.2.8",
    ),
    Assumption(
        name="symbols-in-user-space",
        text="a symbol's address of 64 bits, and 2**31 bytes more, do not wrap around to null",
        source="Linux, Documentation/arch/x86/x86_64/mm.rst and arch/arm64/memory.rst: the upper half is the kernel's; "
        "the same holds on macOS and Windows",
    ),
    Assumption(
        name="results-aligned",
        text="a pointer that a function of C returns is null or a multiple of a pointer's size: it is to an object, a "
        "frame, an array of objects, or an interpreter",
        source="C11 6.3.2.3 paragraph 7 and 6.2.8, by which compilers leave out what looks at such bits; the "
        "prototypes of the functions in prototypes.toml, and of PyCFunction and the slots of types",
    ),
    Assumption(
        name="code-after-data",
        text="on x86_64, where a table in a stencil's data is patched, its code is not copied yet, and the memory for "
        "it is zero; that memory is neither in the lowest 2 GiB nor in the upper half of addresses. So "
        "patch_x86_64_32rx, which reads where the code will be, finds nothing that is near, and fills the entry",
        source="jit_stencils.h: data is copied and patched first; Python/jit.c, jit_alloc: VirtualAlloc or mmap of "
        "pages that nothing was in; Microsoft, /HIGHENTROPYVA, which is set for python.exe",
    ),
    Assumption(
        name="nan-payloads",
        text="addition and multiplication of floating point commute, whatever the payload of a NaN",
        source="IEEE 754-2019 6.2.3; LLVM Language Reference, floating-point environment",
    ),
    Assumption(
        name="strings-to-nul",
        text="a callee that is given an address of a text in the stencil's data reads it up to its first NUL",
        source="C11 7.1.1; the texts are formats and messages",
    ),
    Assumption(
        name="size-not-negative",
        text="the size of a list (ob_size), and the tag of an int at the same place (lv_tag), are not negative",
        source="Objects/listobject.c: list_resize and PyList_New refuse negative sizes; Include/cpython/longintrepr.h",
        optional=True,
    ),
    Assumption(
        name="opargs-that-are-made",
        text="in CPython 3.13, the oparg of _SET_FUNCTION_ATTRIBUTE is 1, 2, 4 or 8",
        source="Python/bytecodes.c: the default of its switch is Py_UNREACHABLE, so compilers count on it; "
        "Python/compile.c, compiler_make_closure: no other one is made",
        optional=True,
    ),
    Assumption(
        name="objects-do-not-overlap",
        text="the thread state; the frame, its code object and the name there that a uop is about; a frame that is "
        "pushed, the values on the evaluation stack, and the function that is called with its code object; what "
        "is in front of a generator's frame, and the frame that it yields to; a generator that is asked for a "
        "value; a new generator, with what its frame begins with; the state of the exception that is handled, which "
        "can be in the thread state; the specialization of an operator; the definition of a builtin that is called; "
        "the object whose address is an operand; the exit of a trace, and what executors have in front of their exits "
        "do not overlap: no byte is in two of them (the rows of OBJECTS, in placement)",
        source="C11 6.5 paragraph 7, by which compilers change the order of accesses to different types; CPython "
        "allocates each by itself (the sources of the rows)",
        optional=True,
    ),
    Assumption(
        name="objects-are-aligned",
        text="the same objects begin at multiples of a pointer's size; asked only of stencils that assert something",
        source="C11 6.3.2.3 paragraph 7 and 6.2.8, by which compilers leave out assertions about low bits of what was "
        "accessed; all of them have pointers in them (the sources of the rows)",
        optional=True,
    ),
)

# How wide a hole is: what the JIT patches in has no more bits. Include/internal/pycore_uop.h, _PyUOpInstruction.
HOLES: Final[Mapping[HoleValue, tuple[str, int, int]]] = {
    HoleValue.OPARG: ("oparg", 0, 16),
    HoleValue.OPARG_16: ("oparg", 0, 16),
    HoleValue.TARGET: ("target", 0, 32),
    HoleValue.EXIT_INDEX: ("exit_index", 0, 16),
    HoleValue.EXECUTOR: ("executor", 0, 64),
    HoleValue.OPERAND: ("operand0", 0, 64),
    HoleValue.OPERAND0: ("operand0", 0, 64),
    HoleValue.OPERAND1: ("operand1", 0, 64),
    HoleValue.OPERAND_HI: ("operand0", 32, 32),
    HoleValue.OPERAND_LO: ("operand0", 0, 32),
    HoleValue.OPERAND0_HI: ("operand0", 32, 32),
    HoleValue.OPERAND0_LO: ("operand0", 0, 32),
    HoleValue.OPERAND1_HI: ("operand1", 32, 32),
    HoleValue.OPERAND1_LO: ("operand1", 0, 32),
    HoleValue.OPERAND0_16: ("operand0", 0, 64),
    HoleValue.OPERAND0_32: ("operand0", 0, 64),
    HoleValue.OPERAND1_16: ("operand1", 0, 64),
    HoleValue.OPERAND1_32: ("operand1", 0, 64),
}
EXITS: Final = (HoleValue.CONTINUE, HoleValue.JUMP_TARGET, HoleValue.ERROR_TARGET, HoleValue.TOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a callee does with a pointer into the caller's frame.

    It reads `words`, or `size` bytes, or as many words as argument `count` says (an index; the flag bit of a vectorcall
    is not counted), unless it is `always_written` before it is read; it writes the same bytes if `written`. What is
    `written_if_positive` is not read, and is written for certain only where the result is positive. What it
    `keeps`, from which word on and how many, is written and read by callees alone from then on; `kept` is the start of
    such words.
    """

    words: int = 0
    size: int = 0
    count: int | None = None
    written: bool = True
    always_written: bool = False
    written_if_positive: bool = False
    keeps: tuple[int, int] | None = None
    kept: bool = False

    def bytes(self, word: int) -> int:
        """Return how many bytes it is about where a word has so many bits."""
        return self.words * word // 8 + self.size


_WORD: Final = Extent(words=1)
_RESULT: Final = Extent(words=1, always_written=True)
_IF_POSITIVE: Final = Extent(words=1, written_if_positive=True)
# By function and argument, from 0. A function that is not here must not be given a pointer into the frame. Each row was
# read in the function's source, in CPython 3.13.15, 3.14.7 and 3.15.0rc1, where it is there; a result is one that every
# path of the function writes before it reads it.
FRAME_POINTERS: Final[Mapping[str, Mapping[int, Extent]]] = {
    # Objects/dictobject.c: this, and _PyDict_GetItemRef_KnownHash, write it before each return
    "PyDict_GetItemRef": {2: _RESULT},
    "PyDict_Pop": {2: _RESULT},  # Objects/dictobject.c: *result = NULL first
    "PyMapping_GetOptionalItem": {2: _RESULT},  # Objects/abstract.c
    "_PyMapping_GetOptionalItem2": {2: Extent(size=4, always_written=True)},  # Objects/abstract.c
    "_PyAsyncGenASend_Send": {2: _RESULT},  # Objects/genobject.c
    "_PyEval_GetIter": {1: _RESULT},  # Python/ceval.c
    # Python/ceval.c: not written where it fails. 3.13 has one argument less before them; `match_type`, the third since,
    # is an object from the evaluation stack.
    "_PyEval_ExceptionGroupMatch": {2: _WORD, 3: _WORD, 4: _WORD},
    "_PyEval_LoadGlobalStackRef": {3: _WORD},  # Python/ceval.c
    "_PyForIter_VirtualIteratorNext": {3: _WORD},  # Python/ceval.c
    "_PyDict_MergeUniq": {2: _WORD},  # Objects/dictobject.c: written where a key occurs twice
    "_PySuper_Lookup": {3: Extent(size=4)},  # Objects/typeobject.c: written where a method is found
    "_PyObject_GetMethod": {2: _WORD},  # Objects/object.c
    "_PyObject_GetMethodStackRef": {1: _WORD, 3: _WORD},  # Objects/object.c
    "_PyObject_LookupSpecialMethod": {1: Extent(words=2)},  # Objects/typeobject.c: method and self
    # Python/ceval.c, and ceval_macros.h, STACKREFS_TO_PYOBJECTS: the array is given from its second word on, and may be
    # returned; it has a word more than MAX_STACKREF_SCRATCH. Its address is compared with that of what is to be freed.
    "_PyObjectArray_FromStackRefArray": {2: Extent(keeps=(-1, 11))},
    "_PyObjectArray_Free": {1: Extent(kept=True)},
    # Python/optimizer.c; 3.13 has another argument before it. Written where the result is 1, and without memory, too.
    "_PyOptimizer_Optimize": {2: _IF_POSITIVE, 3: _IF_POSITIVE},
    "PyUnicode_Append": {0: _WORD},  # Objects/unicodeobject.c
    # Objects/call.c; args[-1] is written too, and restored: the caller leaves it undefined.
    "PyObject_Vectorcall": {1: Extent(count=2, written=False)},
    "PyObject_VectorcallMethod": {1: Extent(count=2, written=False)},
    "_PyUnicode_JoinArray": {1: Extent(count=2, written=False)},  # Objects/unicodeobject.c
}
# Beside the array of a vectorcall there is one of keyword values, unless this argument is null. Objects/call.c.
KEYWORDS: Final[Mapping[str, int]] = {"PyObject_Vectorcall": 3, "PyObject_VectorcallMethod": 3}

# Which opargs a uop has: runs have no other. Python/bytecodes.c: the default of its switch is Py_UNREACHABLE. Since
# 3.14 there is no switch, and there are other opargs, so the optional fact is about 3.13.
OPARGS_FACT: Final = "opargs-that-are-made"
OPARGS_SERIES: Final = ("3.13",)
OPARGS: Final[Mapping[str, tuple[int, ...]]] = {"_SET_FUNCTION_ATTRIBUTE": (1, 2, 4, 8)}

# What a failed assertion calls: glibc and musl, macOS, Windows. Only debug builds assert.
ASSERTING: Final = frozenset(("__assert_fail", "__assert_rtn", "_wassert"))
ASSERTING_FACT: Final = "objects-are-aligned"

# What writes nothing, or does not return. Python/ceval.c, in CPython 3.15.0rc1: debug builds call it first of all.
READING: Final = frozenset(("_Py_assert_within_stack_bounds",))

BEHIND_SYMBOLS: Final = 1 << 31
"""How far behind a symbol's address null is not: far more than any object of CPython is long."""

SUFFIX: Final = re.compile(r"_r\d\d$")
"""What a stencil's name has behind the uop's."""


def _returning(result: str, *arguments: str) -> Prototype:
    return Prototype(result=result, arguments=arguments)


# Include/object.h and Include/methodobject.h: unaryfunc and iternextfunc; binaryfunc and PyCFunction; ternaryfunc; what
# is FAST; and what takes names of arguments too, such as vectorcallfunc.
_UNARY: Final = _returning("ptr", "ptr")
_BINARY: Final = _returning("ptr", "ptr", "ptr")
_TERNARY: Final = _returning("ptr", "ptr", "ptr", "ptr")
_FAST: Final = _returning("ptr", "ptr", "ptr", "word")
_NAMED: Final = _returning("ptr", "ptr", "ptr", "word", "ptr")
# The type of a function that is called through the word of this number behind an operand, by uop (without the register
# suffix). Include/internal/pycore_code.h, _PyBinaryOpSpecializationDescr: guard and action.
CALLEES: Final[Mapping[tuple[str, int], Prototype]] = {
    ("_GUARD_BINARY_OP_EXTEND", 1): _returning("i32", "ptr", "ptr"),
    ("_BINARY_OP_EXTEND", 2): _BINARY,
}

# By object: what is called through a pointer in it. Where arguments are on the stack alone, nothing else says how many
# of its words are arguments. Include/cpython/object.h, PyRefTracer; Python/ceval.c; Python/intrinsics.c.
TABLES: Final[Mapping[str, Prototype]] = {
    "_PyRuntime": _returning("i32", "ptr", "i32", "ptr"),
    "_PyEval_BinaryOps": _BINARY,
    "_PyEval_ConversionFuncs": _UNARY,
    "_PyIntrinsics_UnaryFunctions": _BINARY,
    "_PyIntrinsics_BinaryFunctions": _TERNARY,
}
# By uop: what it calls through any other pointer. Each row was read in Python/bytecodes.c, in CPython 3.13.15, 3.14.7
# and 3.15.0rc1, where the uop is there, and is the only type of a function that it calls so.
UOP_CALLEES: Final[Mapping[str, Prototype]] = {
    "_CALL_BUILTIN_O": _BINARY,
    "_CALL_METHOD_DESCRIPTOR_O": _BINARY,
    "_CALL_METHOD_DESCRIPTOR_O_INLINE": _BINARY,
    "_CALL_METHOD_DESCRIPTOR_NOARGS": _BINARY,
    "_CALL_METHOD_DESCRIPTOR_NOARGS_INLINE": _BINARY,
    "_CALL_BUILTIN_FAST": _FAST,
    "_CALL_METHOD_DESCRIPTOR_FAST": _FAST,
    "_CALL_BUILTIN_FAST_WITH_KEYWORDS": _NAMED,
    "_CALL_METHOD_DESCRIPTOR_FAST_WITH_KEYWORDS": _NAMED,
    "_CALL_BUILTIN_CLASS": _NAMED,
}
# And where arguments are on the stack alone, of these too. Include/object.h, _Py_iteritemfunc: its result is two words.
STACKED_CALLEES: Final[Mapping[str, Prototype]] = {
    **dict.fromkeys(("_GET_AITER", "_GET_ANEXT", "_FOR_ITER_TIER_TWO", "_ITER_NEXT_INLINE"), _UNARY),
    **dict.fromkeys(("_FOR_ITER_VIRTUAL_TIER_TWO", "_SEND_VIRTUAL_TIER_TWO"), _returning("pair", "ptr", "word")),
    **UOP_CALLEES,
}

# Where an optional fact holds: the word of this number behind a pointer, in uops of this name, is not negative.
SIZES: Final[Mapping[str, tuple[str, int]]] = {"size-not-negative": ("_BINARY_OP_SUBSCR_LIST_INT", 2)}
