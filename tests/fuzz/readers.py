"""Every reader of bytes from elsewhere: how it is called, and inputs of our own making to start from.

A reader answers with what it read or a StencilkitError; anything else is a fault.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit import (
    artifact,
    asmopt,
    audit,
    dialects,
    disassemble,
    emit,
    ledger,
    merge,
    objects,
    packages,
    reader,
    signatures,
    source,
    targets,
)
from stencilkit import verify as verifying
from stencilkit.attest import _statement
from stencilkit.compiler import closure, completeness, live, phis
from stencilkit.model import cc1, pyconfig
from stencilkit.model.attestation import Build, Claim, Material, Statement
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.signature import Candidate, Made, sign
from stencilkit.model.stencil import Stencil
from stencilkit.objects import stored
from stencilkit.pipeline import opening
from stencilkit.support import archive, shell
from tests import objectfiles as of
from tests import samples

TARGETS: Final = {target.triple: target for target in targets.load().targets}
FORMS: Final = tuple(dialects.header_forms())


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A reader; `repair` makes digests fit again after a mutation, so that what is behind them is reached."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()
    repair: Callable[[bytes], bytes] = lambda data: data


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()


@functools.cache
def sample() -> tuple[bytes, bytes]:
    """Return the header and the manifest of the sample stencils."""
    with tempfile.TemporaryDirectory() as name:
        header = samples.folder(Path(name, "out"), samples.tree(Path(name, "tree")))
        return header.read_bytes(), header.with_name(MANIFEST_NAME).read_bytes()


# TOML


def sealed(data: bytes) -> bytes:
    plain = re.sub(rb'^seal = "[0-9a-f]*"\n\Z', b"", data, flags=re.MULTILINE)
    return plain + b'seal = "%b"\n' % hashlib.sha256(plain).hexdigest().encode()


def entry() -> bytes:
    digest = "ab" * 32
    return ledger.render(
        Entry(
            cpython="3.14.7",
            triple=samples.TRIPLE,
            flavour="release",
            llvm="19.1.7",
            content=digest,
            interface=digest,
            code_bytes=8,
            data_bytes=0,
            extras={},
            stencils={"_NOP": digest[:16], "shim": digest[:16]},
            deviations=(),
        )
    ).encode()


POLICY: Final = b'schema = 1\nrequire = ["manifest"]\nllvm = "19..22"\nvendors = ["Debian"]\nmingw = false\n'
WAIVERS: Final = (
    b'schema = 1\n[[waiver]]\nrule = "relocations"\nstencil = "_NOP*"\nwhy = "a reason"\nuntil = "2030-01-01"\n'
)
TOML: Final = (b"9" * 5000, b"[[", b"]]", b"a.b.c.d", b"'''", b'"""', b"\\u0000", b"1e999", b"0x", b"inf", b"{", b"=")

# Archives


