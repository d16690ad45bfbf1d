"""Small stencils, headers, manifests and trees of our own, for tests that need no CPython and no compiler."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import stencilkit.ledger
from stencilkit import dialects, manifest, source, targets
from stencilkit.model import pyconfig
from stencilkit.model.build import IncludedFile
from stencilkit.model.cc1 import Cpu
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import (
    MANIFEST_NAME,
    Deviation,
    FileRecord,
    FlagRecord,
    Manifest,
    Provenance,
    ToolchainRecord,
    Use,
    UsedFile,
)
from stencilkit.model.source import SourceTree
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup, StencilSet
from stencilkit.pipeline import companions, knowing, rendering

TRIPLE = "x86_64-unknown-linux-gnu"
FOREIGN = frozenset({"errno", "size_t", "_GNU_SOURCE"})
PYCONFIG = """\
#ifndef Py_PYCONFIG_H
#define Py_PYCONFIG_H
#define WITH_PYMALLOC 1
#define HAVE_SOMETHING 1
/* #undef Py_DEBUG */
#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif
#endif
"""
TREE = {
    "Include/patchlevel.h": '#define PY_VERSION              "3.14.7"\n',
    "Include/Python.h": "#ifdef WITH_PYMALLOC\nint pymalloc;\n#endif\n",
    "Include/internal/pycore_frame.h": "struct frame { int a; };\n",
    "Python/executor_cases.c.h": "".join(
        [
            *(f"\n        case {name}: {{\n            break;\n        }}\n" for name in ("_NOP", "_POP_TOP")),
            "#undef TIER_TWO\n",
        ]
    ),
    "Python/jit.c": "void\npatch_32(int x)\npatch_64(int x)\npatch_x86_64_32rx(int x)\npatch_32r(int x)\n",
    "Tools/jit/template.c": "#include <Python.h>\nCASE\n",
    "Tools/jit/shim.c": "#include <Python.h>\n",
    "Tools/jit/_llvm.py": "_LLVM_VERSION = 19\n",
}
INCLUDED = (
    "Include/Python.h",
    "Include/internal/pycore_frame.h",
    source.CASES,
    "Tools/jit/template.c",
    "Tools/jit/shim.c",
)


def stencils() -> StencilSet:
    """Three stencils of CPython 3.14: code with holes, data, and the shim."""
    empty = Stencil(body=b"", patches=())
    nop = Stencil(
        body=bytes.fromhex("48b80000000000000000ff2500000000"),
        patches=(
            Patch(func="patch_64", offsets=(2,), value=HoleValue.OPERAND0),
            Patch(func="patch_x86_64_32rx", offsets=(12,), value=HoleValue.DATA, addend=-4),
        ),
    )
    data = Stencil(body=bytes(8), patches=(Patch(func="patch_64", offsets=(0,), symbol="_Py_Dealloc"),))
    pop = Stencil(body=b"\x90" * 9, patches=())
    shim = Stencil(
        body=bytes.fromhex("e800000000c3"),
        patches=(Patch(func="patch_32r", offsets=(1,), value=HoleValue.CONTINUE, addend=-4),),
    )
    return StencilSet(
        groups=(
            StencilGroup(name="_NOP", code=nop, data=data),
            StencilGroup(name="_POP_TOP", code=pop, data=empty),
            StencilGroup(name="shim", code=shim, data=empty),
        ),
        entry="shim",
    )


def arm_stencils() -> StencilSet:
    """A stencil with a trampoline."""
    code = Stencil(
        body=b"\0\0\0\x94",
        patches=(
            Patch(func="patch_aarch64_trampoline", offsets=(0,), form=PatchForm.TRAMPOLINE, symbol="PyErr_Clear"),
        ),
    )
    empty = Stencil(body=b"", patches=())
    groups = (StencilGroup(name="_CLEAR", code=code, data=empty), StencilGroup(name="shim", code=empty, data=empty))
    return StencilSet(groups=groups, entry="shim", symbols=("PyErr_Clear",))


def tree(root: Path, config: str = PYCONFIG, more: Mapping[str, str] | None = None) -> SourceTree:
    """Write a tree that looks like CPython 3.14.7 as far as `verify` looks; `more` files replace its own."""
    for name, text in {**TREE, "pyconfig.h": config, **(more or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return knowing.tree(root)


# The files of CPython 3.14, for manifests that nobody holds against files:
FILES = {f"jit_stencils-{TRIPLE}.h": b"", "jit_stencils.h": b""}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def describe(opened: SourceTree, files: dict[str, bytes], held: StencilSet, line1: str) -> Manifest:
    """Describe stencils as if they had been built from a sample tree."""
    summary = manifest.summarise(held, {})
    contents = {name: (opened.root / name).read_bytes() for name in INCLUDED}
    config = (opened.root / "pyconfig.h").read_bytes()
    words = FOREIGN | pyconfig.words(contents.values())
    used: list[tuple[Use, str]] = [("line-1", name) for name in dialects.digested_files(opened)]
    used.append(("runtime", "Python/jit.c"))
    return Manifest(
        cpython=str(opened.version),
        triple=TRIPLE,
        spelling=TRIPLE,
        flavour="release",
        input_digest=line1,
        content_digest=summary.content,
        interface_digest=summary.interface,
        extras={},
        files=tuple(
            FileRecord(role="dispatcher" if name == "jit_stencils.h" else "stencils", name=name, sha256=digest(data))
            for name, data in files.items()
        ),
        toolchain=ToolchainRecord(version="19.1.7", vendor="Sample clang", program=digest(b""), libraries={}),
        driver="batched",
        headers="system",
        cpu=Cpu(name="x86-64", tune="generic", features=(), abi=""),
        cflags="",
        variants=(),
        deviations=(Deviation(what="-fno-plt", why="a reason", cost="none"),),
        flags=(FlagRecord(flag="-I{tree}/Include", why="CPython's headers"),),
        includes=(
            IncludedFile(origin="system", name="usr/include/errno.h", sha256=digest(b"errno")),
            *(IncludedFile(origin="tree", name=name, sha256=digest(data)) for name, data in contents.items()),
        ),
        used=tuple(
            UsedFile(use=use, name=name, sha256=digest((opened.root / name).read_bytes())) for use, name in used
        ),
        pyconfig_sha256=digest(config),
        visible=pyconfig.visible(config.decode(), words),
        foreign_words=tuple(sorted(FOREIGN)),
        stencils=summary.stencils,
        provenance=Provenance(stencilkit="0.1.0", host="sample", time="", command=("stencilkit", "build")),
    )


def ledger(root: Path, built: Path) -> None:
    """Write a ledger that expects what is in an output folder."""
    described = manifest.parse((built / MANIFEST_NAME).read_text(), "manifest")
    stencilkit.ledger.write(root, Entry.of(described), 19)


def folder(root: Path, opened: SourceTree, *, comments: bool = False) -> Path:
    """Write an output folder with stencils for a sample tree; return the header."""
    held = stencils()
    request = targets.resolve(targets.load(), TRIPLE)
    dialect = dialects.dialect_for("3.14")
    line1 = dialect.input_digest(opened, (opened.root / "pyconfig.h").read_bytes(), request, "release", "")
    line2 = f"{rendering.GENERATOR}, content sha256:{manifest.summarise(held, {}).content}"
    none = companions.Companions(shim=None, unwind=(), digests={})
    files = rendering.render(dialect, request, held, none, line1=line1, line2=line2, comments=comments)
    root.mkdir(parents=True)
    for name, data in files.items():
        (root / name).write_bytes(data)
    (root / MANIFEST_NAME).write_text(manifest.render(describe(opened, files, held, line1)))
    return root / f"jit_stencils-{TRIPLE}.h"
