"""The rules about what a header holds: its text, its patches, its strings, its size, the names that it uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from stencilkit.model.audit import Audited, Finding
from stencilkit.model.stencil import HoleValue, Patch, PatchForm

_STRING: Final = re.compile(rb"[\x20-\x7e]{4,}")
_PATH: Final = re.compile(r"(?:^|[\s'\"=:])(?:/[\w.+-]+/[\w./+-]*|[A-Za-z]:\\[\w.\\+-]+)")
_COMPILER: Final = re.compile(r"clang version|LLVM|GCC: |\.debug\$|Linker: ", re.IGNORECASE)
_OWN_SYMBOL: Final = re.compile(r"_{0,2}imp_|_?_?Py\w*|_JIT_\w+")
# What assert() calls, and jit.c sees declared; debug stencils hold asserts.
_ASSERTS: Final = frozenset({"__assert_fail", "__assert_rtn", "_wassert", "___assert_rtn", "__assert", "abort"})
_CANARIES: Final = ("__stack_chk_*", "__security_cookie", "__security_check_cookie", "__stack_smash_handler")
_PROBES: Final = ("__chkstk*", "_chkstk*", "___chkstk*", "__probestack", "__rust_probestack")
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
# Not in the memory that a trace is in:
_FAR_AWAY: Final = frozenset({HoleValue.EXECUTOR})


def _patches(audited: Audited) -> Iterator[tuple[str, str, Patch]]:
    for group in audited.stencils.groups:
        for part, stencil in (("code", group.code), ("data", group.data)):
            for patch in stencil.patches:
                if patch.form is not PatchForm.VOID:
                    yield group.name, part, patch


def _strings(audited: Audited) -> Iterator[tuple[str, str]]:
    for group in audited.stencils.groups:
        for stencil in (group.code, group.data):
            yield from ((group.name, text.decode("ascii")) for text in _STRING.findall(stencil.body))


def relocations(audited: Audited) -> Iterator[Finding]:
    """Find holes that their patch function cannot fill."""
    arch = audited.target.arch
    for name, part, patch in _patches(audited):
        if fnmatchcase(patch.func, _FOREIGN[arch]):
            yield Finding(stencil=name, what=f"{patch.func} is for another architecture than {arch}")
        elif patch.form is PatchForm.ADDRESS and patch.func in _SHORT[arch]:
            outside = patch.symbol or (patch.value.value if patch.value in _FAR_AWAY else "")
            if outside:
                yield Finding(stencil=name, what=f"{patch.func} in its {part} may not reach {outside}")


def paths(audited: Audited) -> Iterator[Finding]:
    """Find paths of the machine that built it."""
    if _PATH.search(audited.line2):
        # A comment, which enters no program: CPython's own generator writes its command there.
        yield Finding(stencil="", what=f"line 2: {audited.line2[:100]}", weak=True)
    for name, text in _strings(audited):
        if _PATH.search(text):
            yield Finding(stencil=name, what=f"it holds {text[:100]!r}")


def compiler_strings(audited: Audited) -> Iterator[Finding]:
    """Find names of compilers and linkers."""
    for name, text in _strings(audited):
        if _COMPILER.search(text):
            yield Finding(stencil=name, what=f"it holds {text[:100]!r}")


def helpers(audited: Audited) -> Iterator[Finding]:
    """Find functions that the compiler thought of."""
    for name, _, patch in _patches(audited):
        symbol = patch.symbol or ""
        known = symbol in _ASSERTS or _OWN_SYMBOL.fullmatch(symbol.removeprefix(audited.target.symbol_prefix))
        if symbol and not known:
            yield Finding(stencil=name, what=f"it uses {symbol}, which is not CPython's")


def _matching(audited: Audited, patterns: Sequence[str]) -> Iterator[Finding]:
    for name, _, patch in _patches(audited):
        if patch.symbol and any(fnmatchcase(patch.symbol, pattern) for pattern in patterns):
            yield Finding(stencil=name, what=f"it uses {patch.symbol}")


def growth(audited: Audited) -> Iterator[Finding]:
    """Find that it grew by more than is allowed."""
    before = audited.baseline or 0
    if 100 * (audited.size - before) > audited.allowed_growth * before:
        percent = f"{100 * (audited.size - before) / before:+.2f} %" if before else "from nothing"
        what = f"{before} -> {audited.size} bytes, {percent}; {audited.allowed_growth:g} % are allowed"
        yield Finding(stencil="", what=what)


def canaries(audited: Audited) -> Iterator[Finding]:
    """Find what a stack canary needs."""
    return _matching(audited, _CANARIES)


def probes(audited: Audited) -> Iterator[Finding]:
    """Find the functions that probe the stack."""
    return _matching(audited, _PROBES)


def externals(audited: Audited) -> Iterator[Finding]:
    """Find external names that a uop's sources do not reach, or for which there is no evidence."""
    references = audited.references
    if references.problem:
        yield Finding(stencil="", what=references.problem)
    if references.symbols is None:
        if not references.proven:
            yield Finding(stencil="", what=f"not proven: {references.by}", weak=True)
        return
    seen = set()
    for name, _, patch in _patches(audited):
        symbol = patch.symbol
        if symbol and symbol not in _ASSERTS and (name, symbol) not in seen:
            seen.add((name, symbol))
            if symbol not in references.symbols.get(name, frozenset()):
                yield Finding(stencil=name, what=f"it uses {symbol}, which {references.by} cannot reach")
