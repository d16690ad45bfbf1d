"""Stage 13: stencils -> what a careful packager would object to, gate by gate.

Every gate comes from something that has hurt somebody (docs/audit.md lists them with their issues). Judges decoded
code, and reads no file. A waiver names gate, stencil, reason and last day; after that day it is void.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from stencilkit.errors import PolicyError
from stencilkit.model.audit import Audit, Audited, Decoded, Finding, GateResult, Outcome, Waiver
from stencilkit.model.stencil import HoleValue, Patch, PatchForm
from stencilkit.support.fields import document

_WAIVERS_SCHEMA: Final = 1
_DAY: Final = re.compile(r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_STRING: Final = re.compile(rb"[\x20-\x7e]{4,}")
_PATH: Final = re.compile(r"(?:^|[\s'\"=:])(?:/[\w.+-]+/[\w./+-]*|[A-Za-z]:\\[\w.\\+-]+)")
_COMPILER: Final = re.compile(r"clang version|LLVM|GCC: |\.debug\$|Linker: ", re.IGNORECASE)
_OWN_SYMBOL: Final = re.compile(r"_{0,2}imp_|_?_?Py\w*|_JIT_\w+")
# What assert() calls, and jit.c sees declared; debug stencils hold asserts.
_ASSERTS: Final = frozenset({"__assert_fail", "__assert_rtn", "_wassert", "___assert_rtn", "__assert", "abort"})
_CANARIES: Final = ("__stack_chk_*", "__security_cookie", "__security_check_cookie", "__stack_smash_handler")
_CANARY_SLOT: Final = re.compile(r"[fg]s:\[0x(?:28|14)\]")
_PROBES: Final = ("__chkstk*", "_chkstk*", "___chkstk*", "__probestack", "__rust_probestack")
_PAGE: Final = re.compile(r"(?:[re]sp, 0x1000|sp, sp, #(?:1, lsl #12|0x1000))")
_TOUCH: Final = re.compile(r"^(?:mov|or) [dq]word ptr \[[re]sp\], 0$|^str xzr, \[sp\]$")
_FRAME_POINTERS: Final = frozenset({"rbp", "ebp", "bp", "bpl", "x29", "w29", "fp"})
# Privileged, system and far instructions: Intel SDM volume 2, Arm ARM section C3.1 (exception generating and system).
_X86_FORBIDDEN: Final = """
    syscall sysenter sysexit sysexitq sysret sysretq int into in out insb insd insw outsb outsd outsw hlt cli sti
    lgdt lidt lldt ltr lmsw invlpg invd wbinvd wrmsr rdmsr swapgs clts iret iretd iretq retf retfq ljmp lcall
    vmcall vmlaunch xsetbv
"""
# brk, like x86's ud2 and int3, is what compilers put where nothing may come.
_ARM_FORBIDDEN: Final = "svc hvc smc eret msr dcps1 dcps2 dcps3 hlt wfi wfe sev"
_FORBIDDEN: Final = frozenset(_X86_FORBIDDEN.split()) | frozenset(_ARM_FORBIDDEN.split())
_LANDING_PADS: Final = frozenset({"endbr64", "endbr32", "bti", "paciasp", "pacibsp"})
_BRANCH_RANGE: Final = ("patch_aarch64_26r", "patch_aarch64_19r", "patch_aarch64_21r", "patch_aarch64_21rx")
# Patch functions that cannot reach any address: by architecture.
_SHORT: Final[Mapping[str, tuple[str, ...]]] = {
    "x86_64": ("patch_32", "patch_32r", "patch_x86_64_32rx"),
    "aarch64": ("patch_32", "patch_32r", *_BRANCH_RANGE),
    "i686": (),
}
_FOREIGN: Final[Mapping[str, str]] = {
    "x86_64": "patch_aarch64_*",
    "i686": "patch_aarch64_*",
    "aarch64": "patch_x86_64_*",
}
# Not in the memory that a trace lies in:
_FAR_AWAY: Final = frozenset({HoleValue.EXECUTOR})

Check = Callable[[Audited], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One question: its name, the issues that it comes from, why it is asked, and what answers it.

    What a gate that only `notes` finds is told, and fails only if it is demanded. Where it does not `apply`, it is not
    asked, and nobody is told that it passed.
    """

    name: str
    refs: str
    why: str
    check: Check
    notes: bool = False
    applies: Callable[[Audited], bool] = lambda _: True


def run(subject: str, audited: Audited, waivers: Sequence[Waiver], demanded: Iterable[str], today: str) -> Audit:
    """Ask every gate; `demanded` are gates whose notes are failures."""
    demands = frozenset(demanded)
    results = tuple(_ask(gate, audited, waivers, demands, today) for gate in GATES)
    return Audit(subject=subject, results=results, stale=tuple(_stale(results, waivers, today)))


