"""One stencil as the rules see it: decoded, and followed from its start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stencilkit.audit import flow, machine
from stencilkit.audit.flow import Followed
from stencilkit.audit.machine import Stretch
from stencilkit.model.audit import Audited, Decoded
from stencilkit.model.stencil import Patch, PatchForm, StencilGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A stencil's code, its patches by place, and what following it found."""

    group: StencilGroup
    arch: str
    code: tuple[Decoded, ...]
    starts: frozenset[int]
    unit: Stretch
    followed: Followed

    @property
    def patches(self) -> Iterator[tuple[int, Patch]]:
        """Yield the patches of the code with each place that they write to."""
        for patch in self.group.code.patches:
            if patch.form is not PatchForm.VOID:
                yield from ((place, patch) for place in machine.places(patch))


def examine(group: StencilGroup, audited: Audited) -> Examined:
    """Decode and follow one stencil."""
    code = audited.decode(group.code)
    arch = audited.target.arch
    unit = machine.unit(group, arch, audited.target.pointer_bytes)
    followed = flow.follow(unit, code, arch)
    # What is in a jump table behind the code is not an instruction, whatever it looks like.
    code = tuple(item for item in code if item.offset < followed.table)
    return Examined(
        group=group,
        arch=arch,
        code=code,
        starts=frozenset(item.offset for item in code),
        unit=unit,
        followed=followed,
    )
