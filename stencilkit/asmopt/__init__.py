"""The textual assembly passes of CPython 3.15, as pure functions from text to text.

A uop's code is laid end to end with others, which compilers do not know: the passes let the hot path fall through to
the next uop, invert branches, thread and drop jumps, drop what cannot be reached, and (on aarch64) mark places that
the JIT patches and that no relocation describes. They stand for CPython's Tools/jit/_optimizers.py, and the result is
the same, instruction for instruction; where upstream does something odd, the bytes are kept and the place says so.

An assembly line that the passes do not understand is an error with its number: it is never passed through in a way
that could drop a block.
"""

from __future__ import annotations

from typing import Final, Literal

from stencilkit.asmopt import aarch64, aarch64_frames, graph, layout, reading, x86, x86_frames, x86_unaligned
from stencilkit.asmopt.graph import Code
from stencilkit.asmopt.syntax import Syntax
from stencilkit.errors import AssemblyError
from stencilkit.model.target import Target

_ARCHS: Final = {"x86_64": x86, "i686": x86, "aarch64": aarch64}
_DROP_FRAMES: Final = {"x86_64": x86_frames.drop_frames, "aarch64": aarch64_frames.drop_frames}
# Passes open opportunities for each other; upstream repeats them four times, and so the result is the same.
_ROUNDS: Final = 4


Frames = Literal["reserved", "all", "any"]
"""What -mframe-pointer says: the compiler left the frame pointer alone, set up frames, or did as it liked."""


def _refuse(_code: Code) -> Code:
    raise AssemblyError("no pass takes frames out of code for this architecture", fix="use LLVM 21 or newer")


def rewrite(name: str, text: str, target: Target, frames: Frames, *, unaligned: bool = False) -> str:
    """Optimise the assembly of one uop.

    With "reserved", code that sets up a frame of its own is refused: it would break the chain of frames for unwinders.
    With "all", the frames are taken out again, so that the frame pointer is left alone. With `unaligned`, x86-64 code
    reads data wherever it is.

    Raises: AssemblyError with the uop and the line.
    """
    arch = _ARCHS[target.arch]
    syntax = Syntax.of(target, arch.INSTRUCTIONS)
    try:
        code = reading.read(text, syntax)
        if frames == "all":
            code = _DROP_FRAMES.get(target.arch, _refuse)(code)
        if unaligned:
            code = x86_unaligned.unalign(code, target.format)
        code = layout.insert_continue_label(code, syntax)
        code = layout.mark_hot(code)
        for _ in range(_ROUNDS):
            code = layout.invert_hot_branches(code, syntax)
            code = layout.remove_redundant_jumps(code, syntax)
            code = layout.remove_unreachable(code, syntax)
        code = arch.finish(code, syntax)
        if frames != "any":
            layout.check_frame_pointer(code, syntax)
    except AssemblyError as error:
        raise AssemblyError(error.what, where=f"uop {name}, {error.where}".rstrip(", "), fix=error.fix) from None
    return graph.text(code)
