"""The assembly passes change where code lies, and nothing that it does: walked through before and after."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilkit import asmopt, targets
from stencilkit.asmopt import aarch64, graph, layout, reading, x86
from stencilkit.asmopt.syntax import InstructionSet, Syntax
from stencilkit.model.target import Target

TARGETS = {target.triple: target for target in targets.load().targets}
FAR = ("_JIT_ERROR_TARGET", "_JIT_JUMP_TARGET", "_JIT_CONTINUE", "_PyFoo")
STEPS = 60


@dataclass(frozen=True)
class Arch:
    """How to write the same program for an architecture: markers, tests of a bit, and branches on what they found."""

    target: Target
    instructions: InstructionSet
    mark: str
    test: str
    taken: dict[str, bool]
    """Branch to the value of the flag at which it is taken."""
    jump: str
    give_up: str


ARCHS = {
    "x86_64": Arch(
        TARGETS["x86_64-unknown-linux-gnu"], x86.INSTRUCTIONS, "addq ${}, %rax", "testq ${}, %rax",
        {"je": True, "jne": False, "js": True, "jns": False}, "jmp", "retq",
    ),
    "aarch64": Arch(
        TARGETS["aarch64-unknown-linux-gnu"], aarch64.INSTRUCTIONS, "add x0, x0, #{}", "tst x0, #{}",
        {"b.eq": True, "b.ne": False, "cbz x1,": True, "cbnz x1,": False, "tbz w1, #3,": True, "tbnz w1, #3,": False},
        "b", "ret",
    ),
}  # fmt: skip


@st.composite
def programs(draw: st.DrawFn, arch: Arch) -> list[str]:
    """Write a uop: blocks with a marker each, or none; every way for a block to end."""
    count = draw(st.integers(1, 7))
    labels = [f".LBB0_{index}" for index in range(count)]
    lines: list[str] = []
    for index in range(count):
        lines += [f"{labels[index]}:"] if index else []
        lines += [arch.mark.format(index + 1)] * draw(st.integers(0, 1))
        end = draw(st.sampled_from(["jump", "jump", "branch", "branch", "both", "return", "on"]))
        if end in ("branch", "both"):
            mnemonic = draw(st.sampled_from(sorted(arch.taken)))
            # tbz and tbnz do not reach beyond a uop, and clang does not let them.
            reach = labels if mnemonic.startswith("tb") else [*labels, *FAR]
            lines += [arch.test.format(100 + index), f"{mnemonic} {draw(st.sampled_from(reach[1:] or reach))}"]
            lines = lines[:-2] if lines[-1].endswith(labels[0]) else lines
        if end in ("jump", "both") or (end != "return" and index == count - 1):
            lines.append(f"{arch.jump} {draw(st.sampled_from([*labels[1:], *FAR]))}")
        elif end == "return":
            lines.append(arch.give_up)
    return lines


def assembly(lines: Sequence[str]) -> str:
    head = "\t.text\n\t.globl\t_JIT_ENTRY\n\t.type\t_JIT_ENTRY,@function\n_JIT_ENTRY:\n"
    return head + "".join(f"{line}\n" if line.endswith(":") else f"\t{line}\n" for line in lines)


def clean(text: str) -> list[str]:
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not re.match(r"\.(?:text|globl|type)\b", line)]


def walk(lines: Sequence[str], arch: Arch, answers: dict[int, bool]) -> tuple[list[str], str]:
    """Run a program whose tests have the given answers; return what was done, and where it left."""
    done: list[str] = []
    flag, at, hidden = False, 0, ""
    while at < len(lines) and len(done) < STEPS:
        line = lines[at]
        at += 1
        if line == ".L_JIT_CONTINUE:":
            return done, "_JIT_CONTINUE"
        if line.endswith(":"):
            # A branch whose target the label before it names.
            hidden = line.split("_JIT_RELOCATION_")[1] if "_JIT_RELOCATION_" in line else ""
            continue
        (branch, _, target), meant, hidden = line.rpartition(" "), hidden, ""
        if branch in arch.taken or branch == arch.jump:
            if branch == arch.jump or flag == arch.taken[branch]:
                if f"{target}:" not in lines:
                    return done, meant or target
                # Loops without a marker end, too.
                done.append("")
                at = lines.index(f"{target}:")
        elif line == arch.give_up:
            return done, "return"
        else:
            if number := re.fullmatch(re.escape(arch.test).replace(r"\{\}", r"(\d+)"), line):
                flag = answers[int(number[1])]
            done.append(line)
    return done, "still running" if len(done) >= STEPS else "fell out"


def marks(lines: Sequence[str], arch: Arch) -> Counter[str]:
    first = arch.mark.split()[0]
    return Counter(line for line in lines if line.split()[0] == first)


@pytest.mark.parametrize("name", ARCHS)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_every_path_does_what_it_did(name: str, data: st.DataObject) -> None:
    arch = ARCHS[name]
    before = ["_JIT_ENTRY:", *data.draw(programs(arch))]
    after = clean(asmopt.rewrite("_UOP", assembly(before[1:]), arch.target, "reserved"))
    for _ in range(2):
        answers = {number: data.draw(st.booleans()) for number in range(100, 108)}
        done, left = walk(before, arch, answers)
        done_after, left_after = walk(after, arch, answers)
        work = [line for line in done if line]
        work_after = [line for line in done_after if line]
        if "still running" in (left, left_after):
            shorter = min(len(work), len(work_after))
            assert work[:shorter] == work_after[:shorter]
        else:
            assert (work_after, left_after) == (work, left)


@pytest.mark.parametrize("name", ARCHS)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_code_is_neither_doubled_nor_made(name: str, data: st.DataObject) -> None:
    arch = ARCHS[name]
    before = data.draw(programs(arch))
    after = clean(asmopt.rewrite("_UOP", assembly(before), arch.target, "reserved"))
    assert marks(after, arch) <= marks(before, arch)
    labels = [line for line in after if line.endswith(":")]
    assert len(labels) == len(set(labels))
    assert after.count(".L_JIT_CONTINUE:") == 1
    assert after[-1] == ".L_JIT_CONTINUE:", "the next uop starts where the code ends"
    local = {word for line in after for word in re.findall(r"\.L\w+", line)}
    assert {f"{name}:" for name in local} <= set(labels)


def prepared(arch: Arch, lines: Sequence[str]) -> tuple[graph.Code, Syntax]:
    syntax = Syntax.of(arch.target, arch.instructions)
    return layout.mark_hot(layout.insert_continue_label(reading.read(assembly(lines), syntax), syntax)), syntax


@pytest.mark.parametrize("name", ARCHS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_passes_that_need_no_second_time(name: str, data: st.DataObject) -> None:
    """Inverting and threading open opportunities for each other, and are repeated; these two are not."""
    arch = ARCHS[name]
    code, syntax = prepared(arch, data.draw(programs(arch)))
    assert layout.mark_hot(code) == code
    once = layout.remove_unreachable(code, syntax)
    assert layout.remove_unreachable(once, syntax) == once


@pytest.mark.parametrize("name", ARCHS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_reading_and_writing_changes_nothing(name: str, data: st.DataObject) -> None:
    arch = ARCHS[name]
    text = assembly(data.draw(programs(arch)))
    read = reading.read(text, Syntax.of(arch.target, arch.instructions))
    assert graph.text(read) == re.sub(r"\b_JIT_CONTINUE\b", ".L_JIT_CONTINUE", text)
