"""The one door to unicorn: both stencils are run on the same states, with stubs for what they call.

A run is worth what can be seen of it: calls with arguments, the exit with its registers, and memory. Two runs that
differ are a difference that was shown; runs that agree are evidence, and no proof.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stencilkit.errors import UsageError
from stencilkit.prove.code import Code
from stencilkit.prove.running import EndlessError, Event, Run, addresses
from stencilkit.prove.seeds import Seed
from stencilkit.prove.world import World


def load() -> Any:  # noqa: ANN401  # unicorn has no annotations
    """Import unicorn.

    Raises: UsageError where it is not installed.
    """
    try:
        return importlib.import_module("unicorn")
    except ImportError as error:
        raise UsageError(
            "replaying needs unicorn, which is not installed",
            fix="pip install 'stencilkit[prove]' (z3-solver and unicorn), or give --no-replay",
        ) from error


def version() -> str:
    """Name the emulator that is installed."""
    return f"unicorn {load().__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """What unicorn calls a processor: its constants' names, the counter of instructions, and `control` registers."""

    arch: str
    mode: str
    module: str
    prefix: str
    counter: str
    control: Mapping[str, int] = field(default_factory=dict)


_FLOATING_POINT: Final = 3 << 20  # not trapped: Arm Architecture Reference Manual, D19.2.30
_PRECISION: Final = 0x27F  # as Windows has it, 53 bits: Microsoft, _controlfp
_X86_64: Final = Mode(
    arch="UC_ARCH_X86", mode="UC_MODE_64", module="unicorn.x86_const", prefix="UC_X86_REG_", counter="RIP"
)
MODES: Final[Mapping[str, Mode]] = {
    "x86_64": _X86_64,
    "i686": replace(_X86_64, mode="UC_MODE_32", counter="EIP", control={"FPCW": _PRECISION}),
    "aarch64": Mode(
        arch="UC_ARCH_ARM64",
        mode="UC_MODE_ARM",
        module="unicorn.arm64_const",
        prefix="UC_ARM64_REG_",
        counter="PC",
        control={"CPACR_EL1": _FLOATING_POINT},
    ),
}


@dataclass(slots=True)
class Emulator:
    """Runs pairs of stencils; one engine for each side, so that nothing of one run reaches the other."""

    registers: Mapping[str, int]
    mode: Mode

    def compare(self, left: Code, right: Code, world: World, seed: Seed) -> tuple[list[Event], list[Event]]:
        """Run both on one state.

        Raises: EndlessError where one does not end.
        """
        symbols = addresses(left, right)
        traces = [self._run(code, world, symbols, seed) for code in (left, right)]
        return traces[0], traces[1]

    def _run(self, code: Code, world: World, symbols: Mapping[str, int], seed: Seed) -> list[Event]:
        unicorn = load()
        mode = self.mode
        engine = unicorn.Uc(getattr(unicorn, mode.arch), getattr(unicorn, mode.mode))
        constants = importlib.import_module(mode.module)
        # A stack of registers is empty at first, and its registers are in none of them.
        names = [name for name in self.registers if not name.startswith("fp")]
        numbers = {name: getattr(constants, f"{mode.prefix}{name.upper()}") for name in names}
        counter = getattr(constants, f"{mode.prefix}{mode.counter}")
        for name, value in mode.control.items():
            engine.reg_write(getattr(constants, f"{mode.prefix}{name}"), value)
        return Run(code, world, symbols, seed, engine, unicorn, numbers, self.registers, counter).trace()


def differ(run: Callable[[Seed], tuple[list[Event], list[Event]]], seeds: list[Seed]) -> tuple[Seed | None, int]:
    """Run both on states until they differ; return the state where they do, and how many runs came to an end."""
    ended = 0
    for seed in seeds:
        try:
            one, other = run(seed)
        except EndlessError:
            continue
        ended += 1
        if [event[:2] for event in one] != [event[:2] for event in other]:
            return seed, ended
    return None, ended
