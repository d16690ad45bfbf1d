"""The command line: one file per command, loaded when it is used.

`main` is the one place where errors become text and exit codes. click's standalone mode stays off: there, a usage
error and Ctrl-C both exit with 1, which means "different" here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TextIO

import click
from click.shell_completion import CompletionItem

from stencilkit import __version__
from stencilkit.cli import _completion, _groups, _render
from stencilkit.errors import EXIT_CODE_MEANINGS, ExitCode, StencilkitError
from stencilkit.support import environ, process

# Each is a module of this package, which has it under the name `command`.
_COMMANDS: Final = (
    "fetch",
    "pins",
    "toolchains",
    "targets",
    "doctor",
    "build",
    "regen",
    "show",
    "verify",
    "witness",
    "compare",
    "prove",
    "audit",
    "gate",
    "qualify",
    "report",
    "pack",
    "inspect",
    "install",
    "attest",
    "sbom",
    "identify",
    "test",
    "cache",
    "completion",
)
# What another command starts, and nobody else.
_HIDDEN: Final = ("cell",)
# Windows has no SIGHUP.
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
# A full disk behind standard error: the exit code still says what happened.
_UNHEARD: Final = contextlib.suppress(OSError)
_ISSUES: Final = "the project's issue tracker"


class _Group(_groups.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in (*_COMMANDS, *_HIDDEN):
            return None
        command: click.Command = _load(f"stencilkit.cli.{cmd_name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # click would import every command for its help.
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name) for name in _COMMANDS if name.startswith(incomplete)]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), meaning) for code, meaning in EXIT_CODE_MEANINGS.items()])


def _load(name: str) -> ModuleType:
    """Load a module without the garbage collector: what modules make stays, and is not to be looked at again."""
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="stencilkit", message="%(prog)s %(version)s")
def group() -> None:
    """Build and verify the stencils of CPython's JIT with any supported LLVM."""


def run() -> None:
    """Be the `stencilkit` program; a shell that wants completions calls it, too."""
    _open_closed()
    if instruction := environ.variable(_completion.VARIABLE):
        _completion.answer(group, instruction)
        raise SystemExit(_written_out(sys.stdout, ExitCode.OK, say=_silent))
    code = _written_out(sys.stdout, main(), say=_trouble)
    raise SystemExit(_written_out(sys.stderr, code, say=_silent))


def _open_closed() -> None:
    """Open /dev/null in place of a standard stream that is closed (>&-), for which Python has None.

    The next file that is opened would get its number, too, and what programs print would be in that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest number that is free: this one.
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, "w" if number else "r", encoding="utf-8"))


def _written_out(stream: TextIO, code: int, *, say: Callable[[StencilkitError], ExitCode]) -> int:
    """Write what is left in a stream's buffer: where there is no room for it, Python would exit with 120."""
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return code if code or isinstance(error, BrokenPipeError) else say(_from_os(error))
    return code


def main(arguments: list[str] | None = None) -> int:  # noqa: PLR0911  # one return per exit code
    """Run the command line; return the exit code."""
    for number in _STOPS:
        signal.signal(number, _interrupted)
    try:
        result: Any = group.main(args=arguments, prog_name="stencilkit", standalone_mode=False)
    except StencilkitError as error:
        return _trouble(error)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return _trouble(_groups.explain(error))
    except (KeyboardInterrupt, click.Abort):
        process.stop_all()
        with _UNHEARD:
            _render.say("stencilkit: interrupted; nothing was left half-written", err=True)
        return ExitCode.INTERRUPTED
    except SystemExit:
        # click's answer to a reader that went away (head, less). Its code is 1, which here is a verdict.
        return ExitCode.TROUBLE
    except OSError as error:
        return _trouble(_from_os(error))
    except (MemoryError, RecursionError) as error:
        return _trouble(_exhausted(error))
    except Exception:  # noqa: BLE001  # the last resort: a bug must not look like a verdict
        import traceback

        with _UNHEARD:
            traceback.print_exc()
            _render.say(
                f"stencilkit: this is a bug; please report the lines above to {_ISSUES}, "
                f"with the output of `stencilkit --version` ({__version__})",
                err=True,
            )
        return ExitCode.BUG
    return result if isinstance(result, int) else ExitCode.OK


def _interrupted(_number: int, _frame: object) -> None:
    # Cleaning up takes a moment, in which the impatient press Ctrl-C again.
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _trouble(error: StencilkitError) -> ExitCode:
    with _UNHEARD:
        _render.say_lines([("stencilkit: ", _render.Word("error"), f": {error.as_text()}")], err=True)
    return ExitCode.TROUBLE


def _silent(_error: StencilkitError) -> ExitCode:
    return ExitCode.TROUBLE


def _exhausted(error: MemoryError | RecursionError) -> StencilkitError:
    if isinstance(error, MemoryError):
        return StencilkitError("there is not enough memory", fix="use a machine with more, or --jobs 1")
    return StencilkitError("an input is nested too deeply", fix="leave out the one that stencilkit did not write")


def _from_os(error: OSError) -> StencilkitError:
    name = str(error.filename or "")
    variable = environ.moved_by(Path(name)) if name else ""
    return StencilkitError(
        f"cannot use {name or 'standard output or a file'}: {error.strerror or error}",
        fix=(
            f"set {variable} to a folder that is writable and has room"
            if variable
            else "check that it exists, that its permissions allow it, and that the disk has room"
        ),
    )
