"""`stencilkit identify` on real programs: libraries with the arrays of real headers, and Debian's Pythons."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from stencilkit import identify, programs
from stencilkit.pipeline import admitting, identifying
from tests import workbench as wb

pytestmark = pytest.mark.network
VERSION = "3.14.7"
# The target of each library, as zig spells it, and its name.
LIBRARIES = {
    wb.X86: ("x86_64-linux-gnu", "libpython3.14.so"),
    wb.ARM: ("aarch64-linux-gnu", "libpython3.14.so"),
    wb.WIN_X86: ("x86_64-windows-gnu", "python314.dll"),
    wb.WIN_ARM: ("aarch64-windows-gnu", "python314.dll"),
    wb.WIN_I686: ("x86-windows-gnu", "python314.dll"),
    wb.MAC_X86: ("x86_64-macos", "libpython3.14.dylib"),
    wb.MAC_ARM: ("aarch64-macos", "libpython3.14.dylib"),
}
# What the linker gives them without being asked; it has no high-entropy ASLR for 32 bits.
PROTECTIONS = {
    **dict.fromkeys((wb.WIN_X86, wb.WIN_ARM), ("DEP", "ASLR", "high-entropy ASLR")),
    wb.WIN_I686: ("DEP", "ASLR"),
    wb.MAC_ARM: ("code signature",),
}
# What identify looks for, and what a library needs that is linked without a C library: zig would build that first.
RUNTIME = """
static const char version[] = "3.14.7", tag[] = "cpython-314", home[] = "PYTHONHOME", warning[] = "JIT %s (%d)";
__attribute__((used)) static const char *const texts[] = {version, tag, home, warning};
__attribute__((optnone, noinline)) void *memcpy(void *to, const void *from, __SIZE_TYPE__ size) {
    for (__SIZE_TYPE__ at = 0; at < size; at++) ((char *)to)[at] = ((const char *)from)[at];
    return to;
}
#ifdef _WIN32
int __attribute__((stdcall)) _DllMainCRTStartup(void *module, unsigned reason, void *more) { return 1; }
#endif
"""


@pytest.fixture(scope="module")
def stencils(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build stencils of 60 uops for every target, and for x86_64 Linux with another LLVM, too."""
    root = tmp_path_factory.mktemp("stencils")
    tree = wb.small_tree(VERSION, root / "tree", uops=60, step=4)
    shutil.copytree(wb.tree(VERSION) / "PC", tree / "PC")
    for triple, majors in {**dict.fromkeys(LIBRARIES, (19,)), wb.X86: (19, 21)}.items():
        config = wb.config_for(VERSION, triple, "release", root / f"config-{triple}")
        for major in majors:
            llvm = wb.pypi_llvm(major)
            wb.header_flags(triple)
            wb.stencilkit(
                *(
                    "build",
                    "--cpython",
                    tree,
                    "--llvm",
                    llvm,
                    "--target",
                    triple,
                    "--out",
                    root / "out",
                    "--pyconfig-dir",
                    config,
                )
            )
    return root / "out"


def header(stencils: Path, triple: str, llvm: str = "19.1.7") -> Path:
    (found,) = stencils.glob(f"*/{triple}/release/llvm-{llvm}/jit_stencils-{triple}.h")
    return found


