"""What faults where memory is not aligned, and that no build makes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import disassemble
from stencilkit.errors import ObjectError
from stencilkit.model import alignment
from stencilkit.model.stencil import HoleValue, Patch, Stencil, StencilSet
from stencilkit.pipeline import aligning
from stencilkit.support.cache import NoStore, Store
from tests.proofs import group

DATA = Patch(func="patch_32r", offsets=(3,), value=HoleValue.DATA, addend=-4)


def found(code: str, arch: str = "x86_64") -> list[str]:
    items = disassemble.decode(Stencil(body=bytes.fromhex(code), patches=()), arch)
    return [item.mnemonic for item in alignment.misaligned(items, arch)]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("0f570500000000", "xorps"),
        ("660fef4708", "pxor"),
        ("410f284508", "movaps"),
        ("660f7f07", "movdqa"),
        ("c5f82807", "vmovaps"),
        ("c5fd6f07", "vmovdqa"),
    ],
)
def test_what_wants_sixteen_bytes_aligned_is_found(code: str, name: str) -> None:
    assert found(code) == [name]


@pytest.mark.parametrize(
    "code",
    [
        "0f1007",  # movups xmm0, [rdi]
        "f30f6f07",  # movdqu
        "f20ff007",  # lddqu
        "c5f85707",  # vxorps xmm0, xmm0, [rdi]
        "c5f81007",  # vmovups
        "f20f584710",  # addsd: eight bytes
        "0f130410",  # movlps
        "0f57c1",  # xorps xmm0, xmm1
        "0f29742410",  # movaps [rsp + 0x10], xmm6: a frame, which the compiler aligns
    ],
)
def test_what_takes_any_address_is_not(code: str) -> None:
    assert found(code) == []


def test_no_instruction_of_aarch64_is() -> None:
    assert found("0004c03d", "aarch64") == []  # ldr q0, [x0, #16]


@pytest.mark.parametrize("code", ["0f100500000000", "488b0500000000", "c3"])
def test_a_build_takes_stencils_that_read_their_data_wherever_it_is(code: str) -> None:
    aligning.check(StencilSet(groups=(group(code, *([DATA] if len(code) > 2 else [])),)), "x86_64", NoStore())


def test_a_build_refuses_stencils_that_fault() -> None:
    faults = group("c3" + "0f570500000000", replace(DATA, offsets=(4,)))
    with pytest.raises(ObjectError) as caught:
        aligning.check(StencilSet(groups=(group("c3"), faults)), "x86_64", NoStore())
    assert caught.value.what.startswith("xorps xmm0, xmmword ptr [rip] faults unless its data is aligned")
    assert caught.value.where == f"uop {faults.name}, at 0x1"
    assert caught.value.fix


@pytest.mark.parametrize("code", ["0fb70500000000", "f30fbc0500000000", "0f4504c500000000", "0f483b0500000000"])
def test_what_reads_a_few_bytes_is_not_decoded(code: str) -> None:
    end = len(bytes.fromhex(code)) - 4
    assert not aligning._may_fault(group(code, replace(DATA, offsets=(end,))))


@pytest.mark.parametrize(
    ("code", "size", "is_refused"),
    [
        ("660f590408", 16, True),  # mulpd xmm0, [rax + rcx]
        ("660f590408", 8, False),  # another object's, as there are not sixteen bytes here
        ("c5f92801", 16, True),  # vmovapd xmm0, [rcx]
        ("f20f590408", 16, False),  # mulsd: eight bytes
        ("660f1001", 16, False),  # movupd
    ],
)
def test_data_whose_address_is_in_a_register_is_looked_at(code: str, size: int, *, is_refused: bool) -> None:
    at = replace(DATA, func="patch_64", offsets=(2,), addend=0)
    # mov rcx, data
    found = StencilSet(groups=(group(f"48b9{'00' * 8}{code}", at, data=bytes(size)),))
    if is_refused:
        with pytest.raises(ObjectError):
            aligning.check(found, "x86_64", NoStore())
    else:
        aligning.check(found, "x86_64", NoStore())


@pytest.mark.parametrize(
    "code",
    [
        "0f570500000000",  # xorps
        "660f6f04c500000000",  # movdqa, with a scale
        "660f38000500000000",  # pshufb
        "660f380004c500000000",  # pshufb, with a scale
        "c5f8280500000000",  # vmovaps
        "c4c179280500000000",  # vmovapd, with three bytes of prefix
        "c4c1792804c500000000",  # the same, with a scale
        "62f17c480f280500000000",  # behind a prefix of AVX-512
        "c5f9e70500000000",  # vmovntdq
        "660f3a0f050000000008",  # palignr
        "480fc70d00000000",  # cmpxchg16b
        "6a0f0f580500000000",  # behind push 15
    ],
)
def test_what_may_want_alignment_is_decoded(code: str) -> None:
    body = bytes.fromhex(code)
    place = body.index(b"\0\0\0\0", 3)
    at = group(code, replace(DATA, offsets=(place,)))
    assert aligning._may_fault(at)
    with pytest.raises(ObjectError):
        aligning.check(StencilSet(groups=(at,)), "x86_64", NoStore())


def test_what_was_decoded_once_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, faults = group("0f1005" + "00" * 4, DATA), group("0f5705" + "00" * 4, DATA)
    store = Store(tmp_path)
    aligning.check(StencilSet(groups=(good,)), "x86_64", store)
    for _ in range(2):
        with pytest.raises(ObjectError):
            aligning.check(StencilSet(groups=(good, faults)), "x86_64", store)
    monkeypatch.setattr(disassemble, "decode", None)
    aligning.check(StencilSet(groups=(good, group("c3"))), "x86_64", store)
