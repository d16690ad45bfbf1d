"""Real inputs for tests: CPython trees, LLVMs, pyconfig.h files, and what CPython's own generator makes of them.

Everything is fetched or made once and kept in .cache/tests (or STENCILKIT_TEST_CACHE), through stencilkit's own
commands where it has them. What cannot be had is a failure, not a skip.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stencilkit import configure, generator, headers, source, targets, toolchain
from stencilkit.model.build import Headers
from stencilkit.model.request import BuildRequest
from stencilkit.model.source import STENCIL_PARTS
from stencilkit.model.target import Flavour, SpelledTarget
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import judging, knowing
from stencilkit.support import files
from stencilkit.support.cache import Store
from tests import answers, scripts

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("STENCILKIT_TEST_CACHE", ROOT / ".cache" / "tests")).resolve()
X86 = "x86_64-unknown-linux-gnu"
ARM = "aarch64-unknown-linux-gnu"
MAC_ARM = "aarch64-apple-darwin"
MAC_X86 = "x86_64-apple-darwin"
WIN_X86 = "x86_64-pc-windows-msvc"
WIN_I686 = "i686-pc-windows-msvc"
WIN_ARM = "aarch64-pc-windows-msvc"
WINDOWS = (WIN_X86, WIN_I686, WIN_ARM)
FOREIGN = (MAC_ARM, MAC_X86, *WINDOWS)
# The PyPI toolchain that lends its headers to the others: of several, the newest does.
NEWEST_WHEEL = 22
# The major versions that some suite of Debian has, and those that PyPI has.
DEBIAN = (18, 19, 21, 22, 23)
WHEELS = (18, 19, 20, 21, 22)
PINNED = {"3.13.15": 18, "3.14.7": 19, "3.15.0rc1": 21}
# What `make test` compares with upstream's, and audits, beside all uops for x86_64 Linux: a sixth of 3.14's.
SAMPLED: list[tuple[str, int, str, Flavour]] = [
    ("3.14.7", 19, ARM, "debug"),
    ("3.14.7", 19, MAC_ARM, "release"),
    ("3.14.7", 19, WIN_X86, "release"),
]
_SIXTH = (48, 6)

# Other patch releases, which no pin of stencilkit's names: those that Debian carries beside the newest ones, and so
# the mirrors that apt is configured with; all are at python.org.
RELEASES = {
    "3.13.5": "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640",
    "3.13.12": "2a84cd31dd8d8ea8aaff75de66fc1b4b0127dd5799aa50a64ae9a313885b4593",
    "3.13.14": "639e43243c620a308f968213df9e00f2f8f62332f7adbaa7a7eeb9783057c690",
    "3.14.4": "d923c51303e38e249136fc1bdf3568d56ecb03214efdef48516176d3d7faaef8",
    "3.14.5": "7e32597b99e5d9a39abed35de4693fa169df3e5850d4c334337ffd6a19a36db6",
    "3.14.6": "143b1dddefaec3bd2e21e3b839b34a2b7fb9842272883c576420d605e9f30c63",
    "3.15.0rc2": "8d93af5eaaaea5adfd41bd786a7ba3f03f2ad1ab57c6a65e0b963deab91d5ad7",
}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make the environment in which tests run stencilkit: its folders are the test cache's, no LLVM is named."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("STENCILKIT_")}
    folders = {"STENCILKIT_CACHE": str(CACHE / "cache"), "STENCILKIT_DATA": str(CACHE / "data")}
    return {**base, **folders, **(extra or {})}


def started(command: Sequence[str | Path], folder: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a program in a folder and a process group of its own, so that all that it starts can be stopped with it."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def stencilkit(
    *arguments: str | Path,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 900,
) -> subprocess.CompletedProcess[str]:
    """Run stencilkit as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "stencilkit", *map(str, arguments)],
        env=environment(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if check and done.returncode:
        raise AssertionError(f"stencilkit {arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    answers.check_text(done.stdout)
    return done


@functools.cache
def tree(version: str) -> Path:
    """Fetch a CPython source tree."""
    with files.locked(CACHE / "fetch.lock"):
        pin = ["--sha256", RELEASES[version]] if version in RELEASES else []
        return Path(stencilkit("fetch", version, *pin).stdout.strip())


@functools.cache
def debian_llvm(major: int) -> Path:
    """Unpack Debian's LLVM, with llvm-readobj and the others; return its bin folder."""
    script = ROOT / "recipes" / "toolchains" / "debian_llvm.py"
    folder = CACHE / "llvm"
    with files.locked(CACHE / "llvm.lock"):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command: list[str | Path] = [sys.executable, script, "--to", folder, str(major)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


@functools.cache
def debian_package(name: str, architecture: str) -> Path:
    """Download a package of Debian's unstable, through apt, which checks its signature."""
    module = scripts.script("recipes/toolchains/debian_llvm.py")
    folder = CACHE / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(CACHE / "packages.lock"):
        found = sorted(folder.glob(f"{name}_*_{architecture}.deb"))
        if not found:
            environment = module._private_apt(folder)
            configuration = Path(environment["APT_CONFIG"])
            configuration.write_text(configuration.read_text() + 'APT::Architectures {"amd64"; "arm64";};\n')
            for words in (["update"], ["download", f"{name}:{architecture}"]):
                done = subprocess.run(
                    ["apt-get", "-qq", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
            found = sorted(folder.glob(f"{name}_*_{architecture}.deb"))
    return found[-1]


@functools.cache
def llvm(major: int) -> Path:
    """Return a folder with a clang and the programs that CPython's generator runs beside it.

    The clang is PyPI's, which starts three times as fast; Debian's other programs say that they are of its version:
    what they read has been the same for years. Of a major version that PyPI does not have, all are Debian's.
    """
    if major not in WHEELS:
        return debian_llvm(major)
    zig = pypi_llvm(major)
    folder = CACHE / "llvm" / f"pypi-{major}"
    others = debian_llvm(min(other for other in DEBIAN if other >= major))
    wrappers = {"clang": f'exec {zig} clang -resource-dir {zig.parent / "lib"} "$@"'} | {
        name: f'[ "$1" = --version ] && echo "LLVM version {major}.0.0 " && exit\nexec {others / name} "$@"'
        for name in ("llvm-readobj", "llvm-objdump")
    }
    with files.locked(CACHE / "llvm.lock"):
        folder.mkdir(exist_ok=True)
        for name, text in wrappers.items():
            files.write(folder / name, f"#!/bin/sh\n{text}\n".encode(), executable=True)
    return folder


@functools.cache
def pypi_llvm(major: int) -> Path:
    """Install an LLVM from PyPI; return its program."""
    with files.locked(CACHE / "pypi.lock"):
        folder = Path(stencilkit("toolchains", "install", str(major)).stdout.strip().splitlines()[-1])
    return folder / "ziglang" / "zig"


@functools.cache
def pyconfig(version: str, triple: str = X86, flavour: Flavour = "release") -> Path:
    """Configure a tree; return the folder of pyconfig.h, which is kept."""
    return configured(version, triple, flavour, to=CACHE / "cache")


def configured(version: str, triple: str = X86, flavour: Flavour = "release", *, to: Path) -> Path:
    """Configure a tree; return the folder of pyconfig.h, below another one."""
    opened = knowing.tree(tree(version))
    request: SpelledTarget = targets.resolve(targets.load(), triple)
    zig = toolchain.identify(pypi_llvm(19), "pypi", Store(CACHE / "cache" / "entries"))
    assert isinstance(zig, Toolchain)
    return configure.configured(opened, request, flavour, [zig], to).folder


def config_for(version: str, triple: str, flavour: Flavour, to: Path) -> Path:
    """Return the folder of a pyconfig.h for tests in which both sides read it; a cross configure takes a minute.

    For all that is not Windows, it is x86_64 Linux's, without what the target never has, and with what it always has.
    """
    if triple == X86 or triple in WINDOWS:
        return pyconfig(version, triple, flavour)
    target = targets.resolve(targets.load(), triple).target
    to.mkdir()
    lines = (pyconfig(version, X86, flavour) / "pyconfig.h").read_text().splitlines(keepends=True)
    never = ("HAVE_GCC_ASM_FOR_X", *target.foreign_macros)
    lines = [line for line in lines if not any(name in line for name in never)]
    lines += [f"#define {name} 1\n" for name in target.own_macros]
    (to / "pyconfig.h").write_text("".join(lines))
    return to


@functools.cache
def site(version: str) -> Path:
    """Return a site file with what configure finds out on this machine, for whoever runs configure (CONFIG_SITE).

    It makes a configure a matter of seconds (autoconf manual, "Site Defaults").
    """
    compiler = subprocess.run(["cc", "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(compiler + (tree(version) / "configure").read_bytes()).hexdigest()[:12]
    path = CACHE / "site" / f"{version}-{digest}"
    with files.locked(path.with_name(f"{path.name}.lock")):
        if not path.is_file():
            with files.scratch("site") as work:
                command: list[str | Path] = [tree(version) / "configure", "-q", "--enable-experimental-jit"]
                command += [f"PYTHON_FOR_REGEN={sys.executable}", f"--cache-file={work / 'found'}"]
                done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr[-2000:]
                found = (work / "found").read_text().splitlines(keepends=True)
            # What a caller gives to configure must count.
            given = ("ac_cv_env_", "ac_cv_prog_PYTHON_FOR_REGEN")
            files.write(path, "".join(line for line in found if not line.startswith(given)).encode())
    return path


@functools.cache
def header_flags(triple: str) -> str:
    """Return the flags with which a build for another platform finds headers, "" where it needs none.

    They are those of stencilkit.headers, so that both generators read the same files.
    """
    if triple in (X86, ARM):
        return ""
    target = targets.resolve_all(targets.load(), triple, "3.15")[0].target
    zig = toolchain.identify(pypi_llvm(NEWEST_WHEEL), "pypi", Store(CACHE / "cache" / "entries"))
    assert isinstance(zig, Toolchain)
    return " ".join(headers.choose(target, zig, []).arguments)


def upstream(
    version: str,
    major: int,
    triple: str = X86,
    flavour: Flavour = "release",
    *,
    config: Path | None = None,
    sample: tuple[int, int] | None = None,
) -> Path:
    """Run CPython's own Tools/jit/build.py with an LLVM of Debian's; return the folder with what it made.

    What it is made to do as we do it is in stencilkit/generator.py and pipeline/judging.py. With `sample`, it is run on
    a tree of so many uops, each so many-th (see small_tree).
    """
    config = config or pyconfig(version, triple, flavour)
    key = f"{(config / 'pyconfig.h').read_bytes()!r}{header_flags(triple)}{sample or ''}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    folder = CACHE / "upstream" / version / triple / flavour / f"llvm-{major}-{digest}"
    with files.locked(folder.with_name(folder.name + ".lock")):
        if not folder.is_dir():
            work = folder.with_name(folder.name + ".work")
            shutil.rmtree(work, ignore_errors=True)
            with files.scratch("sample") as scratch:
                uops, step = sample or (0, 0)
                few = small_tree(version, scratch / "tree", uops=uops, step=step) if sample else None
                run_upstream(version, major, triple, flavour, config, work, few)
            work.rename(folder)
    return folder


def run_upstream(
    version: str,
    major: int,
    triple: str,
    flavour: Flavour,
    config: Path,
    work: Path,
    source_tree: Path | None = None,
    *,
    cflags: str = "",
    tools: Path | None = None,
) -> None:
    """Run CPython's own generator as build --check-upstream does, on any tree, and keep what it made, in `work`.

    `tools` is a folder with a clang that is found before Debian's.
    """
    store = Store(CACHE / "cache" / "entries")
    folder = debian_llvm(major) if major in DEBIAN else llvm(major)
    ours = toolchain.identify(folder / "clang", "named", store)
    clang = toolchain.identify(tools / "clang", "named", store) if tools else ours
    assert isinstance(ours, Toolchain)
    assert isinstance(clang, Toolchain)
    opened = knowing.tree(source_tree or tree(version))
    asked = targets.resolve(targets.load(), triple)
    request = BuildRequest(
        tree=opened,
        asked=asked,
        flavour=flavour,
        toolchain=clang,
        # Of its own platforms, clang finds the headers.
        headers=Headers(origin="system", arguments=tuple(header_flags(triple).split()), root=Path("/")),
        pyconfig=configure.given(config, asked, flavour),
        cflags=cflags,
        jobs=1,
    )
    copy = work / "tree"
    files.copy_parts(opened.root, copy, STENCIL_PARTS)
    made = generator.run(judging.call_of(request, [ours]), copy, work)
    for name, data in made.files.items():
        (work / name).write_bytes(data)
    for name in ("tree", "out", "programs", "tmp"):
        shutil.rmtree(work / name)


def without_comments(path: Path) -> list[str]:
    """Read a header without the lines that are comments."""
    return judging.without_comments(path.read_bytes())


def built(
    version: str, major: int, out: Path, *arguments: str | Path, triple: str = X86, source_tree: Path | None = None
) -> Path:
    """Build with stencilkit and Debian's LLVM; return the output folder."""
    clang = debian_llvm(major) / "clang"
    header_flags(triple)
    base: list[str | Path] = ["--cpython", source_tree or tree(version), "--llvm", clang, "--target", triple]
    done = stencilkit("build", *base, "--out", out, *arguments)
    return Path(done.stdout.strip().splitlines()[-1].split(" ", 1)[1])


def differing_lines(ours: Path, theirs: Path) -> Iterator[str]:
    """Yield the first lines in which two headers differ, comments aside."""
    lines = difflib.unified_diff(
        without_comments(theirs), without_comments(ours), "upstream", "stencilkit", lineterm=""
    )
    for _, line in zip(range(40), lines, strict=False):
        yield line


def sixth(version: str, major: int, triple: str, flavour: Flavour, work: Path) -> tuple[Path, Path, Path]:
    """Make a tree of a sixth of the uops; return it, its pyconfig.h's folder, and what upstream's generator made."""
    uops, step = _SIXTH
    tree = small_tree(version, work / "tree", uops=uops, step=step)
    config = config_for(version, triple, flavour, work / "config")
    return tree, config, upstream(version, major, triple, flavour, config=config, sample=_SIXTH)


def small_tree(
    version: str, to: Path, *, uops: int = 12, step: int = 1, edit: Mapping[str, str] | None = None, only: str = ""
) -> Path:
    """Copy what stencils are made from, with few uops: the first, or each `step`th, of those that `only` begins.

    `edit` maps a uop to what its case becomes.
    """
    for name in ("Include", "Python", "Tools/jit"):
        shutil.copytree(tree(version) / name, to / name)
    cases = to / source.CASES
    head, *found = re.split(r"(?m)(?=^        case \w+: \{$)", cases.read_text("utf-8"))
    kept = [case for case in found if case.startswith(f"        case {only}")][::step][:uops]
    for name, text in (edit or {}).items():
        index = next(number for number, case in enumerate(kept) if f"case {name}: {{" in case)
        kept[index] = text
    cases.write_text("".join([head, *(case.rstrip() + "\n\n" for case in kept), "#undef TIER_TWO\n"]), "utf-8")
    return to


def small_cpython(version: str, to: Path, *, uops: int = 12) -> Path:
    """Make a small tree in which configure runs: everything but the uops is the release's, behind links."""
    small_tree(version, to, uops=uops)
    for folder in ("", "Tools"):
        for path in sorted((tree(version) / folder).iterdir()):
            if not (to / folder / path.name).exists():
                (to / folder / path.name).symlink_to(path)
    return to


def outputs(folder: Path) -> dict[str, bytes]:
    """Read an output folder; of the manifest, all but the provenance."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files.walk(folder)}
    for name in [name for name in found if name.endswith("manifest.toml")]:
        before, mark, _ = found[name].partition(b"\n[provenance]\n")
        assert mark, "provenance is the last table, so that the rest can be compared"
        found[name] = before
    return found
