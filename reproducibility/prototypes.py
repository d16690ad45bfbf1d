"""Make stencilkit/prove/prototypes.toml: what the C functions and objects are that stencils name.

    python reproducibility/prototypes.py --clang CLANG [--flags FLAGS] STENCILS TREE PYCONFIG [...]

Each STENCILS is an output folder or header, TREE its CPython, PYCONFIG the folder of its pyconfig.h. A file that
takes the address of each symbol is compiled to LLVM's IR with that CPython's headers: IR declares what the ABI sees.
FLAGS are more words for clang, such as where the headers of Windows are. A table of 32 bits has the names of the
CPython's other one, too; one of 64-bit Windows has the layout of types alone. What is said of other CPythons, or of
pointers of another width, stays; where two builds of one disagree, nothing is written (docs/adr/0501-prototypes.md).
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from stencilkit.pipeline import proving
from stencilkit.pipeline.opening import Opened, open_header
from stencilkit.support import files

TABLE = Path(__file__).parents[1] / "stencilkit" / "prove" / "prototypes.toml"
HEAD = """\
# What stencils name, by CPython: C functions as LLVM's IR declares them, and the alignments of objects in bytes; and
# sizes of types and offsets of fields in bytes, for optional facts.
# Made by reproducibility/prototypes.py with Linux's headers, those of 32 bits with i686 Windows's;
# docs/adr/0501-prototypes.md says why that does elsewhere.
schema = 1
"""
FLAGS = ("-DPy_BUILD_CORE", "-D_Py_JIT", "-D_PyJIT_ACTIVE", "-O0", "-std=c11", "-w", "-S", "-emit-llvm", "-o", "-")
# What the optional facts of proofs need of CPython's types: a size, or how far a field is from the start.
LAYOUT = (
    "PyThreadState",
    "PyThreadState.datastack_top",
    "PyThreadState.exc_info",
    "_PyErr_StackItem",
    "_PyInterpreterFrame.f_executable",
    "_PyInterpreterFrame.localsplus",
    "_PyInterpreterFrame.previous",
    "PyFunctionObject",
    "PyFunctionObject.func_code",
    "PyCodeObject.co_code_adaptive",
    "PyCodeObject.co_localsplusnames",
    "PyCodeObject.co_names",
    "PyCodeObject.co_nlocalsplus",
    "PyTupleObject.ob_item",
    "PyObject",
    "PyObject.ob_type",
    "PyGenObject.gi_iframe",
    "_PyExitData",
)
# And of some series alone.
_SINCE_314 = ("_PyBinaryOpSpecializationDescr",)
LAYOUT_OF = {
    "3.13": (
        "PyCodeObject.co_executors",
        "PyThreadState.previous_executor",
        "_PyExecutorArray.executors",
        "_PyExecutorObject.exits",
        "_PyExitData.target",
        "_PyInterpreterFrame.stacktop",
        "_Py_CODEUNIT",
        "_Py_CODEUNIT.op.arg",
        "_Py_CODEUNIT.op.code",
    ),
    "3.14": (
        *_SINCE_314,
        "PyCFunctionObject.m_ml",
        "PyMethodDef",
    ),
    "3.15": (
        *_SINCE_314,
        "_PyThreadStateImpl.refcount",
        "_PyThreadStateImpl.asyncio_tasks_head",
    ),
}
PARTS = ("functions", "objects")
INCLUDES = ("", "Include", "Include/internal", "Include/internal/mimalloc", "Python", "Tools/jit")
NORETURN = re.compile(r"^attributes #(\d+) = \{[^\n]* noreturn ", re.MULTILINE)
FUNCTION = re.compile(r"^declare (.*?) @([\w.]+)\((.*)\)(?: \w+)*(?: #(\d+))?", re.MULTILINE)
OBJECT = re.compile(r"^@(\w+) = external [^\n]*align (\d+)", re.MULTILINE)
NUMBER = re.compile(r"^@layout_(\d+) = [^\n]*constant i\d+ (\d+)", re.MULTILINE)
KIND = re.compile(r"(?:(?!ptr|void|double|float|i\d|[{%])\w+ )*(ptr|void|i\d+|double|float|\{[^}]*\}|%[\w.]+)")
COMMA = re.compile(r",\s*(?![^(]*\)|[^{]*\})")


def layout_of(opened: Opened) -> tuple[str, ...]:
    return (*LAYOUT, *LAYOUT_OF.get(opened.header.format.series, ()))


def ir(clang: list[str], opened: Opened, tree: Path, config: Path, known: set[str]) -> str:
    names = {patch.symbol for group in opened.header.stencils.groups for patch in group.patches if patch.symbol}
    names |= known
    # The includes of the template, up to its first own definition.
    template = (tree / "Tools/jit/template.c").read_text("utf-8")
    head = "\n".join(re.findall(r'^#include "\w+\.h"$', template, re.MULTILINE))
    body = "\n".join(f"void *use_{name}(void) {{ return (void *)&{name}; }}" for name in sorted(names))
    body += "".join(
        f"\nconst Py_ssize_t layout_{number} = {measured(what)};" for number, what in enumerate(layout_of(opened))
    )
    folders = [f"-I{config}", *(f"-I{tree / part}" for part in INCLUDES)]
    command = [clang[0], f"--target={opened.target.triple}", *FLAGS, *folders, *clang[1:], "-x", "c", "-"]
    done = subprocess.run(command, input=f"{head}\n{body}\n", capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def measured(what: str) -> str:
    """Write C that says how large a type is, or where a field is."""
    name, _, field = what.partition(".")
    return f"offsetof({name}, {field})" if field else f"sizeof({name})"


def kind(argument: str) -> str:
    text = argument.strip()
    for special in ("...", "sret", "byval"):
        if special in text:
            return special
    match = KIND.match(text)
    if match is None:
        sys.exit(f"not understood: {text}")
    return match[1]


def functions(text: str) -> Iterator[tuple[str, str]]:
    ends = set(NORETURN.findall(text))
    for result, name, arguments, attributes in FUNCTION.findall(text):
        kinds = [kind(one) for one in COMMA.split(arguments) if one.strip()]
        yield name, f"{kind(result)}({', '.join(kinds)}){' noreturn' if attributes in ends else ''}"


def order(section: tuple[str, object]) -> int:
    return (*PARTS, "layout").index(section[0])


def quoted(key: str) -> str:
    return f'"{key}"' if "." in key else key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clang", required=True)
    parser.add_argument("--flags", default="", type=shlex.split)
    parser.add_argument("paths", nargs="+", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, dict[str, str]]] = {}
    kept = {name: table for name, table in tomllib.loads(TABLE.read_text("utf-8")).items() if name != "schema"}
    for start in range(0, len(arguments.paths), 3):
        stencils, tree, config = arguments.paths[start : start + 3]
        opened = open_header(stencils)
        name = proving.table_name(opened)
        series = name.partition("-")[0]
        known = {symbol for part in PARTS for symbol in kept[series][part]} if series != name else set()
        text = ir([arguments.clang, *arguments.flags], opened, tree, config, known)
        layout = [(layout_of(opened)[int(number)], bytes_) for number, bytes_ in NUMBER.findall(text)]
        parts = [(proving.layout_name(opened), "layout", layout)]
        if parts[0][0] == name:
            parts += [(name, "functions", [*functions(text)]), (name, "objects", OBJECT.findall(text))]
        for name, section, pairs in parts:
            table = found.setdefault(name, {}).setdefault(section, {})
            for symbol, value in pairs:
                if table.setdefault(symbol, value) != value:
                    sys.exit(f"{symbol} is {table[symbol]} and {value}")
    rows = [HEAD]
    for name in sorted({*kept, *found}):
        for section, pairs in sorted({**kept.get(name, {}), **found.get(name, {})}.items(), key=order):
            rows.append(f'\n["{name}".{section}]\n')
            rows += [f'{quoted(symbol)} = "{value}"\n' for symbol, value in sorted(pairs.items())]
    files.write(TABLE, "".join(rows).encode())


if __name__ == "__main__":
    main()
