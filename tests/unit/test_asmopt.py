"""The assembly passes, over small pieces of assembly of our own."""

from __future__ import annotations

import pytest

from stencilkit import asmopt, targets
from stencilkit.asmopt import aarch64, graph, reading, x86
from stencilkit.asmopt.syntax import Syntax
from stencilkit.errors import AssemblyError

TARGETS = {target.triple: target for target in targets.load().targets}
WINDOWS, MAC_ARM = TARGETS["x86_64-pc-windows-msvc"], TARGETS["aarch64-apple-darwin"]
X86 = TARGETS["x86_64-unknown-linux-gnu"]
ARM = TARGETS["aarch64-unknown-linux-gnu"]


def lines(text: str) -> list[str]:
    """Drop blank lines and the layout."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def asm(*body: str) -> str:
    """Write a function: what ends with a colon is a label, the rest an instruction or directive."""
    head = ["\t.text", "\t.globl\t_JIT_ENTRY", "\t.type\t_JIT_ENTRY,@function", "_JIT_ENTRY:"]
    return "\n".join([*head, *(line if line.endswith(":") else f"\t{line}" for line in body)]) + "\n"


def rewritten(
    *body: str, target: object = X86, frames: asmopt.Frames = "reserved", unaligned: bool = False
) -> list[str]:
    text = asmopt.rewrite("_UOP", asm(*body), target, frames, unaligned=unaligned)  # type: ignore[arg-type]
    return lines(text)[4:]


def syntax(target: object = X86) -> Syntax:
    return Syntax.of(target, (x86 if target is X86 else aarch64).INSTRUCTIONS)  # type: ignore[arg-type]


def refusal(*body: str, target: object = X86, frames: asmopt.Frames = "any") -> AssemblyError:
    with pytest.raises(AssemblyError) as caught:
        rewritten(*body, target=target, frames=frames)
    assert caught.value.where.startswith("uop _UOP")
    assert caught.value.fix
    return caught.value


# Reading


def test_text_that_needs_nothing_comes_back_as_it_was() -> None:
    text = asm("movq %rax, %rbx", "ret")
    code = reading.read(text, syntax())
    assert graph.text(code) == text
    assert code.entries == {"_JIT_ENTRY"}


def test_blocks_end_where_control_may_leave() -> None:
    code = reading.read(asm("incq %rax", "je .LBB0_2", "incq %rbx", ".LBB0_2:", "jmp FAR", "nop"), syntax())
    kinds = [[instruction.kind.name for instruction in block.instructions] for block in code.blocks]
    assert [kind for kind in kinds if kind] == [["OTHER", "BRANCH"], ["OTHER"], ["JUMP"], ["OTHER"]]
    ends = [(block.target, block.falls_through) for block in code.blocks if block.instructions]
    assert ends == [(".LBB0_2", True), (None, True), ("FAR", False), (None, True)]


HOSTILE = [
    ("nop; jmp FAR", "several statements"),
    (".LBB0_1: jmp FAR", "follows a label"),
    (".Ltmp = .", "do not know the directive .Ltmp"),
    (".CFI_STARTPROC", "do not know the directive .CFI_STARTPROC"),
    (".cfi_startproc", "call frame information"),
    (".cfi_def_cfa_offset 16", "call frame information"),
    ('.incbin "file"', "do not know the directive .incbin"),
    (".macro x", "do not know the directive .macro"),
    (".pushsection .text", "do not know the directive .pushsection"),
    (".quad .LBB0_1", "jump table"),
    (".long .LBB0_1-.LJTI0_0", "jump table"),
    ("leaq .LBB0_1(%rip), %rax", "refers to a block of code"),
    ("!", "neither a label"),
    ("123", "neither a label"),
    ("Jmp FAR", "neither a label"),
]
HOSTILE_X86 = [
    ("jmpq FAR", "where this goes"),
    ("bnd jmp FAR", "where this goes"),
    ('jmp "quoted name"', "where this goes"),
    ("jxx FAR", "where this goes"),
    ("ljmpl *8(%rax)", "where this goes"),
    ("xbegin FAR", "where this goes"),
]
HOSTILE_ARM = [
    ("b.xx FAR", "where this goes"),
    ('b "quoted"', "where this goes"),
    ('cbz x0, "quoted"', "where this goes"),
    ('tbnz w0, #3, "quoted"', "where this goes"),
    ("nop; b FAR", "several statements"),
    ("adr x0, .LBB0_1", "refers to a block of code"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message", "target"),
    [
        *[(*case, X86) for case in HOSTILE],
        *[(*case, X86) for case in HOSTILE_X86],
        *[(*case, ARM) for case in HOSTILE_ARM],
    ],
)
def test_lines_that_are_not_understood_are_errors_with_their_number(line: str, message: str, target: object) -> None:
    error = refusal("nop", line, "ret", target=target)
    assert message in error.what
    assert error.where == f"uop _UOP, line 6: {line}"


UNDERSTOOD = [
    ("jmpq *%rax", X86), ("callq *8(%rax)", X86), ("notrack jmpq *%rax", X86),
    ("rex64 jmpq *%rax # TAILCALL", X86), ("lock cmpxchgq %rax, (%rbx)", X86),
    ("rep movsb", X86), ("ud2", X86), ("#APP", X86), ("## comment", X86), ("jmp FAR ## TAILCALL; so", X86),
    ("movl $1, %eax # note; with semicolon", X86), ("retq", X86), ("ret", X86),
    ("br x8", ARM), ("blr x8", ARM), ("ret", ARM), ("retaa", ARM), ("brk #0x1", ARM),
    ("bic x0, x1, x2", ARM), ("bfi x0, x1, #3, #4", ARM), ("// comment", ARM), ("ldr x0, [x1] // note", ARM),
    ("cbz x0, FAR", ARM), ("b.eq FAR", ARM), ("bl FAR", ARM), (".p2align 4, 0x90", X86), ('.asciz "a;b:c"', X86),
]  # fmt: skip


@pytest.mark.parametrize(("line", "target"), UNDERSTOOD)
def test_lines_that_are_understood(line: str, target: object) -> None:
    reading.read(asm("nop", line, "nop"), syntax(target))


def test_every_directive_that_compilers_write_is_known() -> None:
    """Directives of ELF, Mach-O and COFF, as clang 18 to 23 write them at the top of a file and around data."""
    names = [
        *(
            ".file",
            ".text",
            ".section",
            ".globl",
            ".type",
            ".size",
            ".p2align",
            ".ident",
            ".addrsig",
            ".addrsig_sym",
            ".aeabi_subsection",
        ),
        *(".build_version", ".subsections_via_symbols", ".private_extern", ".loh", ".literal16", ".macosx_version_min"),
        *(
            ".def",
            ".scl",
            ".endef",
            ".linkonce",
            ".secrel32",
            ".att_syntax",
            ".prefalign",
            ".asciz",
            ".quad",
            ".xword",
            ".zero",
        ),
    ]
    reading.read("".join(f"\t{name}\n" for name in names) + "\tnop\n", syntax())


def test_labels_with_comments_are_labels() -> None:
    code = reading.read(asm(".LBB0_1:").rstrip("\n") + "   # %if.then\n\tnop\n", syntax())
    assert [block.label for block in code.blocks if block.label] == ["_JIT_ENTRY", ".LBB0_1"]


# Layout


def test_the_next_uop_starts_behind_the_last_instruction() -> None:
    assert rewritten("incq %rax", "jmp _JIT_CONTINUE", ".section .rodata", ".L.str:", '.asciz "x"') == [
        "incq %rax",
        ".L_JIT_CONTINUE:",
        ".section .rodata",
        ".L.str:",
        '.asciz "x"',
    ]  # fmt: skip


def test_no_instruction_is_an_error() -> None:
    assert "no instruction" in refusal(".globl other").what


def test_a_hot_branch_is_inverted() -> None:
    """`je HOT; jmp COLD` -> `jne COLD`, and the jump that is left goes nowhere."""
    assert rewritten("je .LBB0_2", "jmp _JIT_ERROR_TARGET", ".LBB0_2:", "incq %rax", "jmp _JIT_CONTINUE") == [
        "jne _JIT_ERROR_TARGET",
        ".LBB0_2:",
        "incq %rax",
        ".L_JIT_CONTINUE:",
    ]


@pytest.mark.parametrize(("condition", "inverse"), [("ja", "jna"), ("jnae", "jae"), ("jpo", "jpe"), ("js", "jns")])
def test_every_condition_has_its_opposite(condition: str, inverse: str) -> None:
    body = [f"{condition} .LBB0_2", "jmp _JIT_DEOPT", ".LBB0_2:", "jmp _JIT_CONTINUE"]
    assert rewritten(*body) == [f"{inverse} _JIT_DEOPT", ".LBB0_2:", ".L_JIT_CONTINUE:"]
    assert x86._INVERSES[inverse] == condition


def test_inverses_are_symmetric() -> None:
    for instructions in (x86.INSTRUCTIONS, aarch64.INSTRUCTIONS):
        for condition, inverse in instructions.inverses.items():
            assert inverse is None or instructions.inverses[inverse] == condition


def test_a_branch_without_opposite_stays() -> None:
    body = ["jrcxz .LBB0_2", "jmp _JIT_DEOPT", ".LBB0_2:", "incq %rax", "jmp _JIT_CONTINUE"]
    assert rewritten(*body)[:2] == ["jrcxz .LBB0_2", "jmp _JIT_DEOPT"]


def test_cold_branches_stay() -> None:
    body = ["je _JIT_ERROR_TARGET", "incq %rax", "jmp _JIT_CONTINUE"]
    assert rewritten(*body) == [*body[:2], ".L_JIT_CONTINUE:"]


def test_a_jump_that_others_reach_is_not_turned_around() -> None:
    body = [
        *("tbz w0, #1, .LBB0_3", "b.eq .LBB0_2", ".LBB0_3:", "b _JIT_DEOPT"),
        *(".LBB0_2:", "add x0, x0, #1", "b _JIT_CONTINUE"),
    ]
    assert rewritten(*body, target=ARM) == [*body[:-1], ".L_JIT_CONTINUE:"]
    # Without the other way to it, it is:
    assert "b.ne 0" in rewritten(*body[1:], target=ARM)


def test_jumps_to_jumps_are_threaded() -> None:
    body = ["je .LBB0_1", "incq %rax", "jmp _JIT_CONTINUE", ".LBB0_1:", "jmp .LBB0_2", ".LBB0_2:", "jmp _JIT_DEOPT"]
    assert rewritten(*body)[0] == "je _JIT_DEOPT"


def test_unreachable_code_is_dropped_and_data_is_kept() -> None:
    assert rewritten(
        *("leaq .L.str(%rip), %rdi", "jmp _JIT_DEOPT", ".LBB0_1:", "incq %rax", "jmp _JIT_DEOPT"),
        *(".section .rodata", ".L.str:", '.asciz "kept"'),
    ) == ["leaq .L.str(%rip), %rdi", "jmp _JIT_DEOPT", ".L_JIT_CONTINUE:", ".section .rodata", ".L.str:",
          '.asciz "kept"']  # fmt: skip


ELF_CONSTANT = [".section .rodata.cst8", ".LCPI0_0:", ".quad 0x3ff8000000000000", ".text", ".globl _JIT_ENTRY"]
MACHO_CONSTANT = [
    *(".section __TEXT,__literal8,8byte_literals", "lCPI0_0:", ".quad 0x3ff8000000000000"),
    *(".section __TEXT,__text,regular,pure_instructions", ".globl __JIT_ENTRY"),
]
COFF_CONSTANT = [
    *(".def _JIT_ENTRY;", ".endef", '.section .rdata,"dr",discard,"__real@3ff8000000000000"'),
    *('.globl "__real@3ff8000000000000"', '"__real@3ff8000000000000":', ".quad 0x3ff8000000000000"),
    *(".text", ".globl _JIT_ENTRY"),
]


@pytest.mark.parametrize(
    ("constant", "body", "target"),
    [
        (ELF_CONSTANT, ["movsd .LCPI0_0(%rip), %xmm0", "jmp _JIT_DEOPT"], X86),
        (ELF_CONSTANT, ["movabsq $.LCPI0_0, %rax", "jmp _JIT_DEOPT"], X86),
        (ELF_CONSTANT, ["adrp x8, .LCPI0_0", "ldr d0, [x8, :lo12:.LCPI0_0]", "b _JIT_DEOPT"], ARM),
        (MACHO_CONSTANT, ["adrp x8, lCPI0_0@PAGE", "ldr d0, [x8, lCPI0_0@PAGEOFF]", "b __JIT_DEOPT"], MAC_ARM),
        (COFF_CONSTANT, ['movsd "__real@3ff8000000000000"(%rip), %xmm0', "rex64 jmpq *%rax"], WINDOWS),
        # Without quotes before LLVM 21:
        (
            [line.replace('"__real@3ff8000000000000"', "__real@3ff8000000000000") for line in COFF_CONSTANT],
            ["movsd __real@3ff8000000000000(%rip), %xmm0", "rex64 jmpq *%rax"],
            WINDOWS,
        ),
        # Nothing uses it any more; but the way back into .text stands behind it.
        (ELF_CONSTANT, ["jmp _JIT_DEOPT"], X86),
    ],
    ids=["elf", "elf, medium model", "elf, aarch64", "macho", "coff", "coff, no quotes", "unused"],
)
def test_constants_before_the_code_are_kept(constant: list[str], body: list[str], target: object) -> None:
    label = "__JIT_ENTRY:" if target is MAC_ARM else "_JIT_ENTRY:"
    text = "\n".join(line if line.endswith(":") else f"\t{line}" for line in [*constant, label, *body]) + "\n"
    after = lines(asmopt.rewrite("_UOP", text, target, "any"))  # type: ignore[arg-type]
    assert [line for line in after if "_JIT_CONTINUE" not in line] == [*constant, label, *body]


def test_a_loop_at_the_entry_behind_a_constant_is_kept() -> None:
    body = [".LBB0_1:", "addsd .LCPI0_0(%rip), %xmm0", "jne .LBB0_1", "jmp _JIT_DEOPT"]
    text = "\n".join([*ELF_CONSTANT, "_JIT_ENTRY:", *(f" {line}" for line in body)]) + "\n"
    assert lines(asmopt.rewrite("_UOP", text, X86, "any"))[: len(ELF_CONSTANT) + 5] == [
        *ELF_CONSTANT, "_JIT_ENTRY:", *body
    ]  # fmt: skip


def test_the_section_of_a_constant_is_that_of_an_unused_one_before_it() -> None:
    body = ["movsd .LCPI1_1(%rip), %xmm0", "jmp _JIT_DEOPT"]
    constants = [".section .rodata.cst8", ".LCPI1_0:", ".quad 0", ".LCPI1_1:", ".quad 1", ".text"]
    after = rewritten("je helper", "jmp _JIT_DEOPT", ".Lend:", *constants, "helper:", *body)
    assert [line for line in after if line in constants] == constants


def test_constants_of_code_that_is_dropped_are_dropped() -> None:
    constants = [".section .rodata.cst8", ".LCPI1_0:", ".quad 0", ".text"]
    after = rewritten("jmp _JIT_DEOPT", ".Lend:", *constants, "helper:", "movsd .LCPI1_0(%rip), %xmm0", "retq")
    assert after == ["jmp _JIT_DEOPT", ".L_JIT_CONTINUE:"]


def test_a_function_whose_address_is_taken_is_dropped() -> None:
    """As upstream does: jit.c has a function of this name, and the hole is filled with its address."""
    for name in ("helper", "Lhelper", "helper.L"):
        after = rewritten(f"leaq {name}(%rip), %rdi", "jmp _JIT_DEOPT", f"{name}:", "incq %rax", "retq")
        assert after == [f"leaq {name}(%rip), %rdi", "jmp _JIT_DEOPT", ".L_JIT_CONTINUE:"]


def test_code_behind_an_indirect_jump_counts_as_reachable() -> None:
    """Upstream's quirk: the bytes are kept."""
    assert "incq %rax" in rewritten("jmpq *%rax", ".LBB0_1:", "incq %rax", "jmp _JIT_DEOPT")


