"""What the questions about a cell are asked of: its stencils, those of upstream's LLVM, what compares and runs them.

Each is made when a question needs it first, and kept; what fails then fails in the same way each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from stencilkit import source
from stencilkit.errors import ManifestError, StencilkitError
from stencilkit.model.comparison import Comparison
from stencilkit.model.gate import Configuration
from stencilkit.model.judgement import Sample
from stencilkit.model.ledger import place
from stencilkit.model.manifest import Manifest
from stencilkit.model.proof import Proofs
from stencilkit.model.qualification import Job
from stencilkit.model.testing import TestReport
from stencilkit.pipeline import (
    admitting,
    bundling,
    comparing,
    gate,
    knowing,
    proving,
    recalling,
    requesting,
    sampling,
    testing,
)
from stencilkit.pipeline.opening import Opened
from stencilkit.support import environ, files
from stencilkit.support.cache import Store
from stencilkit.support.progress import SILENT

T = TypeVar("T")

_TEST_SECONDS: Final = 1200.0


class _Once(Generic[T]):
    """A property that is worked out once; what fails then fails in the same way each time."""

    def __init__(self, make: Callable[[Subject], T]) -> None:
        self._make = make

    def __get__(self, subject: Subject, owner: type[Subject]) -> T:
        outcomes, name = subject.outcomes, self._make.__name__
        if name not in outcomes:
            try:
                outcomes[name] = self._make(subject)
            except StencilkitError as error:
                outcomes[name] = error
        found = outcomes[name]
        if isinstance(found, StencilkitError):
            raise found
        return found  # type: ignore[no-any-return]  # it is what `_make` made


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a cell's questions are asked of; what several of them need is made once, and kept in `outcomes`."""

    job: Job
    scratch: Path
    store: Store
    configuration: Configuration
    plain: Path
    outcomes: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def pinned(self) -> bool:
        """Return whether upstream asks for this LLVM."""
        return knowing.is_upstreams(self.job.cell.series, self.job.cell.llvm)

    @_Once
    def reference(self) -> Path | None:
        """Build the stencils of the LLVM that upstream pins, None where this machine has none."""
        if self.pinned:
            return self.plain
        if not self.job.reference:
            return None
        key = recalling.stencils(self.job, self.store) if self.job.cached else ""
        if key and (known := recalling.get_folder(key, self.scratch / "known", self.store)):
            return known
        tool = requesting.at(self.job.reference, self.store)
        built = gate.build_reference(replace(self.configuration, toolchain=tool), self.scratch)
        if key:
            recalling.put_folder(key, built, self.store)
        return built

    @_Once
    def small(self) -> Subject | None:
        """Build a sample of the uops by themselves, None where all of them are asked for."""
        tree, sample = self.configuration.tree, Sample(count=self.job.sample)
        if not 0 < sample.count < len(source.uops(tree)):
            return None
        scratch = self.scratch / "small"
        few = replace(self.configuration, tree=sampling.shrink(tree, sample, scratch / "cpython"))
        return replace(self, configuration=few, scratch=scratch, plain=gate.build(few, scratch))

    @_Once
    def unexpected(self) -> tuple[str, ...] | None:
        """List how the stencils differ from what the ledger expects, None where it has no entry for them."""
        cell, ledger = self.job.cell, self.job.ledger
        if place(cell.cpython, cell.target, cell.flavour, cell.llvm).name not in ledger:
            return None
        folder = self.scratch / "ledger"
        files.write_together(folder / cell.cpython, {name: text.encode() for name, text in ledger.items()})
        return tuple(gate.unexpected_of(self.plain, folder))

    @_Once
    def opened(self) -> Opened:
        """Verify and read the stencils."""
        return admitting.header(self.plain)

    @_Once
    def before(self) -> Opened | None:
        """Verify and read the reference's stencils."""
        if self.pinned:
            return self.opened
        return admitting.header(self.reference) if self.reference is not None else None

    @property
    def described(self) -> Manifest:
        """Return the manifest of the stencils."""
        if self.opened.manifest is None:
            raise ManifestError("a build left no manifest", where=str(self.plain))
        return self.opened.manifest

    @_Once
    def comparison(self) -> Comparison | None:
        """Compare with the reference."""
        return comparing.pair(self.before, self.opened) if self.before is not None else None

    @_Once
    def proofs(self) -> Proofs | None:
        """Prove what differs from the reference."""
        if self.reference is None:
            return None
        request = proving.Request(jobs=self.job.jobs)
        return proving.run((self.reference, self.plain), request, store=self.store)[0]

    @_Once
    def tests(self) -> TestReport:
        """Build that CPython on these stencils, and on the reference's to compare speeds; run its tests.

        In an emulator nothing is timed.
        """
        target = self.configuration.asked.target
        native = environ.is_native(target.native)
        beside = self.reference if native and not self.pinned else None
        request = testing.TestRequest(
            tree=self.configuration.tree,
            target=target,
            flavour=self.configuration.flavour,
            artifacts=bundling.open_all(self.plain),
            timed=bundling.open_all(beside) if beside is not None else (),
            suite="jit",
            modules=(),
            benchmarks=native,
            configure=(),
            jobs=self.job.jobs,
            timeout=_TEST_SECONDS,
            folder=self.scratch / "test",
        )
        return testing.run(request, SILENT)