def _ask(gate: Gate, audited: Audited, waivers: Sequence[Waiver], demanded: frozenset[str], today: str) -> GateResult:
    applies = gate.applies(audited)
    findings = tuple(_waive(item, gate.name, waivers, today) for item in gate.check(audited)) if applies else ()
    open_ = [finding for finding in findings if not finding.waived]
    failed = [finding for finding in open_ if gate.name in demanded or not (gate.notes or finding.weak)]
    outcome: Outcome = "failed" if failed else "noted" if open_ else "passed" if applies else "not asked"
    return GateResult(gate=gate.name, refs=gate.refs, why=gate.why, outcome=outcome, findings=findings)


def _waive(finding: Finding, gate: str, waivers: Sequence[Waiver], today: str) -> Finding:
    for waiver in waivers:
        if waiver.gate == gate and fnmatchcase(finding.stencil, waiver.stencil) and today <= waiver.until:
            return replace(finding, waived=f"{waiver.why} (until {waiver.until})")
    return finding


def _stale(results: Sequence[GateResult], waivers: Sequence[Waiver], today: str) -> Iterator[str]:
    for waiver in waivers:
        name = f"{waiver.gate} {waiver.stencil}"
        if today > waiver.until:
            yield f"the waiver of {name} ended on {waiver.until}"
            continue
        found = [result for result in results if result.gate == waiver.gate]
        if not any(fnmatchcase(item.stencil, waiver.stencil) for result in found for item in result.findings):
            yield f"the waiver of {name} waives nothing"


def parse_waivers(text: str, where: str) -> tuple[Waiver, ...]:
    """Read a list of waivers; `where` is the file's name, for messages.

    Raises: PolicyError with the path to the bad field.
    """
    root = document(text, name=where, schema=_WAIVERS_SCHEMA, error=PolicyError)
    found = []
    names = {gate.name for gate in GATES}
    for row in root.tables("waiver"):
        until = row.text("until")
        if not _DAY.fullmatch(until):
            raise row.fail("until", 'is not a day like "2027-01-31"')
        waiver = Waiver(gate=row.text("gate"), stencil=row.text("stencil"), why=row.text("why"), until=until)
        row.done()
        if waiver.gate not in names:
            raise row.fail("gate", f"there is no gate {waiver.gate!r}; there are {', '.join(sorted(names))}")
        if len(waiver.why.split()) < 2:
            raise row.fail("why", "a waiver needs a reason that others can judge")
        found.append(waiver)
    root.done()
    return tuple(found)


def _patches(audited: Audited) -> Iterator[tuple[str, str, Patch]]:
    for group in audited.stencils.groups:
        for part, stencil in (("code", group.code), ("data", group.data)):
            for patch in stencil.patches:
                if patch.form is not PatchForm.VOID:
                    yield group.name, part, patch


def _instructions(audited: Audited) -> Iterator[tuple[str, Decoded]]:
    for name, code in audited.code.items():
        yield from ((name, item) for item in code)


def _strings(audited: Audited) -> Iterator[tuple[str, str]]:
    for group in audited.stencils.groups:
        for stencil in (group.code, group.data):
            yield from ((group.name, text.decode("ascii")) for text in _STRING.findall(stencil.body))


def _relocations(audited: Audited) -> Iterator[Finding]:
    arch = audited.target.arch
    for name, part, patch in _patches(audited):
        if fnmatchcase(patch.func, _FOREIGN[arch]):
            yield Finding(stencil=name, what=f"{patch.func} is for another architecture than {arch}")
        elif patch.form is PatchForm.ADDRESS and patch.func in _SHORT[arch]:
            outside = patch.symbol or (patch.value.value if patch.value in _FAR_AWAY else "")
            if outside:
                yield Finding(stencil=name, what=f"{patch.func} in its {part} may not reach {outside}")


def _paths(audited: Audited) -> Iterator[Finding]:
    if _PATH.search(audited.line2):
        # A comment, which enters no program: CPython's own generator writes its command there.
        yield Finding(stencil="", what=f"line 2: {audited.line2[:100]}", weak=True)
    for name, text in _strings(audited):
        if _PATH.search(text):
            yield Finding(stencil=name, what=f"it holds {text[:100]!r}")


def _compiler_strings(audited: Audited) -> Iterator[Finding]:
    for name, text in _strings(audited):
        if _COMPILER.search(text):
            yield Finding(stencil=name, what=f"it holds {text[:100]!r}")


def _helpers(audited: Audited) -> Iterator[Finding]:
    for name, _, patch in _patches(audited):
        symbol = patch.symbol or ""
        known = symbol in _ASSERTS or _OWN_SYMBOL.fullmatch(symbol.removeprefix(audited.target.symbol_prefix))
        if symbol and not known:
            yield Finding(stencil=name, what=f"it uses {symbol}, which is not CPython's")


def _matching(audited: Audited, patterns: Sequence[str]) -> Iterator[Finding]:
    for name, _, patch in _patches(audited):
        if patch.symbol and any(fnmatchcase(patch.symbol, pattern) for pattern in patterns):
            yield Finding(stencil=name, what=f"it uses {patch.symbol}")


def _canaries(audited: Audited) -> Iterator[Finding]:
    yield from _matching(audited, _CANARIES)
    for name, item in _instructions(audited):
        if _CANARY_SLOT.search(item.operands):
            yield Finding(stencil=name, what=_at(item))


