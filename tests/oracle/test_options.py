"""Every -f, -m, -O and -g option of clang, alone: accepted and equal to upstream's, or refused with a reason.

The list is clang's own (`clang --autocomplete`), with the values that it names. `make test` runs a sample of a few; the
matrix runs all, for hours: `STENCILKIT_SWEEP=0.1` takes a tenth of them.
"""

from __future__ import annotations

import collections
import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stencilkit import configure, headers, source, targets, toolchain
from stencilkit.errors import FlagError, StencilkitError
from stencilkit.model.request import BuildRequest
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import asking, building, knowing
from stencilkit.support import files
from stencilkit.support.cache import NoStore
from tests import workbench as wb

GROUPS = ("-f", "-m", "-O", "-g")
# A uop with a call and a comparison of floats, so that flags have something to change.
UOPS = ("_COMPARE_OP_FLOAT", "_BINARY_OP_ADD_FLOAT", "_LOAD_FAST")
SAMPLE = (
    *("-O2", "-Os", "-march=x86-64-v3", "-mavx2", "-mtune=znver3", "-fno-strict-aliasing", "-fwrapv", "-fno-plt"),
    *("-fstack-protector-strong", "-ffast-math", "-fshort-enums", "-fzero-call-used-regs=used", "-mapx-features=egpr"),
    *("-mretpoline", "-fcf-protection", "-fno-omit-frame-pointer", "-g0", "-g", "-fsplit-stack", "-fPIC", "-fcommon"),
)


def answers(clang: Path, start: str) -> list[str]:
    """Ask clang what a word can become."""
    done = subprocess.run([clang, f"--autocomplete={start}"], capture_output=True, text=True, check=True)
    return [line.partition("\t")[0].strip() for line in done.stdout.splitlines()]


def options(clang: Path) -> list[str]:
    """List clang's options of all groups, with each value that it names, or 1 where it names none."""
    names = [name for group in GROUPS for name in answers(clang, group) if name.startswith(group)]
    with ThreadPoolExecutor(2) as pool:
        values = list(pool.map(lambda name: answers(clang, name) if name.endswith("=") else [""], names))
    found: dict[str, None] = {}
    for name, known in zip(names, values, strict=True):
        good = [value for value in known if not value.startswith("-") and "<" not in value]
        found |= dict.fromkeys(name + value for value in (good or ["1"]))
    return list(found)


@dataclass
class Bench:
    """One CPython with few uops, one LLVM, one target; both generators."""

    version: str
    major: int
    triple: str
    work: Path
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)
    known: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree = few(self.version, self.work / "tree")
        self.clang = wb.debian_llvm(self.major) / "clang"
        self.config = wb.pyconfig(self.version, self.triple)
        self.asked = targets.resolve(targets.load(), self.triple)
        identified = toolchain.identify(self.clang, "named", NoStore())
        assert isinstance(identified, Toolchain)
        self.toolchain = identified
        wheel = toolchain.identify(wb.pypi_llvm(19), "pypi", NoStore())
        assert isinstance(wheel, Toolchain)
        self.headers = headers.choose(self.asked.target, identified, [wheel])
        self.opened = knowing.tree(self.tree)

    def request(self, flag: str) -> BuildRequest:
        return BuildRequest(
            tree=self.opened,
            asked=self.asked,
            flavour="release",
            toolchain=self.toolchain,
            headers=self.headers,
            pyconfig=configure.given(self.config, self.asked, "release"),
            cflags=flag,
            jobs=1,
        )

    def ours(self, flag: str) -> dict[str, bytes]:
        return dict(building.build(self.request(flag), NoStore()).files)

    def theirs(self, flag: str) -> Path:
        name = hashlib.sha256(flag.encode()).hexdigest()[:12]
        folder = self.work / f"theirs-{name}"
        wb.run_upstream(self.version, self.major, self.triple, "release", self.config, folder, self.tree, cflags=flag)
        return folder

    def judge(self, flag: str) -> str:
        """Say what becomes of a flag: "refused", "nothing" reaches cc1, "equal"; or what is wrong."""
        plan = building.plan_of(self.request(flag))
        try:
            with files.scratch("sweep") as work:
                told = asking.find(plan, work, allow=False)
        except FlagError as error:
            return "refused by clang" if "clang does not" in error.what else "refused: " + error.what
        if not told.changed:
            return "nothing reaches cc1"
        # Of flags that tell cc1 the same, the first one is compared.
        if told.changed not in self.known:
            self.known[told.changed] = self.compare(flag)
        return self.known[told.changed]

    def compare(self, flag: str) -> str:
        try:
            ours: dict[str, bytes] | None = self.ours(flag)
            said = ""
        except StencilkitError as error:
            ours, said = None, error.as_text()
        try:
            theirs = self.theirs(flag)
        except AssertionError as error:
            return "fails in both" if ours is None else f"WRONG: upstream fails, we do not: {str(error)[-300:]}"
        try:
            if ours is None:
                return f"WRONG: upstream does, we do not: {said[:600]}"
            for path in sorted(theirs.glob("jit_*")):
                data = ours[path.name]
                if strip(data) != strip(path.read_bytes()):
                    return f"WRONG: {path.name} differs"
            return "equal"
        finally:
            shutil.rmtree(theirs)

    def sweep(self, flags: list[str]) -> None:
        with ThreadPoolExecutor(2) as pool:
            for flag, became in zip(flags, pool.map(self.judge, flags), strict=True):
                self.counts[became.partition(":")[0]] += 1
                if became.startswith("WRONG"):
                    self.wrong.append(f"{flag}: {became}")


