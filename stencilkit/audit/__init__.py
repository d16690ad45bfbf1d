"""Stencils -> what a careful packager would object to, rule by rule.

Every rule comes from something that has hurt somebody (docs/audit.md lists them with their issues). Judges decoded
code, and reads no file. A waiver names rule, stencil, reason and last day; after that day it is void.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stencilkit.audit import code, content, holes, isa, waivers
from stencilkit.audit.examined import Examined, examine
from stencilkit.errors import HeaderError
from stencilkit.model import alignment
from stencilkit.model.audit import Audit, Audited, Finding, RuleOutcome, RuleResult, Waiver

# Of code, in bytes: three times what the largest debug build has. Keeps a hostile header from costing hours.
_LARGEST: Final = 2 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One question: its name, the issues that it comes from, why it is asked, and what answers it.

    `check` looks at the header as a whole, `each` at one stencil. What a rule that only `notes` finds is reported, and
    fails only if it is demanded. Where it does not `apply`, it is not asked, and is not reported as passed.
    """

    name: str
    refs: str
    why: str
    check: Callable[[Audited], Iterable[Finding]] = lambda _: ()
    each: Callable[[Audited, Examined], Iterable[str]] = lambda _, __: ()
    notes: bool = False
    applies: Callable[[Audited], bool] = lambda _: True


def run(subject: str, audited: Audited, waived: Sequence[Waiver], demanded: Iterable[str], today: str) -> Audit:
    """Ask every rule; `demanded` are rules whose notes are failures.

    Raises: HeaderError where there is more code than any CPython has.
    """
    size = sum(len(group.code.body) for group in audited.stencils.groups)
    if size > _LARGEST:
        raise HeaderError(
            f"{size} bytes of code are more than the stencils of any CPython have",
            where=subject,
            fix="build it again, or restore it from where it came from",
        )
    demands = frozenset(demanded)
    asked = [rule for rule in RULES if rule.applies(audited)]
    found = {rule.name: list(rule.check(audited)) for rule in asked}
    # One stencil at a time: its decoded code is large, and is not needed afterwards.
    for group in audited.stencils.groups:
        examined = examine(group, audited)
        for rule in asked:
            found[rule.name] += (Finding(stencil=group.name, what=what) for what in rule.each(audited, examined))
    results = tuple(_result(rule, found.get(rule.name), waived, demands, today) for rule in RULES)
    return Audit(subject=subject, results=results, stale=tuple(waivers.stale(results, waived, today)))


def _result(
    rule: Rule, found: list[Finding] | None, waived: Sequence[Waiver], demanded: frozenset[str], today: str
) -> RuleResult:
    findings = tuple(waivers.apply(item, rule.name, waived, today) for item in found or ())
    open_ = [finding for finding in findings if not finding.waived]
    failed = [finding for finding in open_ if rule.name in demanded or not (rule.notes or finding.weak)]
    outcome: RuleOutcome = "failed" if failed else "noted" if open_ else "passed" if found is not None else "not asked"
    return RuleResult(rule=rule.name, refs=rule.refs, why=rule.why, outcome=outcome, findings=findings)


def parse_waivers(text: str, where: str) -> tuple[Waiver, ...]:
    """Read a list of waivers; `where` is the file's name, for messages.

    Raises: PolicyError with the path to the bad field.
    """
    return waivers.parse(text, where, {rule.name for rule in RULES})


def _only(check: Callable[[Examined], Iterator[str]]) -> Callable[[Audited, Examined], Iterator[str]]:
    return lambda _, examined: check(examined)