def _probes(audited: Audited) -> Iterator[Finding]:
    yield from _matching(audited, _PROBES)
    for name, code in audited.code.items():
        for before, item in itertools.pairwise(code):
            if before.mnemonic == "sub" and _PAGE.search(before.operands) and _TOUCH.match(item.text):
                yield Finding(stencil=name, what=_at(item))


def _frame_pointer(audited: Audited) -> Iterator[Finding]:
    for name, item in _instructions(audited):
        if item.writes & _FRAME_POINTERS:
            yield Finding(stencil=name, what=_at(item))


def _writable_data(audited: Audited) -> Iterator[Finding]:
    for name, item in _instructions(audited):
        if item.writes_memory and any(patch.value is HoleValue.DATA for patch in item.patches):
            yield Finding(stencil=name, what=_at(item))


def _forbidden(audited: Audited) -> Iterator[Finding]:
    for name, item in _instructions(audited):
        if item.mnemonic in _FORBIDDEN:
            yield Finding(stencil=name, what=_at(item))


def _data_in_code(audited: Audited) -> Iterator[Finding]:
    for name, code in audited.code.items():
        unknown = [item for item in code if not item.known]
        if unknown:
            yield Finding(stencil=name, what=f"{len(unknown)} times, from {_at(unknown[0])}")


def _strays(audited: Audited) -> Iterator[Finding]:
    """Find direct jumps and calls out of the stencil that nothing patches; its end is where the next one begins."""
    for group in audited.stencils.groups:
        for item in audited.code[group.name]:
            if item.goes is not None and not item.patches and not 0 <= item.goes <= len(group.code.body):
                yield Finding(stencil=group.name, what=_at(item))


def _landing_pads(audited: Audited) -> Iterator[Finding]:
    for name, code in audited.code.items():
        if code and code[0].mnemonic not in _LANDING_PADS:
            yield Finding(stencil=name, what=f"its first instruction is {code[0].text}")


def _growth(audited: Audited) -> Iterator[Finding]:
    before = audited.baseline or 0
    if 100 * (audited.size - before) > audited.allowed_growth * before:
        percent = f"{100 * (audited.size - before) / before:+.2f} %" if before else "from nothing"
        what = f"{before} -> {audited.size} bytes, {percent}; {audited.allowed_growth:g} % are allowed"
        yield Finding(stencil="", what=what)


def _at(item: Decoded) -> str:
    return f"at {item.offset:#x}: {item.text}"


GATES: Final = (
    Gate(
        name="relocations",
        refs="#135690, #129964, LLVM 18 with 3.14",
        why="a hole must be patched by a function of this architecture that reaches what it points to",
        check=_relocations,
    ),
    Gate(
        name="paths",
        refs="#154988, line 2 of upstream's headers",
        why="no path of the machine that built it; on line 2, which is a comment, noted",
        check=_paths,
    ),
    Gate(
        name="compiler-strings",
        refs="#142052",
        why='no "clang version" from .debug$S or .comment',
        check=_compiler_strings,
    ),
    Gate(
        name="helpers",
        refs="conda-forge: __aarch64_ldadd8_acq_rel",
        why="no function that the compiler thought of and jit.c cannot name (memset, __bzero, outlined atomics)",
        check=_helpers,
    ),
    Gate(
        name="canaries",
        refs="uv's hardening flags",
        why="a stencil cannot load a stack canary, nor call what checks it",
        check=_canaries,
    ),
    Gate(
        name="stack-probes",
        refs="uv's hardening flags",
        why="probes write below the frame of a stencil",
        check=_probes,
    ),
    Gate(
        name="frame-pointer",
        refs="3.15 with LLVM 19 and 20",
        why="unwinders rely on stencils that leave the frame pointer alone, where this CPython reserves it",
        check=_frame_pointer,
        applies=lambda audited: audited.reserved_frame_pointer,
    ),
    Gate(
        name="writable-data",
        refs="jit.c: mark_executable",
        why="the data of a stencil is read-only when it runs",
        check=_writable_data,
    ),
    Gate(
        name="instructions",
        refs="prebuilt headers (PEP 774)",
        why="nothing privileged, no system call, no far jump",
        check=_forbidden,
    ),
    Gate(
        name="data-in-code",
        refs="prebuilt headers (PEP 774)",
        why="bytes that are no instruction cannot be audited; noted, because Mach-O has jump tables there",
        check=_data_in_code,
        notes=True,
    ),
    Gate(
        name="stray-jumps",
        refs="#142907, prebuilt headers (PEP 774)",
        why="a jump or call out of a stencil has a hole",
        check=_strays,
    ),
    Gate(
        name="landing-pads",
        refs="#149697, #154820, #157510",
        why="with CET or BTI, an indirect jump needs one; noted, unless --demand landing-pads",
        check=_landing_pads,
        notes=True,
    ),
    Gate(
        name="growth",
        refs="PEP 836: several LLVM versions",
        why="another LLVM must not cost memory unnoticed (--against, --growth)",
        check=_growth,
        applies=lambda audited: audited.baseline is not None,
    ),
)