def test_functions_beside_the_entry_are_kept() -> None:
    """Outlined by the compiler, reached by a call alone (CPython #142907)."""
    body = ["callq helper", "jmp _JIT_CONTINUE", ".type helper,@function", "helper:", "incq %rax", "retq"]
    assert {"helper:", "incq %rax", "retq"} <= set(rewritten(*body))


def test_a_loop_is_left_alone() -> None:
    body = [".LBB0_1:", "decq %rax", "jne .LBB0_1", "jmp _JIT_CONTINUE"]
    assert rewritten(*body) == [*body[:3], ".L_JIT_CONTINUE:"]


def test_no_uop_is_rewritten_into_another_meaning() -> None:
    """Follow every path through a diamond before and after: it ends where it ended."""
    body = [
        *("testq %rax, %rax", "je .LBB0_2", "jmp .LBB0_1", ".LBB0_1:", "testq %rbx, %rbx", "jne .LBB0_3"),
        *("jmp _JIT_DEOPT", ".LBB0_2:", "jmp _JIT_ERROR_TARGET", ".LBB0_3:", "incq %rcx", "jmp _JIT_CONTINUE"),
    ]

    def walk(text: list[str], zero: dict[str, bool]) -> tuple[str, list[str]]:
        """Interpret the conditions of tests against zero; return where control ends, and what was done."""
        done: list[str] = []
        flag, at = False, 0
        while at < len(text):
            mnemonic, _, operand = text[at].partition(" ")
            at += 1
            taken = {"je": flag, "jne": not flag, "jmp": True}.get(mnemonic)
            if mnemonic == "testq":
                flag = zero[operand.split(",")[0]]
            elif taken:
                if f"{operand}:" not in text:
                    return operand, done
                at = text.index(f"{operand}:")
            elif taken is None and not mnemonic.endswith(":"):
                done.append(text[at - 1])
            elif mnemonic == ".L_JIT_CONTINUE:":
                return "_JIT_CONTINUE", done
        return "_JIT_CONTINUE", done

    after = rewritten(*body)
    assert len(after) < len(body)
    for a in (True, False):
        for b in (True, False):
            zero = {"%rax": a, "%rbx": b}
            assert walk(after, zero) == walk(body, zero)


