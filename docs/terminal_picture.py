"""Draw docs/terminal.svg, the picture in the README: run its two commands, and keep what they print.

    python docs/terminal_picture.py

Needs LLVM 19 to 22 and the source of CPython 3.14.7, as `make demo` brings them.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "terminal.svg"
COLUMNS = 120
BUILT = "stencils/3.14.7/x86_64-unknown-linux-gnu/release/llvm-22.1.8"
COMMANDS = (
    "stencilkit build --cpython 3.14.7 --llvm 19..22",
    f"stencilkit verify {BUILT} --ledger {ROOT}/reproducibility/ledger",
)


def printed(command: str, folder: Path) -> str:
    """Run a command as on a terminal, and return what it prints."""
    program = [sys.executable, "-m", *command.split()]
    env = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    return subprocess.run(program, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    """Run the commands and draw them."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text("$ ", style="bold green") + Text(command.replace(f"{ROOT}/", ""), style="bold"))
            console.print(Text.from_ansi(printed(command, Path(folder))))
    picture = console.export_svg(title="stencilkit", unique_id="terminal")
    # A page must not fetch fonts from elsewhere; those of the reader's machine will do.
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL) + "\n", "utf-8")


if __name__ == "__main__":
    main()
