"""The digests that identify stencils. Their definition is docs/digests.md; a change here is a new version there.

Content digests are over code, data and holes alone: no path, time, comment, ordinal or vendor enters them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from stencilkit.model.stencil import Patch, PatchForm, StencilGroup, StencilSet


def canonical_patch(part: str, patch: Patch) -> str:
    """Spell a patch without ordinals: part, function, offsets, form, value, symbol, addend."""
    offsets = ",".join(f"{offset:#x}" for offset in patch.offsets) or "-"
    return (
        f"patch {part} {patch.func} {offsets} {patch.form.value} "
        f"{patch.value.value} {patch.symbol or '-'} {patch.addend:#x}"
    )


def canonical_group(group: StencilGroup) -> str:
    """Spell a stencil group as the text that its digest is over."""
    lines = [f"stencil {group.name}"]
    for part, stencil in (("code", group.code), ("data", group.data)):
        lines.append(f"{part} {len(stencil.body)} {stencil.body.hex() or '-'}")
        lines.extend(canonical_patch(part, patch) for patch in stencil.patches if patch.form is not PatchForm.VOID)
    return "\n".join(lines) + "\n"


def group_digest(group: StencilGroup) -> str:
    """Digest one stencil group."""
    return hashlib.sha256(canonical_group(group).encode()).hexdigest()


def content_digest(groups: Mapping[str, str], extras: Mapping[str, str]) -> str:
    """Digest all stencils of a header, given the digest of each, and what is beside the header.

    `extras` maps a role ("shim", "unwind") to the digest of that file's content.
    """
    lines = ["stencilkit content 1"]
    lines += [f"stencil {name} {digest}" for name, digest in sorted(groups.items())]
    lines += [f"extra {role} {digest}" for role, digest in sorted(extras.items())]
    return _digest(lines)


def interface(stencils: StencilSet) -> tuple[str, ...]:
    """List what the stencils demand of jit.c and the interpreter: uops, values, functions, symbols."""
    patches = [patch for group in stencils.groups for patch in group.patches if patch.form is not PatchForm.VOID]
    lines = {f"uop {group.name}" for group in stencils.uops}
    lines |= {f"value {patch.value.value}" for patch in patches}
    lines |= {f"function {patch.func}" for patch in patches}
    lines |= {f"symbol {patch.symbol}" for patch in patches if patch.symbol}
    return tuple(sorted(lines))


def interface_digest(stencils: StencilSet) -> str:
    """Digest the interface of all stencils."""
    return _digest(["stencilkit interface 1", *interface(stencils)])


def files_digest(files: Mapping[str, str]) -> str:
    """Digest many files as one, given SHA-256 by name: over what sha256sum prints for them in the order of names."""
    return _digest(f"{sha256}  {name}" for name, sha256 in sorted(files.items()))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