@pytest.fixture(scope="module")
def libraries(stencils: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Compile a library for each target, with the arrays of its header and what else identify looks for."""
    root = tmp_path_factory.mktemp("libraries")
    return {triple: library(header(stencils, triple), triple, root / triple) for triple in LIBRARIES}


def library(stencils: Path, triple: str, folder: Path) -> Path:
    """Compile the arrays of a header as CPython's Python/jit.c does: constant data that is copied from."""
    folder.mkdir(parents=True)
    target, name = LIBRARIES[triple]
    bodies = re.findall(
        r"^    const unsigned char code_body\[(\d+)\] = \{$(.*?)^    \};$",
        stencils.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert len(bodies) > 20
    functions = [
        f"void emit_{number}(char *to) {{ static const unsigned char body[{size}] = {{{text}}};"
        f" __builtin_memcpy(to, body, {size}); }}"
        for number, (size, text) in enumerate(bodies)
    ]
    (folder / "jit.c").write_text(RUNTIME + "\n".join(functions))
    path = folder / name
    command: list[str | Path] = [wb.pypi_llvm(19), "cc", "-target", target, "-O2", "-shared", "-nostdlib"]
    command += ["-o", path, folder / "jit.c"]
    caches = {name: str(folder / "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **caches}, cwd=folder, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return path


def identified(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    done = wb.stencilkit("identify", *arguments, "--format", "json", check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [python for answer in json.loads(done.stdout)["answers"] for python in answer["pythons"]]


@pytest.mark.parametrize("triple", LIBRARIES)
def test_every_format_and_architecture(triple: str, stencils: Path, libraries: dict[str, Path]) -> None:
    code, (python,) = identified(libraries[triple], "--against", stencils)
    assert (code, python["verdict"], python["cpython"]) == (0, "identified", VERSION), python
    assert [(best["target"], best["llvm"]) for best in python["best"]] == [(triple, "19.1.7")]
    assert python["best"][0]["stencils"] > 20


def test_the_llvm_is_told_by_stencils_that_are_named(stencils: Path, tmp_path: Path) -> None:
    path = library(header(stencils, wb.X86, "21.1.0"), wb.X86, tmp_path / "library")
    code, (python,) = identified(path, "--against", stencils)
    assert (code, [best["llvm"] for best in python["best"]]) == (0, ["21.1.0"])
    assert python["telling"]


def test_a_statically_linked_program(stencils: Path, tmp_path: Path) -> None:
    """The C library is in it, too."""
    source = library(header(stencils, wb.X86), wb.X86, tmp_path / "shared").with_name("jit.c").read_text()
    (tmp_path / "main.c").write_text(f"{source}\nint main(int n, char **words) {{ emit_0(words[0]); return n; }}\n")
    program = tmp_path / "python3.14"
    command: list[str | Path] = ["gcc", "-w", "-O0", "-static", "-o", program, tmp_path / "main.c"]
    subprocess.run(command, check=True)
    code, (python,) = identified(program, "--against", header(stencils, wb.X86))
    assert (code, python["verdict"]) == (0, "identified"), python
    longest = max(re.findall(r"body\[\d+\] = \{[^}]*\}", source), key=len)
    (tmp_path / "main.c").write_text(
        (tmp_path / "main.c").read_text().replace(longest, longest.replace("0x48", "0x49", 1))
    )
    subprocess.run(command, check=True)
    code, (python,) = identified(program, "--against", header(stencils, wb.X86))
    assert (code, python["verdict"]) == (1, "changed"), python


def test_a_universal_library(stencils: Path, libraries: dict[str, Path], tmp_path: Path) -> None:
    slices = [(0x01000007, 3, libraries[wb.MAC_X86]), (0x0100000C, 0, libraries[wb.MAC_ARM])]
    content = bytearray(struct.pack(">II", 0xCAFEBABE, len(slices)))
    offset, parts = 1 << 14, []
    for kind, subtype, path in slices:
        data = path.read_bytes()
        content += struct.pack(">IIIII", kind, subtype, offset, len(data), 14)
        parts.append((offset, data))
        offset = -(-(offset + len(data)) // (1 << 14)) * (1 << 14)
    for start, data in parts:
        content += bytes(start - len(content)) + data
    path = tmp_path / "Python"
    path.write_bytes(content)
    code, pythons = identified(path, "--against", stencils)
    assert code == 0, pythons
    assert [best["target"] for python in pythons for best in python["best"]] == [wb.MAC_X86, wb.MAC_ARM]


def test_packages_and_folders(stencils: Path, libraries: dict[str, Path], tmp_path: Path) -> None:
    """The configuration beside the program says whether the JIT is on."""
    settings = {
        "usr/lib/libpython3.14.so.1.0": libraries[wb.X86].read_bytes(),
        "usr/lib/python3.14/_sysconfigdata__x.py": b"build = {'X': '-D_Py_TIER2=3 -D_Py_JIT'}",
        "usr/bin/other": b"\x7fELF" + bytes(100),
    }
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        for name, data in settings.items():
            wheel.writestr(name, data)
    for name, data in settings.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    modes: dict[str, Literal["w", "w:gz", "w:xz"]] = {"a.tar.gz": "w:gz", "a.tar.xz": "w:xz", "a.tar": "w"}
    for name, mode in modes.items():
        with tarfile.open(tmp_path / name, mode) as tar:
            tar.add(tmp_path / "root", "x")
    with zipfile.ZipFile(tmp_path / "a.conda", "w") as conda:
        conda.write(tmp_path / "a.tar.xz", "pkg-a.tar.xz")
    for name in ("a.whl", "root", "a.tar.gz", "a.tar.xz", "a.tar", "a.conda"):
        code, (python,) = identified(tmp_path / name, "--against", stencils)
        assert (code, python["verdict"], python["jit_setting"]) == (0, "identified", "off unless PYTHON_JIT=1"), name


def long_bodies(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield the names of stencils of 100 to 999 bytes, with their code."""
    for function in re.split(r"(?m)^emit_", text)[1:]:
        if found := re.search(r"code_body\[\d{3}\] = \{(.*?)\}", function, re.DOTALL):
            yield function.partition("(")[0], bytes(int(byte, 16) for byte in re.findall(r"0x(\w\w)", found[1]))


def test_a_changed_byte(stencils: Path, libraries: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(libraries[wb.X86].read_bytes())
    code, (python,) = identified(libraries[wb.X86], "--against", stencils)
    assert code == 0
    name, body = next(long_bodies(header(stencils, wb.X86).read_text()))
    content[content.index(body) + 50] ^= 1
    (tmp_path / "changed.so").write_bytes(content)
    code, (python,) = identified(tmp_path / "changed.so", "--against", stencils)
    assert (code, python["verdict"]) == (1, "changed")
    missing = [one for one in python["best"][0]["missing"] if one["name"] == name]
    assert [one["differing"] for one in missing] == [[50]]
    verify = ("verify", header(stencils, wb.X86).parent, "--consistent", "--binary")
    done = wb.stencilkit(*verify, tmp_path / "changed.so", check=False)
    assert done.returncode == 1
    assert "does not contain these stencils (changed)" in done.stdout
    done = wb.stencilkit(*verify, libraries[wb.X86], check=False)
    assert done.returncode == 0, done.stdout


def test_500_changed_bytes(stencils: Path, libraries: dict[str, Path]) -> None:
    """None is answered with identified, and the stencil is named; half are in code too short to have two whole ends."""
    content = libraries[wb.X86].read_bytes()
    (program,) = programs.read(content, "library")
    known = identifying.candidate(admitting.header(header(stencils, wb.X86)))
    index = identify.index([known])
    found = identify.find(program, index)
    assert identify.judge(program, [known], found, "").verdict == "identified"
    places = {
        one.sha256: (*found.whole.get(one.sha256, ()), *found.loose.get(one.sha256, ()))
        for one in known.signatures.values()
    }
    names = sorted(known.signatures)
    short = [name for name in names if known.signatures[name].size < 50]
    drawn, verdicts = random.Random(12), Counter[str]()
    for number in range(500):
        name = drawn.choice(short if number % 2 else names)
        signature = known.signatures[name]
        changed = bytearray(content)
        changed[places[signature.sha256][0] + drawn.randrange(signature.size)] ^= 1 << drawn.randrange(8)
        other = replace(program, content=bytes(changed))
        answer = identify.judge(other, [known], identify.find(other, index), "")
        verdicts[answer.verdict] += 1
        same = {one for one, its in known.signatures.items() if its == signature}
        assert same <= {missing.name for missing in answer.best[0].missing}, (name, signature.size)
    assert verdicts.keys() <= {"changed", "nearest"}
    # Of the first and the last array, no place can be told.
    assert verdicts["changed"] > 400, verdicts


def test_damaged_programs_are_refused_or_read_within_bounds(libraries: dict[str, Path], tmp_path: Path) -> None:
    drawn = random.Random(11)
    for triple in (wb.X86, wb.WIN_X86, wb.MAC_ARM):
        whole = libraries[triple].read_bytes()
        for number in range(6):
            data = bytearray(whole[: drawn.randrange(64, len(whole))] if number % 2 else whole)
            for _ in range(40):
                data[drawn.randrange(min(len(data), 2048))] = drawn.randrange(256)
            data[:4] = whole[:4]
            path = tmp_path / f"{triple}-{number}"
            path.write_bytes(data)
            done = wb.stencilkit("identify", path, check=False, timeout=120)
            assert done.returncode in (1, 2), (done.returncode, done.stderr)
            assert "Traceback" not in done.stderr


def elf(*, packed: bytes = b"", text: bytes = b"", size: int = 1 << 16) -> bytes:
    """Make a small ELF program without sections: headers, one segment that is loaded, and bytes in it."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x400000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 4, 0, 0x400000, 0x400000, size, size, 0x1000)
    start = header + segment + packed
    return start + text + bytes(size - len(start) - len(text))


def one_by_one(path: Path) -> list[tuple[str, bytes]]:
    """List the stencils of a header with their code."""
    found = []
    for function in re.split(r"(?m)^emit_", path.read_text())[1:]:
        if body := re.search(r"code_body\[\d+\] = \{(.*?)\}", function, re.DOTALL):
            found.append(
                (function.partition("(")[0], bytes(int(byte, 16) for byte in re.findall(r"0x(\w\w)", body[1])))
            )
    return found


def test_what_upx_packed_is_named(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(elf(packed=struct.pack("<I4sHBB", 0, b"UPX!", 0, 14, 22)))
    done = wb.stencilkit("identify", tmp_path / "packed", check=False)
    assert (done.returncode, "packed with UPX" in done.stderr, "upx -d" in done.stderr) == (2, True, True)


def test_a_text_with_a_stencil_is_none(stencils: Path, tmp_path: Path) -> None:
    """A few stencils in a program are chance, or an example in a text."""
    found = [code for _, code in one_by_one(header(stencils, wb.X86)) if len(code) > 64][:5]
    (tmp_path / "text").write_bytes(elf(text=b"\0".join([b"PYTHONHOME", b"cpython-314", b"3.14.7", *found])))
    code, (python,) = identified(tmp_path / "text", "--against", stencils)
    assert (code, python["verdict"], python["best"]) == (1, "no JIT", [])


def test_an_archive_with_ten_pythons(stencils: Path, libraries: dict[str, Path], tmp_path: Path) -> None:
    """Each is answered for; one that is damaged is a problem, and the others are answered for all the same."""
    kinds = [wb.X86, wb.WIN_X86, wb.MAC_ARM]
    with zipfile.ZipFile(tmp_path / "ten.zip", "w") as archive:
        for number in range(10):
            archive.write(libraries[kinds[number % 3]], f"{number}/libpython")
        archive.writestr("damaged/libpython", libraries[wb.X86].read_bytes()[:900] + b"PYTHONHOME\0")
    done = wb.stencilkit("identify", tmp_path / "ten.zip", "--against", stencils, "--format", "json", check=False)
    (answer,) = json.loads(done.stdout)["answers"]
    assert sorted(python["verdict"] for python in answer["pythons"]) == ["identified"] * 10 + ["unknown"]
    assert [best["target"] for python in answer["pythons"][:3] for best in python["best"]] == kinds
    assert done.returncode == 1


def test_a_process_that_is_not_there() -> None:
    done = wb.stencilkit("identify", "--pid", str((1 << 22) + 7), check=False)
    assert (done.returncode, "cannot be seen" in done.stderr) == (2, True)


def test_a_program_must_be_one_that_has_python(stencils: Path, tmp_path: Path) -> None:
    """With a policy that demands it, too: where nothing was compared, nothing is accepted."""
    (tmp_path / "policy.toml").write_text('schema = 1\nrequire = ["canonical", "manifest", "binary"]\n')
    (tmp_path / "empty").mkdir()
    verify = ("verify", header(stencils, wb.X86).parent, "--consistent", "--policy", tmp_path / "policy.toml")
    expected = f"no CPython was found among 0 files in {tmp_path / 'empty'}, so nothing was compared"
    for binary, answer in ((tmp_path / "empty", expected), (Path("/usr/bin/tail"), "does not contain")):
        done = wb.stencilkit(*verify, "--binary", binary, check=False)
        assert (done.returncode, answer in " ".join(done.stdout.split())) == (1, True), done.stdout
        assert ("name the python or libpython that make built" in done.stdout) == (answer == expected)
    done = wb.stencilkit(*verify, check=False)
    assert (done.returncode, "no program was given (--binary)" in done.stdout) == (1, True), done.stdout


def begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def programs_of_this_machine(least: int) -> list[Path]:
    """Take programs and libraries that are not CPython's, some from all folders."""
    found: list[Path] = []
    for folder in ("/usr/bin", "/usr/sbin", "/usr/lib"):
        paths = (path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.is_symlink())
        with_stencils = ("python", "jit")
        small = (path for path in paths if path.stat().st_size < 2 << 20 and path.suffix not in (".o", ".a"))
        others = (path for path in small if not any(word in str(path) for word in with_stencils))
        found += itertools.islice((path for path in others if begins(path) == b"\x7fELF"), least // 2)
    assert len(found) >= least
    return found


def test_what_is_not_python(tmp_path: Path) -> None:
    """Nothing is found in 50 programs of this machine."""
    others = programs_of_this_machine(50)
    answers = wb.stencilkit("identify", *others, "--format", "json", check=False, timeout=600)
    found = [python for answer in json.loads(answers.stdout)["answers"] for python in answer["pythons"]]
    assert len(found) == len(others)
    assert {(python["verdict"], python["jit"], len(python["best"])) for python in found} == {("unknown", False, 0)}
    assert answers.returncode == 1
    (tmp_path / "random").write_bytes(random.Random(1).randbytes(100_000))
    done = wb.stencilkit("identify", tmp_path / "random", check=False)
    assert (done.returncode, "neither a program nor a package" in done.stderr) == (2, True)


def test_a_python_without_a_jit() -> None:
    """Debian 12's and 13's have none, nor has that of a workflow's machine before 3.13."""
    found = [path for path in sorted(Path("/usr/bin").glob("python3.?*")) if re.fullmatch(r"python3\.\d+", path.name)]
    assert found, "this machine has no /usr/bin/python3.NN: install Debian's package python3"
    code, pythons = identified(*found)
    without = [python for python in pythons if python["verdict"] == "no JIT"]
    assert code == 1
    assert [(python["jit"], python["best"]) for python in without] == [(False, [])] * len(without)
    assert without


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("series", ["3.14", "3.15"])
def test_debians_pythons(series: str, architecture: str) -> None:
    """They are built with LLVM 21, whatever their release is, from sources that cannot be had here."""
    path = wb.debian_package(f"python{series}-minimal", architecture)
    _, (python,) = identified(path)
    assert python["cpython"].startswith(f"{series}.")
    assert python["jit"] is True
    assert python["verdict"] in ("identified", "nearest"), python
    best = python["best"][0]
    assert best["llvm"].startswith("21."), python
    assert best["stencils"] > 0.7 * best["of_stencils"]


def test_a_running_process() -> None:
    """This Python: whatever it is, it is found, and nothing false is said of it."""
    code, found = identified("--pid", str(os.getpid()))
    assert code in (0, 1)
    assert any(python["cpython"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.") for python in found)
