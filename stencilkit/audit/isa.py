"""The rule that stencils need no newer processor than they are for.

From decoded instructions, by what the disassembler says of each, and by encoding where it is known to be wrong. What
is in none of these tables is refused: nothing is guessed at. Sources: x86-64 psABI, section 3.1.1 (levels); LLVM's
X86.td and AArch64Processors.td (core2, pentium4, apple-m1); Intel SDM volume 2; Intel APX specification, chapter 3;
Arm ARM, chapter A2 (which extension came with which version).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from stencilkit.audit.code import FORBIDDEN
from stencilkit.audit.examined import Examined
from stencilkit.model.audit import Audited, Decoded, Finding

_V1: Final = frozenset({"cmov", "fpu", "mmx", "sse1", "sse2"})
_V2: Final = _V1 | {"sse3", "ssse3", "sse41", "sse42", "popcnt", "cx16", "sahf"}
_V3: Final = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
_V4: Final = _V3 | {"avx512", "bwi", "cdi", "dqi", "vlx"}
_V8: Final = frozenset({"neon", "fparmv8"})
_V8_1: Final = _V8 | {"crc", "lse", "rdm"}
_V8_2: Final = _V8_1 | {"ccpp"}
_V8_3: Final = _V8_2 | {"pauth", "complxnum", "jsconv", "rcpc"}
_V8_4: Final = _V8_3 | {"dotprod", "flagm", "rcpc2"}
_M1: Final = _V8_4 | {"aes", "sha2", "sha3", "fullfp16", "fp16fml", "altnzcv", "fptoint"}

LEVELS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "x86_64": {
        "x86-64": _V1,
        "core2": _V1 | {"sse3", "ssse3", "cx16", "sahf"},
        "x86-64-v2": _V2,
        "x86-64-v3": _V3,
        "x86-64-v4": _V4,
    },
    "i686": {"pentium4": _V1, "x86-64": _V1, "x86-64-v2": _V2, "x86-64-v3": _V3},
    "aarch64": {
        "armv8-a": _V8,
        "armv8.1-a": _V8_1,
        "armv8.2-a": _V8_2,
        "armv8.3-a": _V8_3,
        "armv8.4-a": _V8_4,
        "apple-m1": _M1,
    },
}
# What clang calls the same: its -target-cpu, and the features that it switches on for them by itself.
_CPUS: Final = {"generic": "armv8-a", "penryn": "core2", "i686": "pentium4"}
_CLANGS: Final[Mapping[str, str]] = {
    "sse": "sse1",
    "sse4.1": "sse41",
    "sse4.2": "sse42",
    "avx512f": "avx512",
    "avx512bw": "bwi",
    "avx512cd": "cdi",
    "avx512dq": "dqi",
    "avx512vl": "vlx",
    "fp-armv8": "fparmv8",
    "v8a": "neon",
    "v8.1a": "lse",
    "v8.2a": "ccpp",
    "v8.3a": "pauth",
    "v8.4a": "flagm",
}
# Features of clang's that add no instruction, or only such as run as NOPs on all processors.
_NO_INSTRUCTIONS: Final = re.compile(
    r"outline-atomics|fmv|zc[mz]\S*|x87|crc32|fxsr|cx8|tune-\S+|pan\S*|ras|dit|lor|vh|sel2|uaops|nv|mpam|trace\S*|perfmon"
)
_M1S: Final = re.compile(
    r"v8\.[45]a|ccdp|predres|sb|ssbs|specrestrict|am|ete|amvs|tlb-rmi|el2vmsa|el3|rcpc-immo|spe-eef|bti"
)

_ABOUT_FLOW: Final = frozenset(
    {
        "jump",
        "call",
        "ret",
        "return",
        "int",
        "iret",
        "privilege",
        "branch_relative",
        "mode64",
        "mode32",
        "not64bitmode",
        "novlx",
    }
)
_SAME: Final = {"pointer authentication": "pauth", "crypto": "aes"}
_PREFIXES: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
_REX: Final = range(0x40, 0x50)
_REX2, _EVEX, _XOP = 0xD5, 0x62, 0x8F
_VEX: Final = (0xC4, 0xC5)
_REGISTER_FORM: Final = 0xC0
# The maps of EVEX before APX: 0F, 0F38, 0F3A, and two of FP16.
_EVEX_MAPS: Final = (1, 2, 3, 5, 6)
# What APX made of bits of EVEX that were fixed: B4 (set) and X4 (clear).
_B4, _X4 = 8, 4

# Instructions of the 80386 to the Pentium that compilers emit, and those of x86-64 (Intel SDM volume 1, chapter 5.1).
_X86_BASE: Final = frozenset(
    """
    adc add and bsf bsr bswap bt btc btr bts call cbw cdq cdqe clc cld cmc cmp cmpxchg cmpxchg8b cqo cwd cwde
    dec div endbr32 endbr64 idiv imul inc int3 jmp jrcxz jecxz jcxz lea leave loop loope loopne mov movabs movsb
    movsd movsq movsw movsx movsxd movzx mul neg nop not or pop push rcl rcr ret rol ror sar sbb scasb shl shld
    shr shrd std stc stosb stosd stosq stosw lodsb lodsd lodsq lodsw cmpsb cmpsd cmpsq cmpsw sub test ud2 xadd
    xchg xor pause prefetcht0 prefetcht1 prefetcht2 prefetchnta mfence lfence sfence wait tzcnt
    """.split()  # noqa: SIM905  # a list of words is easier to read than one of strings
)
_X86_CONDITIONAL: Final = re.compile(r"(?:j|set)(?:n?[abglcosp]e?|n?e|n?z|p[eo])")
_X86_MORE: Final = {
    "popcnt": "popcnt",
    "lzcnt": "lzcnt",
    "movbe": "movbe",
    "crc32": "sse42",
    "cmpxchg16b": "cx16",
    "lahf": "sahf",
    "sahf": "sahf",
    "palignr": "ssse3",
}
_X87: Final = re.compile(
    r"f(?:abs|add|addp|b(?:ld|stp)|chs|n?clex|cmov\w+|u?comi?p?|u?compp|div|divp|divr|divrp|free|i\w+|ld\w*|mul|mulp|nop|patan|prem1?"
    r"|ptan|rndint|scale|sin|cos|sincos|sqrt|n?st(?:p|cw|sw|env)?|sub|subp|subr|subrp|tst|xam|xch|xtract|yl2x(?:p1)?|2xm1)"
)
_PREFIX_WORDS: Final = frozenset(
    {"lock", "rep", "repe", "repne", "repz", "repnz", "bnd", "notrack", "xacquire", "xrelease"}
)

_ARM_BASE: Final = re.compile(
    r"adcs?|adds?|adrp?|ands?|asrv?|b(?:\.\w\w)?|bfi|bfm|bfxil|bfc|bics?|blr?|br|brk|cbn?z|ccmn|ccmp|cinc|cinv|cls|clz|clrex|cmn|cmp"
    r"|cneg|csdb|csel|csetm?|csinc|csinv|csneg|dmb|dsb|eon|eor|extr|hint|isb|ld[ap]?x?[rp][bh]?|ld(?:u|t)?r(?:s?[bhw])?|ld(?:ax|x)[rp][bh]?"
    r"|ldnp|ldpsw|ldar[bh]?|lslv?|lsrv?|madd|mneg|mov[knz]?|msub|mul|mvn|negs?|ngcs?|nop|or[nr]|prfu?m|rbit|ret|rev(?:16|32|64)?|rorv?"
    r"|sbcs?|sbfiz|sbfm|sbfx|sdiv|smaddl|smnegl|smsubl|smulh|smull|st(?:u|t)?r[bh]?|st[np]p|stp|stlr[bh]?|stl?x[rp][bh]?|subs?"
    r"|sxt[bhw]|tbn?z|tst|ubfiz|ubfm|ubfx|udf|udiv|umaddl|umnegl|umsubl|umulh|umull|uxt[bh]|yield"
    r"|bti|pac(?:ia|ib)(?:sp|z|1716)|aut(?:ia|ib)(?:sp|z|1716)|xpaclri|dgh|sev|sevl|wfe|wfi"
)
# Mnemonics that the disassembler has in no group of their own, or in that of an older extension.
_ARM_MORE: Final[Mapping[str, re.Pattern[str]]] = {
    "lse": re.compile(
        r"(?:cas|swp)(?:p|a|l|al)?[bh]?|casp\w*|(?:ld|st)(?:add|clr|eor|set|[su]max|[su]min)(?:a|l|al)?[bh]?"
    ),
    "rcpc": re.compile(r"ldapr[bh]?"),
    "rcpc2": re.compile(r"ldapur\w*|stlur[bh]?"),
    "pauth": re.compile(r"pac\w+|aut\w+|xpac[di]|(?:bra|blra|reta|ereta|ldra)\w*"),
    "flagm": re.compile(r"cfinv|rmif|setf(?:8|16)"),
    "altnzcv": re.compile(r"[ax]+flag"),
    "jsconv": re.compile(r"fjcvtzs"),
    "fptoint": re.compile(r"frint(?:32|64)[xz]"),
    "crc": re.compile(r"crc32\w+"),
    "rdm": re.compile(r"sqrdml[as]h"),
    "dotprod": re.compile(r"[su]dot"),
    "complxnum": re.compile(r"fcadd|fcmla"),
    "aes": re.compile(r"aes\w+|pmull2?"),
    "sha2": re.compile(r"sha1\w+|sha256\w+"),
    "sha3": re.compile(r"sha512\w+|eor3|rax1|xar|bcax"),
    "fp16fml": re.compile(r"fml[as]l2?"),
}
_HALVES: Final = re.compile(r"\bh\d+\b|\.[48]h\b")
# With half precision, armv8-a can only convert.
_CONVERTS: Final = re.compile(r"fcvt(?:[ln]2?|xn2?)?|ldr|str|ldu?r|stu?r|ldp|stp")
_FLOATING: Final = re.compile(r"f\w+|[su]cvtf")
_VECTOR_MEMORY: Final = re.compile(r"(?:ld|st)[1-4]r?|(?:ld|st)n?p|(?:ld|st)u?r")


def check(audited: Audited, stencil: Examined) -> Iterator[str]:
    """Find instructions beyond what is allowed."""
    allowed = LEVELS[stencil.arch][audited.isa]
    for item in stencil.code:
        if item.mnemonic.split(" ")[-1] in FORBIDDEN:
            # Found by a rule of their own, and in no instruction set that is allowed.
            continue
        lacking = _NEEDS[stencil.arch](item) - allowed
        if lacking:
            needs = " and ".join(sorted(lacking))
            yield f"beyond {audited.isa}, at {item.offset:#x}: {item.text} ({needs})"


def recorded(audited: Audited) -> Iterator[Finding]:
    """Find what the manifest says that stencils need beyond what is allowed."""
    return (Finding(stencil="", what=what) for what in _recorded(audited))


def _recorded(audited: Audited) -> Iterator[str]:
    if audited.cpu is None:
        return
    name, features = audited.cpu
    arch = audited.target.arch
    level = _CPUS.get(name, name)
    allowed = LEVELS[arch][audited.isa]
    if level not in LEVELS[arch]:
        yield f"the manifest says that they are for {name}, a processor that stencilkit does not know"
    elif lacking := LEVELS[arch][level] - allowed:
        yield f"the manifest says that they are for {name}, which has {', '.join(sorted(lacking))} beyond {audited.isa}"
    for feature in features:
        bare = feature.removeprefix("+")
        known = _CLANGS.get(bare, bare) in allowed or _NO_INSTRUCTIONS.fullmatch(bare)
        if feature.startswith("+") and not known and not (level == audited.isa == "apple-m1" and _M1S.fullmatch(bare)):
            yield f"the manifest says that they were compiled with {feature}, beyond {audited.isa}"


def _groups(item: Decoded) -> frozenset[str]:
    return frozenset(_SAME.get(group, group) for group in item.groups - _ABOUT_FLOW)


def _x86(item: Decoded, *, wide: bool) -> frozenset[str]:
    """Name what an instruction needs."""
    encoded = _x86_encoding(item.encoding, wide=wide)
    if encoded or not item.known:
        return encoded | (_groups(item) if item.known else frozenset())
    words = [word for word in item.mnemonic.split() if word not in _PREFIX_WORDS]
    mnemonic = words[-1] if words else item.mnemonic
    if mnemonic in _X86_MORE:
        return frozenset({_X86_MORE[mnemonic]}) | _groups(item)
    groups = _groups(item)
    if _X87.fullmatch(mnemonic):
        # Whose forms with registers alone are in no group.
        return groups | {"fpu"}
    if mnemonic == "tzcnt":
        # The encoding of "rep bsf", which is what processors without BMI run; for 0, about which they differ, compilers
        # do not use it.
        return groups - {"bmi"}
    if groups or mnemonic in _X86_BASE or _X86_CONDITIONAL.fullmatch(mnemonic):
        return groups
    return frozenset({f"unknown: {mnemonic}"})


def _x86_encoding(encoding: bytes, *, wide: bool) -> frozenset[str]:
    """Name what the first bytes of an encoding need, whatever a disassembler makes of them."""
    rest = encoding.lstrip(bytes(_PREFIXES))
    if wide and rest and rest[0] in _REX:
        rest = rest[1:]
    if not rest:
        return frozenset({"unknown: prefixes alone"})
    # In 32-bit code these bytes are old instructions (LES, LDS, BOUND) if what follows is not a register's form.
    form = wide or (len(rest) > 1 and rest[1] >= _REGISTER_FORM)
    if rest[0] == _REX2 and wide:
        return frozenset({"apx"})
    if rest[0] == _EVEX and form:
        return frozenset({"apx"} if _is_apx(rest) else {"avx512"})
    if rest[0] in _VEX and form:
        return frozenset({"avx"})
    if rest[0] == _XOP and len(rest) > 1 and rest[1] & 31 >= 8:  # XOP's maps; POP has less there
        return frozenset({"xop"})
    return frozenset()


def _is_apx(rest: bytes) -> bool:
    if len(rest) < 4:  # an EVEX prefix
        return True
    return rest[1] & 7 not in _EVEX_MAPS or bool(rest[1] & _B4) or not rest[2] & _X4


def _arm(item: Decoded) -> frozenset[str]:
    if not item.known:
        return frozenset()
    found = set(_groups(item))
    found.update(name for name, pattern in _ARM_MORE.items() if pattern.fullmatch(item.mnemonic))
    if _FLOATING.fullmatch(item.mnemonic) and _HALVES.search(item.operands) and not _CONVERTS.fullmatch(item.mnemonic):
        found.add("fullfp16")
    base = _ARM_BASE.fullmatch(item.mnemonic)
    if base and found == {"pauth"}:
        # In the space of hints: a NOP where there is no pointer authentication.
        return frozenset()
    if not found and not base and not _VECTOR_MEMORY.fullmatch(item.mnemonic):
        found.add(f"unknown: {item.mnemonic}")
    return frozenset(found)


_NEEDS: Final[Mapping[str, Callable[[Decoded], frozenset[str]]]] = {
    "x86_64": functools.partial(_x86, wide=True),
    "i686": functools.partial(_x86, wide=False),
    "aarch64": _arm,
}
