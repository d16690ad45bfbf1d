"""What a distributor accepts beside proofs: named facts, and stencils that agreed on runs; each with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from stencilkit.errors import PolicyError, UsageError
from stencilkit.model.proof import Proof, Verdict
from stencilkit.prove.assumptions import ASSUMPTIONS
from stencilkit.support.fields import document

_SCHEMA: Final = 1
_PROVED: Final = (Verdict.IDENTICAL, Verdict.PROVED)
FACTS: Final = tuple(one.name for one in ASSUMPTIONS if one.optional)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Names of facts, and patterns of stencils."""

    facts: frozenset[str] = frozenset()
    agreed: tuple[str, ...] = ()

    def accepts(self, proof: Proof) -> bool:
        """Say whether a verdict is good enough: a proof, or what is accepted by name."""
        if proof.verdict is Verdict.GIVEN:
            return self.facts.issuperset(proof.facts)
        if proof.verdict is Verdict.AGREED:
            return any(fnmatchcase(proof.name, pattern) for pattern in self.agreed)
        return proof.verdict in _PROVED


def parse(text: str, where: str) -> Policy:
    """Read a policy; `where` is the file's name, for messages.

    Raises: PolicyError with the path to the bad field.
    """
    root = document(text, name=where, schema=_SCHEMA, error=PolicyError)
    facts: list[str] = []
    agreed: list[str] = []
    for kind, key, found in (("fact", "name", facts), ("agreed", "stencil", agreed)):
        for row in root.tables(kind, ()):
            found.append(row.text(key))
            if len(row.text("why").split()) < 2:
                raise row.fail("why", "this needs a reason that others can judge")
            if kind == "fact" and found[-1] not in FACTS:
                raise row.fail(key, f"there is no such fact; there are {', '.join(FACTS)}")
            row.done()
    root.done()
    return Policy(facts=frozenset(facts), agreed=tuple(agreed))


def of_names(names: tuple[str, ...]) -> Policy:
    """Make a policy of facts from a command line.

    Raises: UsageError.
    """
    for name in names:
        if name not in FACTS:
            raise UsageError(f"there is no fact {name}", fix=f"there are {', '.join(FACTS)}")
    return Policy(facts=frozenset(names))
