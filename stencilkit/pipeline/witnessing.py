"""What stencils have compiled in of a CPython's structures, compared with the compiler and the flags of the runtime.

It compiles constants, and nothing that it makes is run, so a cross compiler will do.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from stencilkit import buildfolder, source, witness
from stencilkit.errors import WitnessError
from stencilkit.model.layout import Layout, Row, Span
from stencilkit.model.manifest import Manifest
from stencilkit.model.source import SourceTree
from stencilkit.model.verdict import Check
from stencilkit.pipeline.opening import Described
from stencilkit.support import files, process

_TIMEOUT_SECONDS: Final = 120.0
# No warnings, all errors, without colours in them, and an object rather than what link-time optimisation keeps; of two
# flags, the last one counts.
_ALWAYS: Final = ("-w", "-fmax-errors=0", "-fdiagnostics-color=never")
_BESIDE: Final = ("Python", "Tools/jit", "Include/internal")
_PLAIN_OBJECT: Final = ("-fno-lto", "-g0", "-c")
# Lines that a compiler refuses are taken out, which may show it others.
_ROUNDS: Final = 16
_SHOWN: Final = 2000
_RUNTIMES: Final = "check that this compiler and these flags compile that CPython (--build-dir, --cc, --cflags)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The compiler of a CPython's own C files and its flags, and the folder that relative paths in them start at.

    `variables` are what it needs beside the fixed environment.
    """

    tree: SourceTree
    folder: Path
    compiler: tuple[str, ...]
    flags: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def runtime(
    tree: SourceTree,
    folder: Path,
    compiler: str = "",
    cflags: str = "",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Runtime:
    """Ask the makefile of a build folder what CPython's own C files are compiled by, and with which flags.

    `compiler` replaces its answer; `cflags` come behind its flags. In a folder with a pyconfig.h and no makefile,
    `compiler` is asked with the flags that every build of CPython has. It is looked for on the PATH of `variables`,
    where there is one.

    Raises: BuildFolderError; WitnessError where nothing says which compiler it is.
    """
    own: tuple[str, ...] = ()
    if buildfolder.is_one(folder):
        said = buildfolder.read(folder)
        compiler, own = compiler or said.compiler, _split(said.core_cflags, "PY_CORE_CFLAGS")
    elif compiler and (folder / "pyconfig.h").is_file():
        places = (folder, tree.root / "Include", tree.root / "Include/internal")
        own = ("-std=c11", "-DPy_BUILD_CORE", "-D_Py_JIT", *(f"-I{place.resolve()}" for place in places))
    else:
        raise WitnessError(
            f"{folder} is not a configured build folder: it has no Makefile and pyconfig.h of CPython's",
            fix="run CPython's configure there first; or give --cc, and a folder with pyconfig.h",
        )
    words = _split(compiler, "--cc")
    if not words or shutil.which(words[0], path=variables.get("PATH")) is None:
        raise WitnessError(
            f"the compiler of the runtime is not here: {compiler or 'the makefile names none'}",
            where=str(folder),
            fix="install it, or name one with --cc",
        )
    flags = (*own, *_split(cflags, "--cflags"))
    return Runtime(tree=tree, folder=folder, compiler=words, flags=flags, variables=variables)


def _split(text: str, option: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise WitnessError(
            f"the words of {option} cannot be split: {error}", where=text, fix="fix the quotes"
        ) from None


def text_of(known: Described, tree: SourceTree) -> str:
    """Write the C file of assertions, to be compiled without stencilkit.

    Raises: WitnessError.
    """
    return _asserting(known, tree).text


def ask(known: Described, asked: Runtime) -> tuple[Check, ...]:
    """Compare what stencils have compiled in with what the compiler of a runtime says.

    Raises: WitnessError for a manifest that does not say what is compiled in; ProcessError.
    """
    layout = _layout(known.manifest)
    different, bits, errors = _compared(known, asked, layout)
    if longer := [row for row in different if witness.may_be_longer(row)]:
        # They are compared as the stencils see them, if they can be.
        as_theirs = replace(asked, flags=(*asked.flags, f"-U{witness.RUNTIME_ONLY}"))
        theirs = _compared(known, as_theirs, layout)
        if not theirs.errors:
            again = {row: theirs.different[row] for row in longer if row in theirs.different}
            different = {row: value for row, value in different.items() if row not in longer} | again
    return tuple(witness.judge(layout, different, bits, errors))


def _compared(known: Described, asked: Runtime, layout: Layout) -> _Compared:
    with files.scratch("witness") as work:
        text = _asserting(known, asked.tree)
        done = _compile(asked, text.text, work, "witness", ("-fsyntax-only",))
        refused, errors = text.failed(done.err)
        if done.returncode and not refused and not errors:
            raise WitnessError(
                f"{asked.compiler[0]} {done.ending}",
                where=shlex.join(done.command),
                details=done.err[:_SHOWN],
                fix=_RUNTIMES,
            )
        # A compiler may stop after so many errors, and what stands before it (a log, another machine) may hide that it
        # did: all numbers are computed, too. With other pointers or enums CPython's headers stop themselves; what does
        # not need them can be asked for even then.
        rows = [row for row in layout.rows() if row.kind == "platform" or not errors]
        found = _values(asked, rows, {} if errors else layout.bits, _prefix(known, asked.tree), work)
    different = {row: value for row, value in found.numbers.items() if value != row.value}
    different |= {row: said for row, said in refused.items() if isinstance(row, Row) and row not in different}
    return _Compared(different, found.bits, tuple(errors))


class _Compared(NamedTuple):
    """Numbers that differ, all bit-fields, and errors about anything else, for `witness.judge`."""

    different: Mapping[Row, int | str]
    bits: Mapping[str, Span | str]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What the compiler of a runtime says of numbers and bit-fields: a text is its error."""

    numbers: Mapping[Row, int | str]
    bits: Mapping[str, Span | str]


def _values(asked: Runtime, rows: Sequence[Row], bits: Mapping[str, Span], prefix: str, work: Path) -> _Found:
    """Have numbers computed, and the places of bit-fields; what does not compile is taken out, and said."""
    numbers: dict[Row, int | str] = {}
    places: dict[str, Span | str] = {}
    said = ""
    for number in range(_ROUNDS):
        if not rows and not bits:
            return _Found(numbers, places)
        text = witness.measuring(rows, bits, prefix)
        done = _compile(asked, text.text, work, f"values-{number}", (*_PLAIN_OBJECT, "-o", f"values-{number}.o"))
        made = work / f"values-{number}.o"
        if done.returncode == 0 and made.is_file():
            data = made.read_bytes()
            values, spans = witness.numbers(data), witness.spans(data)
            numbers |= {row: values.get(index, "not in the object") for index, row in enumerate(rows)}
            places |= {member: spans.get(index, "not in the object") for index, member in enumerate(bits)}
            return _Found(numbers, places)
        said = done.err
        refused, _ = text.failed(said)
        if done.returncode == 0 or not refused:
            break
        numbers |= {row: said for row, said in refused.items() if isinstance(row, Row)}
        places |= {member: said for member, said in refused.items() if isinstance(member, str)}
        rows = [row for row in rows if row not in refused]
        bits = {member: span for member, span in bits.items() if member not in refused}
    raise WitnessError(
        f"{asked.compiler[0]} cannot compute the numbers of the runtime",
        where=shlex.join((*asked.compiler, *asked.flags)),
        details=said[:_SHOWN],
        fix=_RUNTIMES,
    )


def _compile(asked: Runtime, text: str, work: Path, name: str, more: Sequence[str]) -> process.Completed:
    source_file = work / f"{name}.c"
    source_file.write_text(text, "utf-8")
    # Objects go where the text is; relative paths in the flags start at the build folder.
    words = [str(work / word) if word.endswith(".o") else word for word in more]
    # What the template includes and CPython's own files find beside themselves; behind all other folders.
    beside = [word for name in _BESIDE for word in ("-idirafter", str(asked.tree.root / name))]
    command = [*asked.compiler, *asked.flags, *beside, *_ALWAYS, *words, str(source_file)]
    return process.run(command, cwd=asked.folder, env=asked.variables, timeout=_TIMEOUT_SECONDS)


def _asserting(known: Described, tree: SourceTree) -> witness.Text:
    described = known.manifest
    title = f"CPython {described.cpython} for {described.triple}"
    return witness.asserting(_layout(described), _prefix(known, tree), title)


def _prefix(known: Described, tree: SourceTree) -> str:
    """Return what the template of the runtime's tree includes."""
    return known.dialect.every_uop(tree, source.uops(tree), known.request.target).prefix


def _layout(described: Manifest) -> Layout:
    if described.layout is None:
        raise WitnessError(
            "the manifest does not say what the stencils have compiled in",
            where=f"CPython {described.cpython}, {described.triple}, LLVM {described.toolchain.version}",
            fix="build them again with this stencilkit: 0.1.0 did not record it",
        )
    return described.layout
