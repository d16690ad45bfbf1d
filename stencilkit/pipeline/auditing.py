"""From a header or an output folder to what a careful packager would object to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stencilkit import audit, dialects, disassemble
from stencilkit.errors import UsageError
from stencilkit.model.audit import Audit, Audited, Waiver, total_bytes
from stencilkit.pipeline.opening import Opened, open_header
from stencilkit.support import environ


def run(
    path: Path,
    *,
    waivers: Sequence[Waiver] = (),
    demanded: Sequence[str] = (),
    against: Path | None = None,
    growth: float = 0.0,
    triple: str | None = None,
) -> Audit:
    """Audit one header; `against` are the stencils that it would replace, `growth` what it may grow, in percent.

    Raises: UsageError, HeaderError, ManifestError, TargetError.
    """
    opened = open_header(path, triple)
    baseline = _baseline(opened, against, triple) if against is not None else None
    arch = opened.target.arch
    audited = Audited(
        stencils=opened.header.stencils,
        target=opened.target,
        line2=opened.header.line2,
        code={group.name: disassemble.decode(group.code, arch) for group in opened.header.stencils.groups},
        reserved_frame_pointer=dialects.dialect_for(opened.header.form.series).RESERVES_FRAME_POINTER,
        baseline=baseline,
        allowed_growth=growth,
    )
    return audit.run(opened.label, audited, waivers, demanded, environ.today())


def _baseline(opened: Opened, against: Path, triple: str | None) -> int:
    other = open_header(against, triple)
    if (other.header.form.series, other.target.triple) != (opened.header.form.series, opened.target.triple):
        raise UsageError(
            f"{against} is of another CPython or target than {opened.label}",
            fix="give --against the stencils that these replace",
        )
    return total_bytes(other.header.stencils)