def test_the_frame_pointer_is_reserved() -> None:
    body = ["pushq %rbp", "movq %rsp, %rbp", "popq %rbp", "jmp _JIT_CONTINUE"]
    assert "frame pointer is modified" in refusal(*body, frames="reserved").what
    assert rewritten(*body, frames="any")[0] == "pushq %rbp"
    arm = ["stp x29, x30, [sp, #-16]!", "b _JIT_CONTINUE"]
    assert "frame pointer is modified" in refusal(*arm, frames="reserved", target=ARM).what


# aarch64


def test_branches_out_of_the_uop_are_marked() -> None:
    after = rewritten("b.eq _JIT_ERROR_TARGET", "add x0, x0, #1", "b _JIT_CONTINUE", target=ARM)
    assert after[0].startswith("CUSTOM_AARCH64_BRANCH19_JIT_RELOCATION__JIT_ERROR_TARGET_JIT_RELOCATION_")
    assert after[1] == "b.eq 0"


def test_short_branches_do_not_leave_the_uop() -> None:
    """tbz reaches 32 KiB: it is neither inverted nor threaded out of the uop."""
    body = ["tbz w0, #3, .LBB0_2", "b _JIT_DEOPT", ".LBB0_2:", "add x0, x0, #1", "b _JIT_CONTINUE"]
    assert rewritten(*body, target=ARM)[:2] == ["tbz w0, #3, .LBB0_2", "b _JIT_DEOPT"]
    body = ["tbz w0, #3, .LBB0_2", "add x0, x0, #1", "b _JIT_CONTINUE", ".LBB0_2:", "b _JIT_DEOPT"]
    assert rewritten(*body, target=ARM)[0] == "tbz w0, #3, .LBB0_2"