RULES: Final = (
    Rule(
        name="relocations",
        refs="#135690, #129964, LLVM 18 with 3.14",
        why="a hole must be patched by a function of this architecture that reaches what it points to",
        check=content.relocations,
    ),
    Rule(
        name="holes",
        refs="prebuilt headers (PEP 774)",
        why="a hole is one operand of one instruction, so that no patched value makes other code",
        each=_only(holes.check),
    ),
    Rule(
        name="relaxed-pairs",
        refs="#146128",
        why="no branch leads between two instructions that are rewritten as one, and nothing there uses their register",
        each=_only(code.relaxed_pairs),
    ),
    Rule(
        name="paths",
        refs="#154988, line 2 of upstream's headers",
        why="no path of the machine that built it; on line 2, which is a comment, noted",
        check=content.paths,
    ),
    Rule(
        name="compiler-strings",
        refs="#142052",
        why='no "clang version" from .debug$S or .comment',
        check=content.compiler_strings,
    ),
    Rule(
        name="helpers",
        refs="conda-forge: __aarch64_ldadd8_acq_rel",
        why="no function that the compiler thought of and jit.c cannot name (memset, __bzero, outlined atomics)",
        check=content.helpers,
    ),
    Rule(
        name="externals",
        refs="prebuilt headers (PEP 774)",
        why="a stencil uses what its uop's sources can reach (--cpython), or what the ledger's build used (--ledger)",
        check=content.externals,
    ),
    Rule(
        name="canaries",
        refs="uv's hardening flags",
        why="a stencil cannot load a stack canary, nor call what checks it",
        check=content.canaries,
        each=_only(code.canaries),
    ),
    Rule(
        name="stack-probes",
        refs="uv's hardening flags",
        why="probes write below the frame of a stencil",
        check=content.probes,
        each=_only(code.probes),
    ),
    Rule(
        name="frame-pointer",
        refs="3.15 with LLVM 19 and 20",
        why="unwinders rely on stencils that leave the frame pointer alone, where this CPython reserves it",
        each=_only(code.frame_pointer),
        applies=lambda audited: audited.reserved_frame_pointer,
    ),
    Rule(
        name="writable-data",
        refs="jit.c: mark_executable",
        why="code and data of a stencil are read-only when it runs; its addresses are followed through registers",
        each=_only(code.writable_data),
    ),
    Rule(
        name="instructions",
        refs="prebuilt headers (PEP 774)",
        why="nothing privileged, no system call, no far jump",
        each=_only(code.forbidden),
    ),
    Rule(
        name="alignment",
        refs="3.15 with LLVM 19 on x86_64",
        why="no instruction faults unless its 16 bytes are aligned: jit.c aligns a stencil's data to 8 at most",
        each=lambda audited, examined: map(code.at, alignment.misaligned(examined.code, audited.target.arch)),
    ),
    Rule(
        name="isa",
        refs="CFLAGS_JIT with -march",
        why="no instruction beyond the target's baseline, or --isa; none that is not known",
        check=isa.recorded,
        each=isa.check,
    ),
    Rule(
        name="decodings",
        refs="prebuilt headers (PEP 774)",
        why="code reads the same from its start and from wherever something jumps; nothing is left over",
        each=_only(code.decodings),
    ),
    Rule(
        name="targets",
        refs="prebuilt headers (PEP 774)",
        why="jumps, calls and returns lead to the start of code, with the stack as it was found",
        each=_only(code.targets),
    ),
    Rule(
        name="data-in-code",
        refs="prebuilt headers (PEP 774)",
        why="bytes that are not an instruction cannot be audited; noted where nothing leads to them",
        each=_only(code.data_in_code),
        notes=True,
    ),
    Rule(
        name="stray-jumps",
        refs="#142907, prebuilt headers (PEP 774)",
        why="a jump or call out of a stencil has a hole",
        each=_only(code.strays),
    ),
    Rule(
        name="landing-pads",
        refs="#149697, #154820, #157510",
        why="with CET or BTI, an indirect jump needs one; noted, unless --demand landing-pads",
        each=code.landing_pads,
        notes=True,
    ),
    Rule(
        name="needless-pads",
        refs="#149697",
        why="a landing pad where no indirect jump leads is one more place that an attacker can jump to; noted",
        each=code.needless_pads,
        notes=True,
    ),
    Rule(
        name="growth",
        refs="PEP 836: several LLVM versions",
        why="another LLVM must not cost memory unnoticed (--against, --growth)",
        check=content.growth,
        applies=lambda audited: audited.baseline is not None,
    ),
)
