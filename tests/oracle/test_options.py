"""Every -f, -m, -O and -g option of clang, alone: accepted and equal to upstream's, or refused with a reason.

The list is clang's own (`clang --autocomplete`), with the values that it names. `make test` runs a sample of a few; the
matrix runs all, some ten minutes for each row: `STENCILKIT_SWEEP=0.1` takes a tenth of them.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests import sweep
from tests import workbench as wb

SAMPLE = (
    *("-O2", "-Os", "-march=x86-64-v3", "-mavx2", "-mtune=znver3", "-fno-strict-aliasing", "-fwrapv", "-fno-plt"),
    *("-fstack-protector-strong", "-ffast-math", "-fshort-enums", "-fzero-call-used-regs=used", "-mapx-features=egpr"),
    *("-mretpoline", "-fcf-protection", "-fno-omit-frame-pointer", "-g0", "-g", "-fsplit-stack", "-fPIC", "-fcommon"),
)
# With what clang writes a section of notes for before the code, upstream's 3.15 loses the directive .text behind it: it
# looks for the stencil's code and has none. There is nothing to compare with (docs/hardening.md).
STOPS = {
    ("3.15.0rc1", wb.ARM): tuple(f"-msign-return-address={scope}: upstream fails" for scope in ("all", "non-leaf"))
}
NO_TEXT = "KeyError: '_JIT_ENTRY'"


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("version", "major", "triple"),
    [
        ("3.13.15", 18, wb.X86),
        *(("3.14.7", major, wb.X86) for major in (19, 20)),
        *(("3.15.0rc1", major, wb.X86) for major in (21, 22, 23)),
        ("3.14.7", 19, wb.ARM),
        ("3.15.0rc1", 21, wb.ARM),
    ],
)
def test_every_option_is_equal_or_refused(version: str, major: int, triple: str, tmp_path: Path) -> None:
    started = time.monotonic()
    bench = sweep.Bench(version, major, triple, tmp_path)
    found = sweep.Sweep(bench)
    part = float(os.environ.get("STENCILKIT_SWEEP", "1"))
    found.run(sweep.chosen(sweep.options(bench.tools / "clang"), part))
    print(
        f"{version}, LLVM {major}, {triple}, {time.monotonic() - started:.0f} s: {dict(sorted(found.counts.items()))}"
    )
    for reason, count in found.reasons.most_common():
        print(f"{count:5} {reason}")
    stops = [one for one in found.wrong if one.startswith(STOPS.get((version, triple), ())) and NO_TEXT in one]
    assert found.wrong == stops, "\n".join(found.wrong)
    assert len(stops) == len(STOPS.get((version, triple), ()))
    assert found.counts["recorded, of effect here"]
    assert found.counts["harmless"]


def test_known_options_are_equal_or_refused(tmp_path: Path) -> None:
    found = sweep.Sweep(sweep.Bench("3.14.7", 19, wb.X86, tmp_path))
    found.run(SAMPLE)
    assert not found.wrong, "\n".join(found.wrong)
    assert found.counts["refused"]
    assert found.counts["recorded, of effect here"]


@pytest.mark.matrix
@pytest.mark.parametrize("triple", [wb.X86, wb.ARM, wb.MAC_ARM, wb.MAC_X86])
@pytest.mark.parametrize(("version", "major"), [("3.13.15", 18), ("3.14.7", 19)])
def test_debug_information_is_left_out(version: str, major: int, triple: str, tmp_path: Path) -> None:
    """Both generators leave its sections out of ELF and Mach-O; of COFF, upstream's takes them for data.

    On aarch64 Linux, LLVM moves nothing past what it describes for unwinding, so both make other stencils with it.
    """
    bench = sweep.Bench(version, major, triple, tmp_path)
    plain = sweep.stripped(bench.theirs("")) if triple != wb.ARM else None
    assert bench.compare("-g", plain) == ""
    assert bench.compare("-g1 -gdwarf-4", plain) == ""


def test_what_a_wrapper_adds_is_refused_or_recorded(tmp_path: Path) -> None:
    """A script under clang's name, and a configuration file: nothing of it is silent, or taken from the cache."""
    tree = sweep.one("3.14.7", tmp_path / "tree")
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
    bench = sweep.Bench("3.15.0rc1", 21, wb.ARM, tmp_path)
    plain, protected = bench.ours(""), bench.ours("-mbranch-protection=standard")
    name = f"jit_stencils-{wb.ARM}.h"
    assert sweep.strip(plain[name]) != sweep.strip(protected[name])
    assert b".ARM.attributes" in protected[f"jit_shim-{wb.ARM}.o"]