def load(register: str, symbol: str) -> list[str]:
    return [f"adrp {register}, :got:{symbol}", f"ldr {register}, [{register}, :got_lo12:{symbol}]"]


def test_small_operands_are_folded_into_moves() -> None:
    after = rewritten(*load("x8", "_JIT_OPARG_16"), "b _JIT_CONTINUE", target=ARM)
    assert after[1:2] == ["movz x8, 0"]
    assert after[0].startswith("CUSTOM_AARCH64_CONST16a_JIT_RELOCATION_CONST_JIT_OPARG_JIT_RELOCATION_")
    assert not [line for line in after if "ldr" in line]
    after = rewritten(*load("x8", "_JIT_OPERAND0_32"), "b _JIT_CONTINUE", target=ARM)
    assert [line for line in after if line.startswith("mov")] == ["movz x8, 0", "movk x8, 0, lsl #16"]


def test_the_mask_of_a_folded_operand_goes_away() -> None:
    after = rewritten(*load("x8", "_JIT_OPARG_16"), "and w8, w8, #0xffff", "b _JIT_CONTINUE", target=ARM)
    assert not [line for line in after if line.startswith("and")]
    after = rewritten(*load("x8", "_JIT_OPARG_16"), "and w9, w8, #0xffff", "b _JIT_CONTINUE", target=ARM)
    assert "and w9, w8, #0xffff" in after


