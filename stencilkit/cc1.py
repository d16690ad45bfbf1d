"""Stage 2c: flags -> what clang's driver tells cc1.

The driver is asked (`clang -###`), never guessed at: a wrapper, a configuration file or a vendor's patch shows in its
answer, as do flags that cancel each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import FlagError
from stencilkit.model import cc1
from stencilkit.model.cc1 import Argument
from stencilkit.support import process

_PROBE: Final = "probe.c"
_TIMEOUT_SECONDS: Final = 60.0


def ask(command: Sequence[str], arguments: Sequence[str], work: Path) -> tuple[Argument, ...]:
    """Ask a driver how it would compile a C file to an object with these arguments.

    `work` is a folder that the question may use.

    Raises: FlagError where it would not start one compiler, or refuses the arguments.
    """
    (work / _PROBE).touch()
    words = [*command, *arguments, "-c", _PROBE, "-o", "probe.out", "-###"]
    done = process.run(words, cwd=work, timeout=_TIMEOUT_SECONDS)
    commands = cc1.commands(done.err)
    errors = [line for line in done.err.splitlines() if "error: " in line]
    if done.returncode or errors or len(commands) != 1:
        raise FlagError(
            "clang does not compile one C file to one object with these flags",
            where=str(command[0]),
            details="\n".join(errors) or f"clang -### names {len(commands)} compilers",
            fix="leave out of --cflags what is not about code (what to write, which steps to run)",
        )
    return cc1.arguments(commands[0], (_PROBE,))
