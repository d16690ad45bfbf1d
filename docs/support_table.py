"""Build every CPython with every LLVM and write the table in docs/support.md from what came out.

    make table

Uses the same inputs as the tests (tests/workbench.py): LLVM 18 to 23 of Debian's, x86_64 Linux, release.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import workbench as wb

LLVMS = range(18, 24)
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def build(version: str, major: int, out: Path) -> dict[str, Any] | str:
    """Build one cell; return its JSON, or the reason for the refusal."""
    clang = wb.debian_llvm(major) / "clang" if major != 20 else wb.pypi_llvm(20)
    config = wb.pyconfig(version)
    arguments = ["--cpython", wb.tree(version), "--llvm", clang, "--target", wb.X86, "--pyconfig-dir", config]
    done = wb.stencilkit("build", *arguments, "--out", out, "--format", "json", check=False)
    if done.returncode:
        return done.stderr.split("error: ", 1)[1].splitlines()[0]
    built: dict[str, Any] = json.loads(done.stdout)["builds"][0]
    return built


def rows(version: str, out: Path) -> list[str]:
    """Build a CPython with every LLVM; lay out one row each."""
    cells = {major: build(version, major, out) for major in LLVMS}
    pinned = cells[wb.PINNED[version]]
    assert isinstance(pinned, dict)
    reference = _digests(Path(pinned["folder"]))
    laid_out = []
    for major, cell in cells.items():
        if isinstance(cell, str):
            laid_out.append(f"| {version} | {major} | refused | | | | {cell} |")
            continue
        own = _digests(Path(cell["folder"]))
        same = sum(own[name] == digest for name, digest in reference.items())
        note = "upstream's choice" if major == wb.PINNED[version] else "; ".join(_deviations(Path(cell["folder"])))
        sizes = f"{cell['code_bytes']} | {cell['data_bytes']}"
        laid_out.append(f"| {version} | {cell['llvm']} | {len(own)} | {sizes} | {same} | {note} |")
    return laid_out


def _digests(folder: Path) -> dict[str, str]:
    return {record["name"]: record["content"] for record in _manifest(folder)["stencil"]}


def _deviations(folder: Path) -> list[str]:
    return [f"`{item['what']}`" for item in _manifest(folder)["build"]["deviation"]]


def _manifest(folder: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads((folder / "manifest.toml").read_text())


def main() -> int:
    page = Path(__file__).with_name("support.md")
    head = [
        "| CPython | LLVM | stencils | code bytes | data bytes | same as upstream's LLVM | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory(prefix="stencilkit-table-") as folder:
        table = [*head, *(row for version in sorted(wb.PINNED) for row in rows(version, Path(folder)))]
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + BEGIN + "\n".join(table) + "\n" + END + after)
    print("\n".join(table))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
