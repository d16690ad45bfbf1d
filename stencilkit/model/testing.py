"""What a run of CPython's own tests on given stencils found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stencilkit.model.target import Flavour

Suite = Literal["smoke", "jit", "full"]
Outcome = Literal["passed", "failed", "crashed", "hung", "skipped"]
Entered = Literal["seen", "by its instruction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a CPython says about its JIT.

    `available` and `enabled` are None before 3.14, which cannot be asked. `entered` is "seen" where
    sys._jit.is_active said so from inside a loop, "by its instruction" where only the ENTER_EXECUTOR that replaced a
    jump shows it. `executors` have machine code, `code_bytes` of it, out of the stencils of `uops`; `wrong` names the
    exercises (jittest/probes/exercises.py) that gave wrong answers. `ended` says how the process ended where it could
    not even answer, and could with the JIT off; the rest is then unknown.
    """

    available: bool | None
    enabled: bool | None
    entered: Entered | None
    executors: int
    code_bytes: int
    uops: tuple[str, ...]
    wrong: tuple[str, ...]
    ended: str = ""

    @property
    def holds(self) -> bool:
        """Return whether the JIT is there, on, compiles, is entered, and computes rightly."""
        return (
            self.available is not False
            and self.enabled is not False
            and self.entered is not None
            and self.executors > 0
            and not self.wrong
            and not self.ended
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRun:
    """One test module, run once.

    `failures` are names of test cases; a module that ended without telling has none. `executors` is the most that
    were alive at once, `code_bytes` their machine code. `tail` is the end of the output, `log` where all of it is.
    """

    name: str
    outcome: Outcome
    tests: int
    skipped: int
    failures: tuple[str, ...]
    executors: int
    code_bytes: int
    seconds: float
    tail: str
    log: str

    @property
    def good(self) -> bool:
        """Return whether nothing went wrong."""
        return self.outcome in ("passed", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleVerdict:
    """A test module with the JIT and, where that went wrong, without it and then with it once more.

    `blamed` are the test cases that fail only with the JIT, and each time; a crash or a hang is blamed under the
    module's name, even if it does not come again. `unsteady` are cases that failed with the JIT once and then passed.
    """

    jit: ModuleRun
    without: ModuleRun | None = None
    again: ModuleRun | None = None
    blamed: tuple[str, ...] = ()
    unsteady: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StencilsVerdict:
    """What a CPython on one set of stencils did.

    `benchmarks` maps a name to the best time in seconds; `benchmark_failure` says what went wrong with the JIT on.
    `build_seconds` is make's time. `hardened` says that the stencils are of the hardened flavour.
    """

    llvm: str
    hardened: bool
    content_digest: str
    placed: tuple[str, ...]
    generator_ran: bool
    build_seconds: float
    proof: Proof
    modules: tuple[ModuleVerdict, ...]
    benchmarks: Mapping[str, float]
    benchmark_failure: str = ""

    @property
    def label(self) -> str:
        """Name the stencils by their LLVM, and by whether they are hardened: "21.1.8 hardened"."""
        return f"{self.llvm} hardened" if self.hardened else self.llvm

    @property
    def blamed(self) -> tuple[str, ...]:
        """List every test that fails because of the JIT."""
        return tuple(name for module in self.modules for name in module.blamed)

    @property
    def tests(self) -> int:
        """Count the test cases that ran."""
        return sum(module.jit.tests - module.jit.skipped for module in self.modules)

    @property
    def executors(self) -> int:
        """Add up the executors of the modules, each module's most at once."""
        return sum(module.jit.executors for module in self.modules)

    @property
    def good(self) -> bool:
        """Return whether the JIT was on and broke nothing, and something ran at all."""
        broken = self.blamed or self.benchmark_failure
        return self.proof.holds and not broken and self.tests > 0 and self.executors > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """All that one `stencilkit test` found. `off` are the benchmarks with the JIT off."""

    __test__ = False  # not a test class for pytest

    cpython: str
    triple: str
    flavour: Flavour
    suite: Suite
    configure: tuple[str, ...]
    emulator: str
    verdicts: tuple[StencilsVerdict, ...]
    off: Mapping[str, float]
    folder: str

    @property
    def good(self) -> bool:
        """Return whether every set of stencils passed."""
        return bool(self.verdicts) and all(verdict.good for verdict in self.verdicts)
