"""May a redistributor use this CPython with this LLVM? The cells of a matrix, what each was asked, and the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from stencilkit.model.comparison import Likeness, Row
from stencilkit.model.ledger import place
from stencilkit.model.manifest import Deviation
from stencilkit.model.target import Kind

Depth = Literal["build", "prove", "run"]
Outcome = Literal["passed", "noted", "failed", "not asked"]
Name = Literal["built", "varied", "ledger", "generator", "audit", "proof", "run", "speed"]
Verdict = Literal["qualified", "qualified, with notes", "not qualified", "not finished"]

DEPTHS: Final[tuple[Depth, ...]] = ("build", "prove", "run")
"""Each asks all that those before it ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a check asks, and from which depth on."""

    title: str
    depth: Depth


QUESTIONS: Final[Mapping[Name, Question]] = {
    "built": Question(title="builds", depth="build"),
    "varied": Question(title="the same under variations", depth="build"),
    "ledger": Question(title="as the ledger says", depth="build"),
    "generator": Question(title="equal to this tree's own generator", depth="build"),
    "audit": Question(title="audit", depth="build"),
    "proof": Question(title="what differs from upstream's LLVM is proved", depth="prove"),
    "run": Question(title="CPython's tests on these stencils", depth="run"),
    "speed": Question(title="speed of the JIT, against upstream's LLVM", depth="run"),
}
"""In the order in which they are asked and shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One CPython, exact LLVM version, target and flavour."""

    cpython: str
    llvm: str
    target: str
    flavour: Kind

    @property
    def series(self) -> str:
        """Name the minor version of its CPython, as in "3.14"."""
        return ".".join(self.cpython.split(".")[:2])

    @property
    def label(self) -> str:
        """Name the cell in one line."""
        return f"CPython {self.cpython}, LLVM {self.llvm}, {self.target}, {self.flavour}"

    @property
    def place(self) -> PurePosixPath:
        """Name its file below a folder of results: as in a ledger."""
        return place(self.cpython, self.target, self.flavour, self.llvm).with_suffix(".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The answer to one question: a figure (how much was looked at, or what was found), and the reason, for people."""

    name: Name
    outcome: Outcome
    figure: str = ""
    reason: str = ""


def alone(first: Check, reason: str) -> tuple[Check, ...]:
    """List the checks of a cell of which one question was answered, and none of the others asked, for a reason."""
    rest = (Check(name=name, outcome="not asked", reason=reason) for name in QUESTIONS if name != first.name)
    return (first, *rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """A stencil that is not that of the LLVM which upstream pins; sizes in bytes before and after, None for none.

    `rows` are both listings, aligned, whole; `holes`, `symbols` and `data` are those of a Change. `proof` is what
    `prove` says of the two, "" where it was not asked, and `why` what it adds.
    """

    name: str
    likeness: Likeness
    code: tuple[int | None, int | None]
    data_size: tuple[int | None, int | None]
    rows: tuple[Row, ...] = ()
    holes: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    proof: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much there is: stencils, and bytes of code and of data."""

    stencils: int
    code: int
    data: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that is known of one cell.

    `finished` is False where something that is not the stencils' fault stood in the way (no toolchain on a worker,
    a time limit): --resume asks again. `pinned` says that upstream asks for this LLVM; `reference` is the exact
    version whose stencils these are compared with, "" if there were none, `before` their sizes, and `identical` how
    many are the same. `inputs` is that of the job. `seconds` has times by check, `speed` the geometric means of
    benchmarks (JIT off over on) by LLVM; these two alone differ from run to run.
    """

    cell: Cell
    depth: Depth
    checks: tuple[Check, ...]
    finished: bool = True
    pinned: bool = False
    stencilkit: str = ""
    vendor: str = ""
    content: str = ""
    sizes: Sizes | None = None
    reference: str = ""
    before: Sizes | None = None
    identical: int | None = None
    deviations: tuple[Deviation, ...] = ()
    differing: tuple[Differing, ...] = ()
    inputs: str = ""
    seconds: Mapping[str, float] | None = None
    speed: Mapping[str, float] | None = None

    @property
    def verdict(self) -> Verdict:
        """Conclude: one failure is enough, and a question of this depth that was not answered is a note."""
        outcomes = {check.name: check.outcome for check in self.checks}
        if not self.finished:
            return "not finished"
        if "failed" in outcomes.values() or outcomes.get("built", "not asked") == "not asked":
            return "not qualified"
        asked = [outcomes.get(name, "not asked") for name in self.asked]
        return "qualified" if all(outcome == "passed" for outcome in asked) else "qualified, with notes"

    @property
    def asked(self) -> tuple[Name, ...]:
        """Name the questions of this depth."""
        depths = DEPTHS[: DEPTHS.index(self.depth) + 1]
        return tuple(name for name, question in QUESTIONS.items() if question.depth in depths)

    @property
    def why(self) -> str:
        """Return in one line what the verdict rests on, where it is not a plain yes."""
        return "; ".join(self.reasons())

    def reasons(self) -> Iterator[str]:
        """List what the verdict rests on, where it is not a plain yes."""
        if not self.finished:
            yield self.checks[0].reason
            return
        wanted = ("failed",) if self.verdict == "not qualified" else ("noted", "not asked")
        for check in self.checks:
            if check.outcome in wanted and (check.outcome == "failed" or check.name in self.asked):
                asked = "not asked: " if check.outcome == "not asked" else ""
                yield f"{QUESTIONS[check.name].title}: {asked}{check.reason or check.figure}".rstrip(": ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One cell to be done on one machine, with all that it takes there.

    `tree` and `pyconfig` are folders, `program` is the clang, `reference` the one that upstream pins ("" if this
    machine has none). `ledger` has the texts of the ledger's entries of this CPython, target and flavour, by file name.
    `sample` is how many uops this tree's own generator is asked for, 0 for all of them; where the ledger has the whole,
    these alone are varied. `cached` allows to recall what was answered before. `inputs` is a digest of what the folders
    and programs hold, and of all else that is asked.
    """

    cell: Cell
    depth: Depth
    tree: str
    pyconfig: str
    program: str
    reference: str
    ledger: Mapping[str, str]
    sample: int
    jobs: int
    cached: bool = True
    inputs: str = ""
