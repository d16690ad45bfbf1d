"""The one door to z3: is a set of facts satisfiable? Bounded by solver resources, not by time.

The answer is yes, no or unknown; only a "no" ever proves anything.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from stencilkit.errors import UsageError
from stencilkit.prove import terms
from stencilkit.prove.terms import Term

_QUESTION: Final = 1000
_CHEAP: Final = 500_000
_MEGABYTES: Final = 600

Answer = Literal["yes", "no", "unknown"]


def load() -> Any:  # noqa: ANN401  # z3 has no annotations
    """Import z3.

    Raises: UsageError where it is not installed.
    """
    try:
        return importlib.import_module("z3")
    except ImportError as error:
        raise UsageError(
            "prove needs z3, which is not installed", fix="pip install 'stencilkit[prove]' (z3-solver and unicorn)"
        ) from error


class LimitError(Exception):
    """The budget of one stencil is used up."""


@dataclass(slots=True)
class Solver:
    """Asks z3; `budget` is what one stencil may use of z3's resource units, `step` what one question may."""

    budget: int
    step: int
    spent: int = 0
    asked: int = 0
    model: Any = None
    _lowered: dict[Term, Any] = field(default_factory=dict)
    _opaque: dict[Term, Any] = field(default_factory=dict)
    _summed: dict[Term, Any] = field(default_factory=dict)
    _z3: Any = None
    # z3 counts on from one question to the next, whoever asks them in this process.
    _count: ClassVar[int] = 0

    def impossible(self, facts: Iterable[Term], *, sums: bool = False) -> bool:
        """Answer whether facts contradict each other whatever is read over writes that may be elsewhere.

        Each such read is an unknown of its own, the same wherever it occurs. With `sums`, so is all that is read or
        worked out by an uninterpreted function, and what is added up, but for the number in it. So there are more
        values than those of `satisfiable`, and where there are none, it has none. Most often that is far cheaper to
        find.

        Raises: LimitError.
        """
        return self._check(facts, self._summed if sums else self._opaque, min(self.step, _CHEAP)) == "no"

    def satisfiable(self, facts: Iterable[Term], most: int | None = None) -> Answer:
        """Answer whether there are values for which all facts are true; keeps the model of a "yes".

        `most` is what the question may use of z3's units, `step` where it is not given.

        Raises: LimitError.
        """
        return self._check(facts, self._lowered, most or self.step)

    def _check(self, facts: Iterable[Term], lowered: dict[Term, Any], most: int) -> Answer:
        wanted = [fact for fact in facts if fact.value != 1]
        if any(fact.value == 0 for fact in wanted):
            return "no"
        if self.spent >= self.budget:
            raise LimitError
        if self._z3 is None:
            self._z3 = load()
            self._z3.set_param("memory_max_size", _MEGABYTES)
        solver = self._z3.SolverFor("QF_UFBV")
        solver.set("rlimit", most)
        try:
            solver.add([self._lower(fact, lowered) == 1 for fact in wanted])
            found = solver.check()
        except self._z3.Z3Exception:
            # Out of memory: nothing more is to be had from this process.
            raise LimitError from None
        # Every question costs something, or there could be endless ones; behind one that went over its limit, z3 counts
        # on from that limit.
        statistics = solver.statistics()
        count = (
            int(statistics.get_key_value("rlimit count"))
            if any(key == "rlimit count" for key, _ in statistics)
            else Solver._count
        )
        self.spent += max(count - Solver._count, 0) + _QUESTION
        Solver._count = count
        self.asked += 1
        self.model = solver.model() if found == self._z3.sat else None
        return {"sat": "yes", "unsat": "no"}.get(str(found), "unknown")  # type: ignore[return-value]  # of three texts

    def value(self, term: Term) -> int:
        """Return what a term is in the last model."""
        return int(self.model.eval(self._lower(term, self._lowered), model_completion=True).as_long())

    def _lower(self, term: Term, lowered: dict[Term, Any]) -> Any:  # noqa: ANN401  # z3 has no annotations
        """Write a term in z3's words; iteratively, since terms can be deep."""
        todo = [term]
        while todo:
            one = todo[-1]
            if one in lowered:
                todo.pop()
                continue
            unknown = self._unknown(one, lowered)
            if unknown is not None:
                lowered[one] = unknown
                continue
            missing = [arg for arg in one.args if arg not in lowered]
            if missing:
                todo.extend(missing)
                continue
            lowered[one] = self._node(one, [lowered[arg] for arg in one.args])
            todo.pop()
        return lowered[term]

    def _unknown(self, term: Term, lowered: dict[Term, Any]) -> Any | None:  # noqa: ANN401  # z3 has no annotations
        """Write a term as an unknown, where a cheap question does not look into it; None where it does."""
        sums = lowered is self._summed
        if lowered is self._lowered or (term.op == "sum" and not sums):
            return None
        if term.op == "over" or (sums and term.op in ("call", "word")):
            return self._z3.BitVec(f"unknown {len(lowered)}", term.width)
        if term.op != "sum" or len(term.args) == 1:
            return None
        number = int(term.extra[0])
        rest = terms.offset(term, -number)
        if rest not in lowered:
            # A sum and its negation are one unknown, u and -u: which of them is u follows from their order.
            negated = terms.scale(rest, -1)
            first, second = sorted((rest, negated), key=lambda one: one.order)
            lowered[first] = self._z3.BitVec(f"unknown {len(lowered)}", term.width)
            lowered[second] = -lowered[first]
        return lowered[rest] + number

    def _node(self, term: Term, args: list[Any]) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912  # one row per operation
        z3, width = self._z3, term.width
        match term.op:
            case "const":
                return z3.BitVecVal(int(term.extra[0]), width)
            case "sym":
                return z3.BitVec(str(term.extra[0]), width)
            case "sum":
                total = z3.BitVecVal(int(term.extra[0]), width)
                for factor, arg in zip(term.extra[1:], args, strict=True):
                    total = total + (arg if factor == 1 else z3.BitVecVal(int(factor), width) * arg)
                return total
            case "concat":
                return z3.Concat(*args)
            case "extract":
                low = int(term.extra[0])
                return z3.Extract(low + width - 1, low, args[0])
            case "sext":
                return z3.SignExt(width - term.args[0].width, args[0])
            case "and" | "or" | "xor":
                total = args[0]
                for arg in args[1:]:
                    total = {"and": total.__and__, "or": total.__or__, "xor": total.__xor__}[term.op](arg)
                return total
            case "shl":
                return args[0] << args[1]
            case "lshr":
                return z3.LShR(args[0], args[1])
            case "ashr":
                return args[0] >> args[1]
            case "ite":
                return z3.If(args[0] == 1, args[1], args[2])
            case "zero":
                return self._bit(args[0] == 0)
            case "ult":
                return self._bit(z3.ULT(args[0], args[1]))
            case "slt":
                return self._bit(args[0] < args[1])
            case "word":
                return self._function(f"word {term.extra[0]}", term)(args[0])
            case "over":
                # A partial overlap is an uninterpreted function: it holds whatever such bytes are.
                partly = self._function("partly over", term)(*args)
                size = width // 8
                near = z3.ULT(args[0] + (size - 1), z3.BitVecVal(2 * size - 1, width))
                return z3.If(args[0] == 0, args[1], z3.If(near, partly, args[2]))
            case _:
                return self._function(str(term.extra[0]), term)(*args) if args else z3.BitVec(str(term.extra[0]), width)

    def _bit(self, condition: Any) -> Any:  # noqa: ANN401  # z3 has no annotations
        return self._z3.If(condition, self._z3.BitVecVal(1, 1), self._z3.BitVecVal(0, 1))

    def _function(self, name: str, term: Term) -> Any:  # noqa: ANN401  # z3 has no annotations
        sorts = [self._z3.BitVecSort(arg.width) for arg in term.args]
        return self._z3.Function(name, *sorts, self._z3.BitVecSort(term.width))


def version() -> str:
    """Name the solver that is installed."""
    return f"z3 {load().get_version_string()}"