def test_a_register_that_is_used_in_between_is_not_folded() -> None:
    first, second = load("x8", "_JIT_OPARG_16")
    after = rewritten(first, "add x8, x8, #1", second, "b _JIT_CONTINUE", target=ARM)
    assert not [line for line in after if line.startswith("movz")]
    assert second in after
    # Another register in between does not disturb:
    after = rewritten(first, "add x9, x9, #1", second, "b _JIT_CONTINUE", target=ARM)
    assert "movz x8, 0" in after


def test_halves_of_different_operands_are_not_folded() -> None:
    after = rewritten(load("x8", "_JIT_OPARG_16")[0], load("x8", "_JIT_OPERAND0_16")[1], "b _JIT_CONTINUE", target=ARM)
    assert not [line for line in after if line.startswith("movz")]


def test_pairs_that_load_from_a_slot_are_marked() -> None:
    after = rewritten(*load("x8", "_JIT_EXECUTOR"), "b _JIT_CONTINUE", target=ARM)
    assert after[0].startswith("CUSTOM_AARCH64_CONST33a_JIT_PAIR__JIT_EXECUTOR_JIT_PAIR_")
    assert after[2].startswith("CUSTOM_AARCH64_CONST33b_JIT_PAIR__JIT_EXECUTOR_JIT_PAIR_")
    assert [after[1], after[3]] == load("x8", "_JIT_EXECUTOR")


def test_a_pair_that_is_split_by_a_block_is_not_marked() -> None:
    first, second = load("x8", "_JIT_EXECUTOR")
    after = rewritten(first, "cbz x0, .LBB0_1", ".LBB0_1:", second, "b _JIT_CONTINUE", target=ARM)
    assert not [line for line in after if "JIT_PAIR" in line]
    assert {first, second} <= set(after)


# Frames (LLVM 19 and 20)


def test_x86_frames_are_taken_out() -> None:
    body = ["pushq %rbp", "movq %rsp, %rbp", "subq $32, %rsp", "movq %rax, -8(%rbp)", "callq f",
            "movq -8(%rbp), %rax", "addq $32, %rsp", "popq %rbp", "jmp _JIT_CONTINUE"]  # fmt: skip
    after = rewritten(*body, frames="all")
    assert after == [
        "subq $40, %rsp", "movq %rax, 24(%rsp)", "callq f", "movq 24(%rsp), %rax", "addq $40, %rsp", ".L_JIT_CONTINUE:",
    ]  # fmt: skip


def test_an_empty_x86_frame_leaves_nothing() -> None:
    body = ["pushq %rbp", "movq %rsp, %rbp", "incq %rax", "popq %rbp", "jmp _JIT_CONTINUE"]
    assert rewritten(*body, frames="all") == ["incq %rax", ".L_JIT_CONTINUE:"]


@pytest.mark.parametrize(
    "line",
    [
        "leaq -32(%rbp), %rsp",
        "movq %rbp, %rax",
        "andq $-64, %rsp",
        "movq %rsp, %rax",
        "xchgq %rsp, %rbp",
        "leave",
        "pushq $5",
        "pushfq",
        "popq (%rax)",
        "enter $8, $0",
    ],
)
def test_other_uses_of_the_x86_frame_are_refused(line: str) -> None:
    body = ["pushq %rbp", "movq %rsp, %rbp", line, "popq %rbp", "jmp _JIT_CONTINUE"]
    if line == "leave":
        body = [*body[:2], line, body[-1]]
    error = refusal(*body, frames="all")
    assert "LLVM 21" in error.fix


def test_paths_that_meet_with_different_stacks_are_refused() -> None:
    body = ["pushq %rbp", "movq %rsp, %rbp", "je .LBB0_1", "subq $16, %rsp", ".LBB0_1:", "popq %rbp",
            "jmp _JIT_CONTINUE"]  # fmt: skip
    assert "different depths" in refusal(*body, frames="all").what


def test_arm_frames_are_taken_out() -> None:
    body = ["stp x29, x30, [sp, #-16]!", "mov x29, sp", "bl f", "ldp x29, x30, [sp], #16", "b _JIT_CONTINUE"]
    assert rewritten(*body, frames="all", target=ARM) == [
        "str x30, [sp, #-16]!", "bl f", "ldr x30, [sp], #16", ".L_JIT_CONTINUE:",
    ]  # fmt: skip
    leaf = [body[0], body[1], "add x0, x0, #1", *body[3:]]
    assert rewritten(*leaf, frames="all", target=ARM) == ["add x0, x0, #1", ".L_JIT_CONTINUE:"]


@pytest.mark.parametrize(
    "line", ["mov x0, x29", "add sp, x29, #16", "and sp, x0, #0xfffffffffffffff0", "ldr x29, [x0]"]
)
def test_other_uses_of_the_arm_frame_are_refused(line: str) -> None:
    body = ["stp x29, x30, [sp, #-16]!", "mov x29, sp", line, "ldp x29, x30, [sp], #16", "b _JIT_CONTINUE"]
    refusal(*body, frames="all", target=ARM)