def tar(*members: tuple[str, bytes, Mapping[str, str]], form: int = tarfile.PAX_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as file:
        for name, data, headers in members:
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(data), headers
            file.addfile(member, io.BytesIO(data))
    return raw.getvalue()


def checksums(data: bytes) -> bytes:
    """Make the checksum of every header of a tar fit again."""
    out = bytearray(data)
    for start in range(0, len(out) - 511, 512):
        block = out[start : start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            out[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return bytes(out)


def through_file(use: Callable[[Path], object]) -> Callable[[bytes], object]:
    def run(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, "input")
            path.write_bytes(data)
            use(path)

    return run


def unpack(path: Path) -> None:
    bounds = archive.Bounds(members=50, size=1 << 20)
    archive.unpack_source(path, path.with_name("tree"), "Include/patchlevel.h", bounds)


def bundle() -> bytes:
    header, manifest = sample()
    root = artifact.ROOT / samples.TRIPLE
    files = {f"{root}.h": header, f"{root}.manifest.toml": manifest}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return archive.write_tar({**files, artifact.SUMS: sums.encode()}, compress=False)


SPARSE: Final = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9", "GNU.sparse.name": "x"}
TARS: Final = (
    tar(("p/Include/patchlevel.h", b"x", {}), ("p/" + "n" * 200, b"y" * 600, {"comment": "c"})),
    tar(("p/a", b"1\n0\n9\nxxxxxxxxx", SPARSE)),
    tar(("p/" + "n" * 200, b"y", {}), form=tarfile.GNU_FORMAT),
)
TAR_TOKENS: Final = (b"x", b"g", b"L", b"K", b"S", b"\0" * 512, b"GNU.sparse.map=0,9", b"9" * 40, b"30 size=-1\n")

# Assembly

X86_ASM: Final = b"""\t.text
\t.globl\t_JIT_ENTRY
\t.type\t_JIT_ENTRY,@function
_JIT_ENTRY:
\tpushq\t%rbp
\tmovq\t%rsp, %rbp
\tsubq\t$16, %rsp
\tmovq\t%rax, -8(%rbp)
\tcmpl\t$0, (%rdi)
\tje\t.LBB0_2
\tcallq\t_Py_Dealloc@PLT
.LBB0_2:
\taddq\t$16, %rsp
\tpopq\t%rbp
\tjmp\t_JIT_CONTINUE
.Lfunc_end0:
\t.size\t_JIT_ENTRY, .Lfunc_end0-_JIT_ENTRY
\t.section\t".note.GNU-stack","",@progbits
"""
ARM_ASM: Final = b"""\t.text
\t.globl\t_JIT_ENTRY
\t.type\t_JIT_ENTRY,@function
_JIT_ENTRY:
\tstp\tx29, x30, [sp, #-32]!
\tmov\tx29, sp
\tstr\tx8, [x29, #16]
\tadrp\tx8, :got:_JIT_OPARG_16
\tldr\tx8, [x8, :got_lo12:_JIT_OPARG_16]
\tand\tx9, x8, #0xffff
\tadrp\tx8, :got:_Py_None
\tldr\tx8, [x8, :got_lo12:_Py_None]
\tcbz\tx8, _JIT_ERROR_TARGET
\tbl\t_Py_Dealloc
\tldp\tx29, x30, [sp], #32
\tb\t_JIT_CONTINUE
\t.section\t".note.GNU-stack","",@progbits
"""
ASM_TOKENS: Final = (
    *(b"-(%rbp)", b"(%rbp)", b"leaq\t-8(%rsp), %rsp", b"subq\t$-99999999999999999999, %rsp", b"jmp\t*%rax", b"retq"),
    *(b"stp\tx29, x30, [sp, #16]", b"add\tx29, sp, #16", b"[x29, #-8]", b"sub\tsp, sp, #48", b"br\tx8", b"ret"),
    *(b".type\tf,@function", b".LBB0_2", b"_JIT_CONTINUE", b'"a b":', b".set\tx, y", b"#", b";", b"\x0b"),
    *(b"movw\t", b"adrp\tx1, _JIT_OPERAND0_32", b"ldr\tx1, [x1, _JIT_OPERAND0_32]", b"9" * 5000, b"loop\t.LBB0_2"),
)


def assembly(data: bytes) -> None:
    """The first byte chooses the target and how frames are treated."""
    frames: tuple[asmopt.Frames, ...] = ("reserved", "all", "any")
    triples = [triple for triple in TARGETS if TARGETS[triple].arch != "i686"] + ["i686-pc-windows-msvc"]
    choice = data[0] if data else 0
    target = TARGETS[triples[choice % len(triples)]]
    body = text(data[1:])
    one = asmopt.rewrite("_NOP", body, target, frames[choice // len(triples) % 3])
    merge.merge({"_A": one, "_B": body}, target)


# LLVM IR, and what compilers print

IR: Final = b"""define preserve_nonecc i64 @_JIT_ENTRY(ptr %0) #0 {
  %2 = musttail call ghccc i64 @_JIT_CONTINUE(ptr %0)
  ret i64 %2
}
declare i64 @_JIT_CONTINUE(ptr)
attributes #0 = { "frame-pointer"="none" }
!0 = !{i32 1, !"wchar_size", i32 4}
"""
DUMP: Final = (
    b"; *** IR Dump After CallSiteSplittingPass on _JIT_ENTRY ***\ndefine i64 @_JIT_ENTRY() {\n"
    b"  %1 = phi i64 [0, %2]\n  %3 = phi i64 [0, %2]\n  ret i64 0\n}\n"
)


def ir(data: bytes) -> None:
    body = text(data)
    for series in dialects.KNOWN:
        dialects.dialect_for(series).edit_ir(body)
    completeness.problem("llvm-ir", "elf", data)
    phis.insensitive(body, ["_A"])
    live.digests(body, ["_A"])
    closure._dependencies(body)


def config(data: bytes) -> None:
    body = text(data)
    pyconfig.macros(body)
    pyconfig.visible(body, pyconfig.words([data]))


# What clang's driver and a makefile say

DRIVER: Final = (
    b'clang version 19.1.7\n (in-process)\n "/usr/bin/clang" "-cc1" "-triple" "x86_64-unknown-linux-gnu" "-emit-obj" '
    b'"-target-feature" "-avx2" "-D" "-x" "-mllvm" "-a" "-o" "probe.out" "-x" "c" "probe.c"\n'
)


def driver(data: bytes) -> None:
    for words in cc1.commands(text(data)):
        found = cc1.arguments(words, "probe.c", "probe.out")
        cc1.cpu(found)
        cc1.difference(found, found[::2])


def command_line(data: bytes) -> None:
    with contextlib.suppress(shell.ShellError):
        shell.commands(text(data), {"HOME": "/home", "A_1": "$B"})


# Statements, signatures and packages


def statement() -> bytes:
    names = {"cpython": "3.14.7", "triple": samples.TRIPLE, "llvm": "19.1.7"}
    claim = Claim(**names, flavour="release", content="c" * 64, interface="1" * 64)
    materials = (Material(name="clang", uri="pkg:generic/llvm@19.1.7", sha256="d" * 64),)
    build = Build(claim=claim, spelling=samples.TRIPLE, cflags="-O2", materials=materials, results={"ledger": "same"})
    return _statement.encode(Statement(builder="https://example.org/builder", builds=(build,), files={"a": "f" * 64}))


def signed() -> bytes:
    body = bytes(range(200))
    signature = sign(body)
    assert signature is not None
    made = Made(cpython="3.14.7", triple=samples.TRIPLE, flavour="release", llvm="19.1.7")
    candidate = Candidate(made=made, signatures={"_NOP": signature}, source="fuzz", codes={"_NOP": body})
    return signatures.render([candidate]).encode()


def package() -> bytes:
    # It looks for its library with a program when it is first imported, which no test in here may start.
    packages._libarchive()
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        file.writestr("lib/libpython3.14.so", b"\x7fELF PYTHONHOME\0")
        file.writestr("inner.tar", TARS[0])
    return raw.getvalue()


# Object files

OBJECTS: Final = {
    "x86_64-unknown-linux-gnu": of.elf(
        of.ELF_X86_64, bytes(16), [(4, 2, 4, -4)], [of.Name("_JIT_ENTRY", 1), of.Name("_PyFoo")]
    ),
    "aarch64-apple-darwin": of.macho(
        of.MACHO_ARM64,
        [
            of.Part("__text", bytes(16), of.CODE, [of.macho_relocation(4, 1, 2, pcrel=True)]),
            of.Part("__const", bytes(8), address=16),
        ],
        [of.Name("__JIT_ENTRY", 1), of.Name("__PyFoo"), of.Name("lC", 2, 16)],
    ),
    "x86_64-pc-windows-msvc": of.coff(
        of.COFF_AMD64,
        [
            of.Part(".text", bytes(16), of.COFF_CODE, [of.coff_relocation(4, 2, 4)]),
            of.Part(".rdata$long", bytes(8), of.COFF_RDATA),
        ],
        [of.Name(".text", 1, auxiliary=(bytes(18),)), of.Name("__imp__PyFoo"), of.Name("_JIT_ENTRY", 1)],
    ),
}
BINARY: Final = (b"\xff" * 4, b"\xff" * 8, b"\x80\0\0\0", b"\0\0\0\x80", b"\xff\x7f\0\0", b"\0" * 16)


def parse(triple: str, data: bytes) -> None:
    for unwind in (False, True):
        found = objects.parse(data, TARGETS[triple], unwind=unwind)
        assert sum(len(section.data) + section.padding for section in found.sections) < 8 << 20


def code(data: bytes) -> None:
    for arch in ("x86_64", "i686", "aarch64"):
        stencil = Stencil(body=data[: 1 << 16], patches=())
        disassemble.decode(stencil, arch)
        disassemble.calls(stencil.body, arch)


def header(data: bytes) -> None:
    found = reader.read(text(data), FORMS, "fuzz.h")
    emit.render_header(found.stencils, found.format, line1=found.line1, line2=found.line2)


def tree(data: bytes) -> None:
    list(source._cases(text(data)))


READERS: Final[Mapping[str, Reader]] = {
    "manifest": Reader(
        run=lambda data: opening.read_manifest(text(data), "fuzz"),
        seeds=(sample()[1],),
        tokens=TOML,
        repair=sealed,
    ),
    "policy": Reader(run=lambda data: verifying.parse_policy(text(data), "fuzz"), seeds=(POLICY,), tokens=TOML),
    "waivers": Reader(run=lambda data: audit.parse_waivers(text(data), "fuzz"), seeds=(WAIVERS,), tokens=TOML),
    "ledger": Reader(run=lambda data: ledger.parse(text(data), "fuzz"), seeds=(entry(),), tokens=TOML),
    "header": Reader(
        run=header,
        seeds=(sample()[0],),
        tokens=(b"patch_64(", b"0x", b", ", b"};\n", b"    \n", b"got_symbol_address(0x0, state)", b"emit_"),
    ),
    "bundle": Reader(
        run=through_file(artifact.read_bundle), seeds=(bundle(), *TARS), tokens=TAR_TOKENS, repair=checksums
    ),
    "tarball": Reader(run=through_file(unpack), seeds=TARS, tokens=TAR_TOKENS, repair=checksums),
    **{
        objects_: Reader(run=functools.partial(parse, triple), seeds=(OBJECTS[triple],), tokens=BINARY)
        for objects_, triple in zip(("elf", "macho", "coff"), OBJECTS, strict=True)
    },
    "stored": Reader(
        run=stored.load,
        seeds=(stored.dump(objects.parse(OBJECTS[samples.TRIPLE], TARGETS[samples.TRIPLE])),),
        tokens=(b"[", b"]", b"null", b"true", b"{}", b"1e99", b'"code"'),
    ),
    "assembly": Reader(
        run=assembly,
        seeds=tuple(bytes([number]) + seed for seed in (X86_ASM, ARM_ASM) for number in range(24)),
        tokens=ASM_TOKENS,
    ),
    "ir": Reader(
        run=ir,
        seeds=(IR, DUMP, b"a.o: b.h c\\ d.h \\\n e$$f.h\n"),
        tokens=(b"\n}\n", b"ghccc", b"phi ", b"%", b"musttail", b"define "),
    ),
    "pyconfig": Reader(
        run=config,
        seeds=(samples.PYCONFIG.encode(),),
        tokens=(b"#if", b"#endif\n", b"#else\n", b"/*", b"*/", b"#define ", b"\\\n", b"#undef "),
    ),
    "cases": Reader(
        run=tree,
        seeds=(samples.TREE["Python/executor_cases.c.h"].encode(),),
        tokens=(b"\n        case _A: {\n", b"\n        }"),
    ),
    "driver": Reader(run=driver, seeds=(DRIVER,), tokens=(b'"-cc1"', b'"', b"\\", b"'", b"\n", b'"-target-feature"')),
    "shell": Reader(
        run=command_line,
        seeds=(b"python ./Tools/jit/build.py $A_1 --cflags=\"-O2 '-g'\" --output-dir . && touch ${HOME}/x\n",),
        tokens=(b"$", b"${", b"}", b"'", b'"', b"\\", b"#", b";", b"&&", b"\\\n"),
    ),
    "statement": Reader(
        run=lambda data: _statement.decode(data, "fuzz"),
        seeds=(statement(),),
        tokens=(b"{}", b"[]", b"null", b"1e999", b'"digest"', b'"sha256"', b"9" * 5000, b"[" * 2000),
    ),
    "signatures": Reader(
        run=lambda data: signatures.parse(text(data), "fuzz"),
        seeds=(signed(),),
        tokens=(b"0-9999", b",", b"[]", b"{}", b"null", b"9" * 5000, b"[" * 2000),
    ),
    "package": Reader(
        run=lambda data: packages.open_package(data, "fuzz"),
        seeds=(package(), *TARS),
        tokens=(b"PK\x03\x04", b"PK\x01\x02", b"\xff\xff\xff\xff", b"../", b"!<arch>\n", b"ustar"),
    ),
    "code": Reader(run=code, seeds=(bytes(64), b"\x90" * 9, bytes.fromhex("48b80000000000000000ff2500000000"))),
}
