"""What tests of proofs share: answers, and stencils of a few instructions."""

from __future__ import annotations

from stencilkit.model.proof import Proof, Verdict
from stencilkit.model.stencil import Patch, Stencil, StencilGroup


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