SLOT = ["sub sp, sp, #48", "stp x29, x30, [sp, #32]", "add x29, sp, #32"]
SLOT_END = ["ldp x29, x30, [sp, #32]", "add sp, sp, #48", "b _JIT_CONTINUE"]


def test_arm_locals_are_found_from_sp() -> None:
    body = [*SLOT, "stur x8, [x29, #-8]", "ldurb w9, [x29, #-12]", "str x8, [x29]", "sub x0, x29, #16",
            "add x1, x29, #4", "bl f", *SLOT_END]  # fmt: skip
    assert rewritten(*body, frames="all", target=ARM) == [
        "sub sp, sp, #48", "str x30, [sp, #40]", "str x8, [sp, #24]", "ldrb w9, [sp, #20]", "str x8, [sp, #32]",
        "add x0, sp, #16", "add x1, sp, #36", "bl f", "ldr x30, [sp, #40]", "add sp, sp, #48", ".L_JIT_CONTINUE:",
    ]  # fmt: skip


def test_arm_locals_below_a_pushed_pair_are_found() -> None:
    body = ["stp x29, x30, [sp, #-16]!", "mov x29, sp", "sub sp, sp, #32", "stur x8, [x29, #-8]", "bl f",
            "add sp, sp, #32", "ldp x29, x30, [sp], #16", "b _JIT_CONTINUE"]  # fmt: skip
    assert rewritten(*body, frames="all", target=ARM) == [
        "str x30, [sp, #-16]!", "sub sp, sp, #32", "str x8, [sp, #24]", "bl f", "add sp, sp, #32",
        "ldr x30, [sp], #16", ".L_JIT_CONTINUE:",
    ]  # fmt: skip


def test_an_arm_function_that_calls_nothing_keeps_its_room() -> None:
    body = ["stp x29, x30, [sp, #-32]!", "mov x29, sp", "str x8, [sp, #16]", "ldp x29, x30, [sp], #32", "b _JIT_DEOPT"]
    assert rewritten(*body, frames="all", target=ARM)[:4] == [
        "sub sp, sp, #32", "str x8, [sp, #16]", "add sp, sp, #32", "b _JIT_DEOPT",
    ]  # fmt: skip
    body = [*SLOT, "str x8, [sp, #16]", *SLOT_END]
    assert rewritten(*body, frames="all", target=ARM) == [
        "sub sp, sp, #48", "str x8, [sp, #16]", "add sp, sp, #48", ".L_JIT_CONTINUE:",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ([*SLOT, "ldp x29, x30, [sp], #48", "b _JIT_CONTINUE"], "restored in another"),
        ([*SLOT, "add x29, sp, #16", *SLOT_END], "set in more than one way"),
        ([*SLOT, "str x8, [sp, #-16]!", *SLOT_END], "stack cannot be followed"),
        ([*SLOT, "ldr x8, [sp], #16", *SLOT_END], "stack cannot be followed"),
        ([*SLOT, "sub sp, sp, x8", *SLOT_END], "stack cannot be followed"),
        (["b _JIT_CONTINUE", ".type data,@object", "data:", "mov x0, x29"], "no function whose frame is understood"),
    ],
)
def test_arm_frames_of_another_shape_are_refused(body: list[str], why: str) -> None:
    error = refusal(*body, frames="all", target=ARM)
    assert why in error.what
    assert error.fix == "report this with the version of clang, or use LLVM 21 or newer"


PROLOGUE = ["pushq %rbp", "movq %rsp, %rbp"]


def test_x86_stack_is_followed_through_every_way_to_move_it() -> None:
    body = [*PROLOGUE, "pushq %rbx", "leaq -24(%rsp), %rsp", "movq %rax, -40(%rbp)", "callq f", "leaq 24(%rsp), %rsp",
            "popq %rbx", "popq %rbp", "jmp _JIT_DEOPT"]  # fmt: skip
    assert rewritten(*body, frames="all")[:-1] == [
        "pushq %rax", "pushq %rbx", "leaq -24(%rsp), %rsp", "movq %rax, -8(%rsp)", "callq f", "leaq 24(%rsp), %rsp",
        "popq %rbx", "popq %rcx", "jmp _JIT_DEOPT",
    ]  # fmt: skip


def popped(*body: str, before: tuple[str, ...] = ("callq f",)) -> str:
    """Return what a frame becomes at its end: what stands in the place of `popq %rbp`, which is the first in `body`."""
    after = rewritten(*PROLOGUE, *before, "popq %rbp", *body, frames="all")
    return after[1 + len(before)]


def test_a_register_that_is_still_used_is_not_popped_into() -> None:
    assert popped("movb %cl, %al", "jmp _JIT_DEOPT") == "popq %r8"
    # Without any, rsp moves as popq moves it: the flags may be needed.
    assert popped("movq %rcx, (%r8)", "movl %r9d, %r11d", "jmp _JIT_DEOPT") == "leaq 8(%rsp), %rsp"
    # What moved it together with an addition before may do so still.
    body = [*PROLOGUE, "subq $16, %rsp", "callq f", "addq $16, %rsp", "popq %rbp", "jmp _JIT_DEOPT"]
    assert rewritten(*body, frames="all")[2] == "addq $24, %rsp"


