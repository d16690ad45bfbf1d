"""Small stand-ins that several tests use: CPython trees of our own making, and programs that say they are clang."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stencilkit import targets
from stencilkit.model.build import Emits, Headers, Plan
from stencilkit.model.source import Unit
from stencilkit.model.target import Flavour
from stencilkit.model.toolchain import Found, Toolchain
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import knowing
from stencilkit.support.cache import NoStore
from stencilkit.support.progress import Silent
from stencilkit.toolchain import Machine

CASES = """\
// made by hand

        case _NOP: {
            break;
        }

        case _LOAD_FAST: {
            oparg = CURRENT_OPARG();
            break;
        }

#undef TIER_TWO
"""

CLANG = "Debian clang version {version} (1~fake)\nTarget: x86_64-pc-linux-gnu\nThread model: posix"
GCC = "gcc (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc."
APPLE = "Apple clang version 17.0.0 (clang-1700.0.13.5)\nTarget: arm64-apple-darwin24.5.0"
TARGETS = "  Registered Targets:\n    aarch64 - AArch64\n    x86     - 32-bit X86\n    x86-64  - 64-bit X86"


def tree(root: Path, version: str = "3.14.7", cases: str = CASES) -> Path:
    """Make what `knowing.tree` takes for a CPython."""
    for name, text in {
        "Include/patchlevel.h": f'#define PY_VERSION           "{version}"\n',
        "Tools/jit/template.c": '#include "Python.h"\n\nint f(void) {\n    CASE\n}\n',
        "Python/executor_cases.c.h": cases,
        "Python/jit.c": "void\npatch_64(unsigned char *location, uint64_t value)\n{\n}\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def program(path: Path, script: str) -> Path:
    """Write a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def clang(path: Path, version: str = "19.1.7", *, banner: str = "", targets: str = TARGETS) -> Path:
    """Write a script that answers like a clang; `banner` replaces its answer to --version."""
    resource = path.parent / "resource"
    script = (
        'case "$1" in\n'
        f"--version) cat <<'.'\n{banner or CLANG.format(version=version)}\n.\n;;\n"
        f"-print-targets) cat <<'.'\n{targets}\n.\n;;\n"
        f"-print-resource-dir) echo {resource};;\n"
        "*) echo 'error: this is not a compiler' >&2; exit 1;;\nesac"
    )
    return program(path, script)


def unit(name: str, **more: object) -> Unit:
    """Make a unit whose text names it."""
    fields = {
        "prefix": "#include <Python.h>\n",
        "body": f"body of {name}\n",
        "body_line": 2,
        "file": f"./{name}.c",
        "sources": ("Tools/jit/template.c",),
        **more,
    }
    return Unit(name=name, **fields)  # type: ignore[arg-type]


# An LLVM that need not be there.
TOOL = Toolchain(
    version=LlvmVersion(19, 1, 7),
    vendor="clang version 19.1.7",
    origin="path",
    program=Path("/usr/bin/clang"),
    command=("/usr/bin/clang",),
    resource=Path("/usr/lib/clang/19"),
)


def machine(found: Found) -> Machine:
    """Make a machine on which that was found, and that can have every wheel."""
    made = Machine(Path("/none"), NoStore(), frozenset({18, 19, 20, 21, 22}))
    # What a cached property has computed is in the instance.
    made.__dict__["found"] = found
    return made


def plan(
    here: Path,
    units: tuple[Unit, ...],
    *,
    emits: Emits = "object",
    flavour: Flavour = "release",
    command: tuple[str, ...] = ("/usr/bin/clang",),
) -> Plan:
    """Plan a build of CPython 3.14 for x86_64 Linux; the clang that is named need not be there."""
    table = targets.load()
    toolchain = replace(TOOL, command=command, resource=here / "resource")
    return Plan(
        tree=knowing.tree(tree(here / "cpython")),
        target=table.targets[0],
        flavour=flavour,
        toolchain=toolchain,
        headers=Headers(origin="system", arguments=(), root=Path("/")),
        pyconfig=here / "config",
        order=table.pythons["3.14"].order,
        entry_order=table.pythons["3.14"].entry_order,
        flags=table.pythons["3.14"].flags_for(table.targets[0]),
        cflags=("-DMINE",),
        units=units,
        emits=emits,
    )


class Told(Silent):
    """Keeps what a person would read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)
