"""What a check found, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stencilkit.model.attestation import Demand
from stencilkit.model.pyconfig import VisibleConfig
from stencilkit.model.target import Flavour
from stencilkit.model.version import MajorRange

Status = Literal["passed", "noted", "failed"]
Kind = Literal["canonical", "manifest", "tree", "witness", "ledger", "rebuild", "binary", "attested", "policy"]
"""What is asked: its grammar, its manifest, a CPython tree, the compiler of the runtime, the ledger, a new build, a
program that was built on it, what others signed, a policy."""

INDEPENDENT: Final[frozenset[Kind]] = frozenset({"ledger", "rebuild", "attested"})
"""What somebody else than the maker of the stencils said or did; the others compare what is there with itself."""
Scope = Literal["compared", "consistent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and its answer.

    `what` is one sentence; `details` name files, macros, stencils or lines. A note is a difference that does not
    matter, with the reason.
    """

    kind: Kind
    status: Status
    what: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFacts:
    """What a CPython tree and its pyconfig.h look like beside a manifest.

    `units` are the names of the stencils that this CPython has. `compared` counts the included files of the tree;
    `changed` names those that differ, or that an #include names and the manifest does not; `shadows` those that would
    be included instead of recorded ones, `runtime` and `line1` the used files that differ and are not included.
    `stamp` is the input digest that this tree's build computes; `claimed` is that of this tree's files with the triple,
    flavour and cflags that the manifest names. `beyond` is what the stencils need of a processor beside
    what the target has and this tree's cflags name.
    """

    version: str
    triple: str
    spelling: str
    flavour: Flavour
    cflags: str
    units: frozenset[str]
    compared: int
    changed: tuple[str, ...]
    shadows: tuple[str, ...]
    runtime: tuple[str, ...]
    line1: tuple[str, ...]
    missing_functions: tuple[str, ...]
    config: VisibleConfig
    config_sha256: str
    stamp: str
    claimed: str
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a verdict must rest on.

    Every kind in `require` must have been checked and have passed. None and () demand nothing. `deviations` allows what
    was built differently from upstream, `mingw` what was compiled for msvc with mingw's headers, `provisional`
    what was built as an older CPython or LLVM than it is of, `consistent` what
    was compared with nothing that others made. `demand` says whose attestations count.
    """

    require: tuple[Kind, ...] = ("canonical", "manifest")
    llvm: MajorRange | None = None
    vendors: tuple[str, ...] = ()
    deviations: bool = True
    mingw: bool = False
    provisional: bool = False
    demand: Demand | None = None
    consistent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All checks of one header.

    `digests` are the four that identify a header: "input" (line 1), "provenance" (line 2, as text), "content" and
    "interface"; what is not known is left out. `stamp` is the input digest that line 1 must carry for the tree that
    was checked; "" if none was, or if the header does not fit it.
    """

    subject: str
    checks: tuple[Check, ...]
    digests: Mapping[str, str]
    stamp: str = ""

    @property
    def accepted(self) -> bool:
        """Return whether something passed and nothing failed."""
        statuses = {check.status for check in self.checks}
        return "passed" in statuses and "failed" not in statuses

    @property
    def scope(self) -> Scope:
        """Return whether what others made agrees, or only header, manifest and tree with each other."""
        compared = any(check.kind in INDEPENDENT and check.status == "passed" for check in self.checks)
        return "compared" if compared else "consistent"