def test_a_register_that_a_later_block_reads_is_not_popped_into() -> None:
    """A frame may be taken down before a branch, with what was computed in it still in registers."""
    behind = ("movq %rcx, (%r13)", "jmp _JIT_CONTINUE", ".LBB0_2:", "movq %r8, 8(%r13)", "jmp _JIT_DEOPT")
    before = ("callq f", "movq 8(%rax), %rcx", "testq %rax, %rax")
    assert popped("je .LBB0_2", *behind, before=before) == "popq %r9"
    everywhere = ("movq %rcx, (%r9)", "jmp _JIT_CONTINUE", ".LBB0_2:", "movq %r8, 8(%r11)", "jmp _JIT_DEOPT")
    assert popped("je .LBB0_2", *everywhere, before=before) == "leaq 8(%rsp), %rsp"


@pytest.mark.parametrize(
    ("line", "register"),
    [
        ("movq (%r13), %rcx", "rcx"),
        ("movl $1, %ecx", "rcx"),
        ("xorl %ecx, %ecx", "rcx"),
        ("movzbl (%r13), %ecx", "rcx"),
        ("popq %rcx", "rcx"),
        # These keep some of it, or use it themselves:
        ("movb $1, %cl", "r8"),
        ("movzbl %cl, %ecx", "r8"),
        ("leaq 1(%rcx), %rcx", "r8"),
        ("movq %rax, (%rcx)", "r8"),
        ("cmovneq %rax, %rcx", "r8"),
        ("xorl %eax, %ecx", "r8"),
        ("rep movsq (%rsi), %es:(%rdi)", "r8"),
    ],
)
def test_a_register_that_a_later_block_writes_first_is_free(line: str, register: str) -> None:
    if line == "popq %rcx":
        line = "pushq %rax\n\tpopq %rcx"
    assert popped("je .LBB0_1", ".LBB0_1:", line, "movq %rcx, (%r13)", "jmp _JIT_DEOPT") == f"popq %{register}"


def test_a_loop_is_followed_to_its_end() -> None:
    body = ("je .LBB0_2", ".LBB0_1:", "incq %rax", "jne .LBB0_1", "movq %rcx, (%r13)", ".LBB0_2:", "jmp _JIT_DEOPT")
    assert popped(*body) == "popq %r8"


@pytest.mark.parametrize(
    ("jump", "register"),
    [("jmp PyFoo", "r11"), ("jmpq *PyFoo@GOTPCREL(%rip)", "r11"), ("jmpq *%rax", "r11"), ("retq", "rcx")],
)
def test_a_function_of_c_leaves_with_arguments_in_registers(jump: str, register: str) -> None:
    """What an outlined helper passes on may be in rcx, r8 and r9; what a stencil passes on never is."""
    helper = [".type helper,@function", "helper:", *PROLOGUE, "callq f", "popq %rbp", jump]
    after = rewritten("callq helper", "nop", "jmp _JIT_DEOPT", *helper, frames="all")
    assert after[-3:-1] == [f"popq %{register}", jump]


def test_a_stencil_leaves_with_arguments_for_other_functions_only() -> None:
    assert popped("jmp _JIT_DEOPT") == popped("jmpq *%rax") == popped("jmpq *_JIT_JUMP_TARGET@GOTPCREL(%rip)")
    assert popped("jmp _JIT_DEOPT") == "popq %rcx"
    assert popped("jmp PyFoo") == popped("jmpq *PyFoo@GOTPCREL(%rip)") == "popq %r11"
    # So does a call that follows in another block, without a frame:
    assert popped("je .LBB0_1", ".LBB0_1:", "pushq %rax", "callq g", "popq %rax", "jmp _JIT_DEOPT") == "popq %r11"


def test_the_red_zone_holds_what_is_near() -> None:
    near = [*PROLOGUE, "movq %rax, -120(%rbp)", "popq %rbp", "jmp _JIT_DEOPT"]
    assert rewritten(*near, frames="all")[0] == "movq %rax, -128(%rsp)"
    # One byte on, rsp must stay where it was.
    far = [*PROLOGUE, "movb %al, -121(%rbp)", "popq %rbp", "jmp _JIT_DEOPT"]
    assert rewritten(*far, frames="all")[:2] == ["pushq %rax", "movb %al, -121(%rsp)"]


def test_code_behind_a_call_that_does_not_return_may_have_another_depth() -> None:
    body = [*PROLOGUE, "je .LBB0_1", "callq abort", ".LBB0_1:", "callq f", "popq %rbp", "jmp _JIT_DEOPT"]
    assert "callq abort" in rewritten(*body, frames="all")
    body = [
        *PROLOGUE,
        "jne .LBB0_2",
        "subq $16, %rsp",
        "callq abort",
        ".LBB0_2:",
        "callq f",
        "popq %rbp",
        "jmp _JIT_DEOPT",
    ]
    assert rewritten(*body, frames="all")[-3:] == ["popq %rcx", "jmp _JIT_DEOPT", ".L_JIT_CONTINUE:"]


def test_a_call_before_cold_code_is_not_turned_around() -> None:
    body = ["callq .LBB0_1", "jmp _JIT_DEOPT", ".LBB0_1:", "incq %rax", "jmp _JIT_CONTINUE"]
    error = refusal(*body)
    assert "direct call is followed by a jump to cold code" in error.what


