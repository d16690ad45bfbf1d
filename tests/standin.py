"""A clang that answers in this process, so that whole builds can be tested without a compiler and without a process.

It compiles each uop to a jump to the next stencil behind one immediate; what a uop's text says in `BYTES: 90 90` comes
before that. It takes no flags to heart.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest import mock

from stencilkit import cli, manifest
from stencilkit.errors import ProcessError, StencilkitError
from stencilkit.model.manifest import MANIFEST_NAME, Manifest
from stencilkit.support import process
from tests import objectfiles, samples
from tests.objectfiles import Name

# A pyconfig.h of a configured tree, and of nothing else.
CONFIG: Final = samples.PYCONFIG.replace("#define HAVE_SOME", "#define HAVE_GCC_ASM_FOR_X64 1\n#define HAVE_SOME")
_PLT32, _64 = 4, 1
_BYTES: Final = re.compile(r"BYTES: ([0-9a-f ]+)")
_CC1: Final = '"{program}" "-cc1" "-triple" "{triple}" "-emit-obj" "-main-file-name" "{name}" {flags} "-o" "probe.out" "-x" "c" "{name}"'  # noqa: E501  # one line, as clang prints it
_ASSERTED: Final = re.compile(r"_Static_assert\(\((.*)\) == (-?[0-9]+), ")
_NUMBER: Final = re.compile(r'= \{ "(stencilkit-value-[0-9]+)", \(long long\)\((.*)\) \};')
_FIELD: Final = re.compile(r'= \{ "(stencilkit-bits-[0-9]+)", \{ \.it = \{ \.(\S+) = -1 \} \} \};')
_CPU: Final = '"-target-cpu" "x86-64" "-tune-cpu" "generic"'


@dataclass(frozen=True)
class Program:
    """What stands at a path: its version, and the instructions that it puts before each uop."""

    version: str
    before: bytes = b""

    @property
    def vendor(self) -> str:
        return f"clang version {self.version}"


class Clang:
    """Stands for `process.run`: answers as the program does that it is called by, if that is one of `programs`.

    Units whose names are in `bad` do not compile, and if it is `old`, it takes no batches. `calls` are the command
    lines.

    `ir` is what it makes of all uops in one unit, and `preprocessed`; if they are empty, that does not compile.
    `numbers` are the values of constant expressions (their length where they are not there), `spans` the first bit and
    the size of bit-fields; expressions in `refused` do not compile.

    stencilkit itself runs here, too, in its environment; where that has NOP, uops whose text has its
    value start with one. Of CPython's generator, `upstream` are the files that it writes.
    """

    def __init__(self, programs: Mapping[Path, Program]) -> None:
        self.programs = {str(path): program for path, program in programs.items()}
        self.bad: set[str] = set()
        self.old = False
        self.calls: list[tuple[str, ...]] = []
        self.upstream: dict[str, bytes] = {}
        self.ir = self.preprocessed = ""
        self.numbers: dict[str, int] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        self.refused: set[str] = set()

    def __call__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 0,
        stdin_from: Path | None = None,
        stdout_to: Path | None = None,
    ) -> process.Completed:
        words = tuple(map(str, command))
        self.calls.append(words)
        if words[0] == sys.executable:
            return self._python(words, cwd, env or {})
        if words[0] == "ldd":
            return _done(words, out="\tlibc.so.6 => /lib/libc.so.6 (0x1)\n")
        if words[0] not in self.programs:
            raise ProcessError(f"cannot run {words[0]}: No such file or directory")
        if len(words) == 2:
            return _done(words, out=self._answer(words[0], words[1]))
        if "-###" in words:
            name = next(word for word in words if word.endswith((".c", os.devnull)))
            said = _CC1.format(program=words[0], triple=samples.TRIPLE, name=name, flags=_CPU)
            return _done(words, err=f"{self.programs[words[0]].vendor}\n {said}\n")
        assert cwd is not None
        done = self._translate(words, cwd)
        if stdout_to is not None:
            stdout_to.write_bytes(done.stdout + done.stderr)
        return done

    def _python(self, words: tuple[str, ...], cwd: Path | None, env: Mapping[str, str]) -> process.Completed:
        if words[1:3] == ("-m", "stencilkit"):
            return _stencilkit(words, env)
        assert words[1].endswith("build.py")
        assert cwd is not None
        for name, content in self.upstream.items():
            (cwd / name).write_bytes(content)
        return _done(words, code=0 if self.upstream else 1, err="" if self.upstream else "Traceback\nNameError\n")

    def _translate(self, words: tuple[str, ...], cwd: Path) -> process.Completed:
        if "-emit-pch" in words:
            (cwd / "prefix.pch").touch()
            return _done(words, code=int(self.old), err="error: unknown argument: -cc1\n" if self.old else "")
        source = cwd / next(word for word in words[::-1] if word.endswith((".c", ".h")))
        if "-emit-llvm" in words and self.ir:
            (cwd / words[words.index("-o") + 1]).write_text(self.ir)
            return _done(words)
        if source.name == "words.c":
            return _done(words, out=self.preprocessed)
        if source.stem.startswith(("numbers-", "values-", "witness")):
            return self._compute(words, cwd, source)
        if "-E" in words:
            return self._preprocess(words, cwd)
        return self._compile(words, cwd)

    def _answer(self, program: str, option: str) -> str:
        if option == "--version":
            return f"{self.programs[program].vendor}\nTarget: x86_64-pc-linux-gnu\n"
        if option == "-print-targets":
            return "  Registered Targets:\n    aarch64 - AArch64\n    x86-64  - 64-bit X86\n"
        assert option == "-print-resource-dir"
        return str(Path(program).parent / "resource")

    def _compute(self, words: tuple[str, ...], cwd: Path, source: Path) -> process.Completed:
        """Compile constant expressions: check what is asserted, and write the numbers into an object."""
        data, errors = b"", ""
        for number, line in enumerate(source.read_text().splitlines(), start=1):
            if any(expression in line for expression in self.refused):
                errors += f"{source}:{number}:9: error: no such thing\n"
            elif match := _ASSERTED.match(line):
                if self._value(match[1]) != int(match[2]):
                    errors += f"{source}:{number}:1: error: static assertion failed\n"
            elif match := _NUMBER.search(line):
                data += match[1].encode().ljust(64, b"\0") + self._value(match[2]).to_bytes(8, "little", signed=True)
            elif match := _FIELD.search(line):
                start, size = self.spans[match[2]]
                data += match[1].encode().ljust(64, b"\0") + (((1 << size) - 1) << start).to_bytes(512, "little")
        if "-o" in words and not errors:
            (cwd / words[words.index("-o") + 1]).write_bytes(data)
        return _done(words, code=bool(errors), err=errors)

    def _value(self, expression: str) -> int:
        return self.numbers.get(expression, len(expression))

    def _preprocess(self, words: tuple[str, ...], cwd: Path) -> process.Completed:
        """Include all headers that are found, but for the uops."""
        name = next(word for word in words if word.endswith(".c"))
        folders = [Path(word[2:]) for word in words if word.startswith("-I")]
        found = sorted({path for folder in folders for path in folder.rglob("*.h") if not path.name.endswith(".c.h")})
        if "-MF" in words:
            rule = " ".join([name, *(str(path).replace(" ", "\\ ") for path in found)])
            (cwd / words[words.index("-MF") + 1]).write_text(f"x.o: {rule}\n")
        return _done(words, out="".join(path.read_text() for path in found))

    def _compile(self, words: tuple[str, ...], cwd: Path) -> process.Completed:
        sources = [word for word in words if word.endswith(".c")]
        failed = [name for name in sources if Path(name).stem in self.bad]
        outputs = {name: Path(name).with_suffix(".o") for name in sources}
        if "-o" in words:
            outputs = {sources[-1]: Path(words[words.index("-o") + 1])}
        if any(path.suffix != ".o" for path in outputs.values()):
            return _done(words, code=1, err="error: this stand-in makes object files alone\n")
        for name, output in outputs.items():
            if name not in failed:
                (cwd / output).write_bytes(_object((cwd / name).read_text(), self.programs[words[0]].before))
        err = "".join(f"{name}:1:1: error: no such thing\n" for name in failed)
        return _done(words, code=bool(failed), err=err)


def _object(text: str, before: bytes) -> bytes:
    """Make the object of a uop, or of the shim: its text has no case."""
    match = _BYTES.search(text)
    if "case " in text:
        code = (
            before
            + bytes.fromhex(match[1] if match else "")
            + (b"\x90" if os.environ.get("NOP", text + "-") in text else b"")
        )
        code += b"\x48\xb8" + bytes(8)  # movabs rax, _JIT_OPERAND0
        relocations = [(len(code) - 8, 1, _64, 0), (len(code) + 1, 2, _PLT32, -4)]
        code += b"\xe9" + bytes(4)
    else:
        code, relocations = b"\xe8\0\0\0\0\xc3", [(1, 2, _PLT32, -4)]
    names = [Name("_JIT_OPERAND0"), Name("_JIT_CONTINUE"), Name("_JIT_ENTRY", 1)]
    return objectfiles.elf(objectfiles.ELF_X86_64, code, relocations, names)


def _stencilkit(words: tuple[str, ...], env: Mapping[str, str]) -> process.Completed:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, env))
        stack.enter_context(mock.patch.object(process, "end_with_parent"))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        # Not its `main`, which takes the signals.
        try:
            code = cli.group.main(args=list(words[3:]), prog_name="stencilkit", standalone_mode=False)
        except StencilkitError as error:
            code = cli._trouble(error)
    return _done(words, code=int(code or 0), out=out.getvalue(), err=err.getvalue())


def _done(command: tuple[str, ...], *, code: int = 0, out: str = "", err: str = "") -> process.Completed:
    return process.Completed(command=command, returncode=code, stdout=out.encode(), stderr=err.encode())


# LLVM 20 puts an instruction before each uop that does nothing.
PROGRAMS = {"clang-19": Program("19.1.7"), "clang-20": Program("20.1.8", before=b"\x90")}
FOLDER = Path("3.14.7", samples.TRIPLE, "release")


class Machine:
    """A folder with a tree and its configuration, and two LLVMs."""

    def __init__(self, root: Path) -> None:
        self.tree = samples.tree(root / "cpython").root
        (self.tree / "pyconfig.h").unlink()
        self.config = root / "config"
        self.config.mkdir()
        (self.config / "pyconfig.h").write_text(CONFIG)
        self.programs = root / "programs"
        self.programs.mkdir()
        for name in PROGRAMS:
            (self.programs / name).write_text(f"#!/bin/sh\n# {name}\n")
            (self.programs / name).chmod(0o755)
        self.clang = Clang({self.programs / name: program for name, program in PROGRAMS.items()})
        self.out = root / "out"

    def words(self, *more: str) -> list[str]:
        return ["--cpython", str(self.tree), "--pyconfig-dir", str(self.config), "--target", samples.TRIPLE, *more]

    def build(self, *words: str, llvm: str = "19") -> int:
        return cli.main(["build", *self.words("--llvm", llvm, "--out", str(self.out), *words)])

    def folder(self, llvm: str = "19.1.7") -> Path:
        return self.out / FOLDER / f"llvm-{llvm}"

    def manifest(self) -> Manifest:
        return manifest.parse((self.folder() / MANIFEST_NAME).read_text(), "manifest")

    def header(self) -> bytes:
        return (self.folder() / f"jit_stencils-{samples.TRIPLE}.h").read_bytes()

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.tree / name).read_text()
        assert old in text
        (self.tree / name).write_text(text.replace(old, new))

    def change(self) -> None:
        """Make a uop another one."""
        self.edit("Python/executor_cases.c.h", "case _NOP: {\n", "case _NOP: {\n            // BYTES: 90\n")

    def compiled(self) -> set[str]:
        """Name the units that were compiled since the last time."""
        found = {Path(word).stem for call in self.clang.calls for word in call if word.endswith(".c")}
        self.clang.calls.clear()
        return found & {"_NOP", "_POP_TOP", "shim"}
