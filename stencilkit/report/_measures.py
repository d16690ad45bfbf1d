"""What plots measure of a result; None where it is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.qualification import Result

Measure = Callable[[Result], float | None]


def _same(result: Result) -> float | None:
    if result.identical is None or result.sizes is None or not result.sizes.stencils:
        return None
    return 100 * result.identical / result.sizes.stencils


def growth(result: Result) -> float | None:
    """Compare the size of the code with that by upstream's LLVM, in percent."""
    if result.sizes is None or result.before is None or not result.before.code:
        return None
    return 100 * (result.sizes.code / result.before.code - 1)


def _seconds(result: Result) -> float | None:
    return (result.seconds or {}).get("built")


def _speed(result: Result) -> float | None:
    """Compare with what ran beside it: a minute later, the same machine is not as fast."""
    speed = result.speed or {}
    own, other = speed.get(result.cell.llvm), speed.get(result.reference)
    return 100 * own / other if own and other else None


PLOTS: Final[Mapping[str, tuple[str, str, Measure]]] = {
    "same": ("Stencils identical to upstream\u2019s LLVM", "%", _same),
    "code": ("Code, against that of upstream\u2019s LLVM", "%", growth),
    "build": ("Time of one build without cache", "s", _seconds),
    "speed": ("Speed of the JIT, against that with upstream\u2019s LLVM", "%", _speed),
}