def test_halves_in_different_registers_are_not_folded() -> None:
    first, second = load("x8", "_JIT_OPARG_16")
    after = rewritten(first, second.replace("ldr x8", "ldr x9"), "b _JIT_CONTINUE", target=ARM)
    assert not [line for line in after if line.startswith("movz")]
    after = rewritten(first, second.replace("[x8", "[x9"), "b _JIT_CONTINUE", target=ARM)
    assert not [line for line in after if line.startswith("movz")]


def test_a_mask_of_a_register_that_holds_no_constant_stays() -> None:
    after = rewritten("and w8, w8, #0xffff", "b _JIT_CONTINUE", target=ARM)
    assert after[0] == "and w8, w8, #0xffff"


def test_both_halves_of_a_wide_operand_are_marked() -> None:
    after = rewritten(*load("x8", "_JIT_OPERAND0_32"), "b _JIT_CONTINUE", target=ARM)
    marks = [line.split("_JIT_RELOCATION_")[:2] for line in after if "_JIT_RELOCATION_" in line]
    assert marks == [
        ["CUSTOM_AARCH64_CONST16a", "CONST_JIT_OPERAND0"],
        ["CUSTOM_AARCH64_CONST16b", "CONST_JIT_OPERAND0"],
    ]


def test_nothing_goes_on_behind_a_return() -> None:
    for target, back, more, jump in ((X86, "retq", "incq %rax", "jmp"), (ARM, "ret", "add x0, x0, #1", "b")):
        after = rewritten(back, ".LBB0_1:", more, f"{jump} _JIT_DEOPT", target=target)
        assert after == [back, ".L_JIT_CONTINUE:"]


@pytest.mark.parametrize(
    ("condition", "opposite"),
    [("eq", "ne"), ("lt", "ge"), ("gt", "le"), ("vs", "vc"), ("mi", "pl"), ("cs", "cc"), ("hs", "lo"), ("hi", "ls")],
)
def test_arm_conditions_have_their_opposites(condition: str, opposite: str) -> None:
    """Arm Architecture Reference Manual, table C1-1: pairs differ in their lowest bit; cs is hs, cc is lo."""
    for one, other in ((condition, opposite), (opposite, condition)):
        body = [f"b.{one} .LBB0_2", "b _JIT_DEOPT", ".LBB0_2:", "add x0, x0, #1", "b _JIT_CONTINUE"]
        assert f"b.{other} 0" in rewritten(*body, target=ARM)


def test_what_coff_assigns_is_no_statement_to_refuse() -> None:
    reading.read(asm("@feat.00 = 0").replace("\t@feat", "@feat") + "\tnop\n", syntax())


# Data that is not aligned

FLIP = "xorps .LCPI0_0(%rip), %xmm0"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (FLIP, ["movups .LCPI0_0(%rip), %xmm15", "xorps %xmm15, %xmm0"]),
        ("pand .LCPI0_0+16(%rip), %xmm1 # mask", ["movups .LCPI0_0+16(%rip), %xmm15", "pand %xmm15, %xmm1"]),
        ("andnpd SYMBOL(%rip), %xmm14", ["movups SYMBOL(%rip), %xmm15", "andnpd %xmm15, %xmm14"]),
        ("movaps .LCPI0_0(%rip), %xmm1", ["movups .LCPI0_0(%rip), %xmm1"]),
        ("movdqa .LCPI0_0(%rip), %xmm15", ["movups .LCPI0_0(%rip), %xmm15"]),
        ("xorps %xmm1, %xmm0", ["xorps %xmm1, %xmm0"]),
        ("addsd .LCPI0_0(%rip), %xmm0", ["addsd .LCPI0_0(%rip), %xmm0"]),
        ("movaps 16(%rsp), %xmm0", ["movaps 16(%rsp), %xmm0"]),
        ("vxorps .LCPI0_0(%rip), %xmm1, %xmm0", ["vxorps .LCPI0_0(%rip), %xmm1, %xmm0"]),
    ],
)
def test_data_is_read_wherever_it_is(line: str, expected: list[str]) -> None:
    assert rewritten(line, "jmp _JIT_JUMP_TARGET", unaligned=True)[: len(expected)] == expected
    assert rewritten(line, "jmp _JIT_JUMP_TARGET")[0] == " ".join(line.split())


@pytest.mark.parametrize("label", ["__xmm@80", '"__xmm@80"'])
def test_windows_keeps_registers_that_linux_does_not(label: str) -> None:
    text = f"\t.text\n\t.def\t_JIT_ENTRY;\n\t.globl\t_JIT_ENTRY\n_JIT_ENTRY:\n\txorps\t{label}(%rip), %xmm0\n\tjmp\tX\n"
    found = lines(asmopt.rewrite("_UOP", text, WINDOWS, "any", unaligned=True))
    assert found[4:6] == [f"movups {label}(%rip), %xmm5", "xorps %xmm5, %xmm0"]


@pytest.mark.parametrize("other", ["movaps %xmm15, %xmm1", "movq %rax, %xmm15", "vmovups (%rdi), %ymm15"])
def test_a_register_that_is_in_use_is_not_taken(other: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        rewritten(FLIP, other, "jmp _JIT_JUMP_TARGET", unaligned=True)
    assert caught.value.what == "%xmm15 is not free to read data that may not be aligned"
    assert caught.value.where == f"uop _UOP, {FLIP}"
    # Nothing needs it here.
    assert rewritten("movaps .LCPI0_0(%rip), %xmm0", other, "jmp X", unaligned=True)