def strip(data: bytes) -> bytes:
    if data[:2] != b"//":
        return data
    return b"\n".join(line for line in data.split(b"\n") if not line.lstrip().startswith(b"//"))


def few(version: str, to: Path) -> Path:
    """Copy a tree with three uops."""
    wb.small_tree(version, to, uops=10000)
    cases = to / source.CASES
    head, *found = re.split(r"(?m)(?=^        case \w+: \{$)", cases.read_text("utf-8"))
    kept = [case for case in found if any(re.search(rf"case {name}(?:_r\d+)?: \{{", case) for name in UOPS)]
    kept = list({re.sub(r"_r\d+", "", case.split(":")[0]): case for case in kept}.values())
    assert len(kept) == len(UOPS), [case.split(":")[0] for case in kept]
    cases.write_text("".join([head, *(case.rstrip() + "\n\n" for case in kept), "#undef TIER_TWO\n"]), "utf-8")
    return to


def chosen(flags: list[str]) -> list[str]:
    """Take a part of them, the same in every run."""
    part = float(os.environ.get("STENCILKIT_SWEEP", "1"))
    return [flag for flag in flags if int(hashlib.sha256(flag.encode()).hexdigest()[:4], 16) < part * 0x10000]


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("version", "major", "triple"),
    [
        *(("3.13.15", major, wb.X86) for major in (18, 19, 21, 22, 23)),
        *((version, major, wb.X86) for version in ("3.14.7", "3.15.0rc1") for major in (19, 21, 22, 23)),
        *((version, major, wb.ARM) for version, major in wb.PINNED.items()),
    ],
)
def test_every_option_is_equal_or_refused(version: str, major: int, triple: str, tmp_path: Path) -> None:
    bench = Bench(version, major, triple, tmp_path)
    bench.sweep(chosen(options(bench.clang)))
    print(version, major, triple, dict(bench.counts))
    assert not bench.wrong, "\n".join(bench.wrong)
    assert bench.counts["equal"]


@pytest.mark.parametrize(("version", "major"), [("3.14.7", 19)])
def test_known_options_are_equal_or_refused(version: str, major: int, tmp_path: Path) -> None:
    bench = Bench(version, major, wb.X86, tmp_path)
    bench.sweep(list(SAMPLE))
    assert not bench.wrong, "\n".join(bench.wrong)


def test_what_a_wrapper_adds_is_refused_or_recorded(tmp_path: Path) -> None:
    """A script under clang's name, and a configuration file: nothing of it is silent, or taken from the cache."""
    tree = few("3.14.7", tmp_path / "tree")
    clang = wb.debian_llvm(19) / "clang"
    base: list[str | Path] = ["--cpython", tree, "--target", wb.X86, "--pyconfig-dir", wb.pyconfig("3.14.7")]
    base += ["--out", tmp_path / "out"]

    def build(flags: str, *more: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "wrapper" / "clang-19"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec {clang} "$@" {flags}\n')
        script.chmod(0o755)
        return wb.stencilkit("build", *base, "--llvm", script, *more, check=False)

    plain = build("-Wextra -isystem /nowhere")
    assert plain.returncode == 0, plain.stderr
    config = tmp_path / "clang.cfg"
    config.write_text("-march=x86-64-v3\n")
    for flags, said in {
        "-march=x86-64-v4": "-target-cpu x86-64-v4",
        f"--config={config}": "-target-cpu x86-64-v3",
        "-O1": "no -O3",
        "-fstack-clash-protection": "-fstack-clash-protection without being asked",
        "-fzero-call-used-regs=used": "zeroed registers",
    }.items():
        refused = build(flags)
        assert refused.returncode == 2, flags
        assert said in refused.stderr
    assert build("-fstack-clash-protection", "--allow-driver-flags").returncode == 2
    taken = build("-march=x86-64-v4", "--allow-driver-flags")
    assert taken.returncode == 0, taken.stderr
    folder = Path(taken.stdout.strip().splitlines()[-1].split(" ", 1)[1])
    text = (folder / "manifest.toml").read_text()
    assert 'what = "-target-cpu x86-64-v4"' in text
    assert 'name = "x86-64-v4"' in text
    verdict = wb.stencilkit(
        "verify", "--consistent", folder, "--cpython", tree, "--pyconfig-dir", wb.pyconfig("3.14.7"), check=False
    )
    assert verdict.returncode == 1
    assert "x86-64-v4" in verdict.stdout


def test_branch_protection_leaves_only_metadata(tmp_path: Path) -> None:
    """Upstream's generator stops at .ARM.attributes, which clang 21 and later write, and with 3.15 before that."""
    bench = Bench("3.15.0rc1", 21, wb.ARM, tmp_path)
    plain, protected = bench.ours(""), bench.ours("-mbranch-protection=standard")
    name = f"jit_stencils-{wb.ARM}.h"
    assert strip(plain[name]) != strip(protected[name])
    assert b".ARM.attributes" in protected[f"jit_shim-{wb.ARM}.o"]
