"""Time the benchmarks of a built CPython, with the JIT off and on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stencilkit.errors import JitTestError
from stencilkit.jittest import running
from stencilkit.support.progress import Progress, counting

_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The best times of the benchmarks in seconds by name, or why there are none."""

    seconds: Mapping[str, float]
    failure: str = ""


def benchmark(interpreters: Sequence[running.Interpreter], progress: Progress) -> tuple[Timing, list[Timing]]:
    """Time the benchmarks with the JIT off (the first interpreter) and on (each), in turn.

    Raises: JitTestError where one fails or answers wrongly with the JIT off.
    """
    off = Timing(seconds={})
    on = [Timing(seconds={}) for _ in interpreters]
    with counting(progress, "benchmark rounds", _ROUNDS):
        for _ in range(_ROUNDS):
            off = _better(off, _time(interpreters[0], jit=False))
            on = [_better(best, _time(item, jit=True)) for best, item in zip(on, interpreters, strict=True)]
            progress.advance()
    if off.failure:
        raise JitTestError(
            f"the benchmarks without the JIT: CPython {off.failure.splitlines()[0]}",
            where=str(interpreters[0].program),
            details=off.failure,
            fix="run the tests with --no-benchmarks",
        )
    return off, on


def _better(best: Timing, now: Timing) -> Timing:
    if best.failure or now.failure:
        return Timing(seconds={}, failure=best.failure or now.failure)
    return Timing(seconds={name: min(found, best.seconds.get(name, found)) for name, found in now.seconds.items()})


def _time(interpreter: running.Interpreter, *, jit: bool) -> Timing:
    seconds, ended = running.ask(interpreter, "bench.py", jit=jit)
    return Timing(seconds=seconds, failure=ended)
