"""The one door to other programs: fixed environment, no shell, captured output, a timeout, no orphans.

Every child gets a session of its own, so that Ctrl-C reaches stencilkit alone, which then stops the child's whole
process group: INT, then TERM, then KILL.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from stencilkit.errors import ProcessError, StencilkitError
from stencilkit.support import environ
from stencilkit.support.words import counted

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# What a child may inherit. Compilers change their output with CPATH, C_INCLUDE_PATH, CCC_OVERRIDE_OPTIONS, LANG,
# SOURCE_DATE_EPOCH and others: they are not here. The rest is needed to find and start programs.
_INHERITED: Final = (
    "PATH",
    "HOME",
    "USERPROFILE",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DEVELOPER_DIR",
    "SDKROOT",
    "XDG_CACHE_HOME",
    # Downloads and apt go through these:
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
# nixpkgs' clang is a wrapper that takes its include paths from these:
_INHERITED_PREFIXES: Final = ("NIX_",)
_FIXED: Final = {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "0"}
# What is kept of each output stream; of 3.13, clang prints 20 MB of functions (compiler/phis.py). The rest is read, so
# that the program does not wait, and dropped.
_KEPT: Final = 64 << 20
_CHUNK: Final = 1 << 16
# How soon a process notices that the one that started it is gone.
_PARENT_SECONDS: Final = 1.0
_STOP_SIGNALS: Final = ((signal.SIGINT, 1.0), (signal.SIGTERM, 2.0))

_live: set[subprocess.Popen[bytes]] = set()
_never: Final = threading.Event()
_live_lock: Final = threading.Lock()
_stopping: Final = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended."""

    command: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def ending(self) -> str:
        """Describe how it ended, in words."""
        if self.returncode >= 0:
            return f"ended with {self.returncode}"
        number = -self.returncode
        names = {member.value: member.name for member in signal.Signals}
        hint = " (is there enough memory? fewer --jobs need less)" if number == 9 else ""
        return f"was killed by {names.get(number, f'signal {number}')}{hint}"

    @property
    def out(self) -> str:
        """Decode standard output."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        """Decode standard error."""
        return self.stderr.decode("utf-8", "replace")

    @property
    def lacked_room(self) -> bool:
        """Return whether it complained of a full disk; our own programs and LLVM's say what the system says."""
        return os.strerror(errno.ENOSPC) in self.err


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make the environment that a child gets: a few inherited names, fixed locale and time zone, and `extra`."""
    inherited = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {**inherited, **_FIXED, **_caches(), **(extra or {})}


def _caches() -> dict[str, str]:
    # A ziglang wheel's clang keeps a folder for each user, unless a variable names another one.
    try:
        return {"ZIG_GLOBAL_CACHE_DIR": str(environ.cache_root() / "zig")}
    except StencilkitError:
        # Without a home there is no cache; what needs one reports that.
        return {}


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600.0,
    stdin_from: Path | None = None,
    stdout_to: Path | None = None,
) -> Completed:
    """Run a program to its end.

    `timeout` is in seconds. The program reads `stdin_from`, or nothing. With `stdout_to`, both output streams go to
    that file and the result has none. Of a longer standard error than 64 MiB, the rest is dropped.

    Raises: ProcessError if it cannot be started, takes too long, or writes more than that to standard output.
    """
    words = tuple(str(word) for word in command)
    with contextlib.ExitStack() as stack:
        out: int | IO[bytes] = subprocess.PIPE
        if stdout_to is not None:
            out = stack.enter_context(stdout_to.open("wb"))
        given = stack.enter_context((stdin_from or Path(os.devnull)).open("rb"))
        process = _start(words, cwd, environment(env), given, out)
        try:
            streams = [_Stream(stream) for stream in (process.stdout, process.stderr)]
            _wait(process, streams, timeout)
        except subprocess.TimeoutExpired:
            _stop_group(process)
            raise ProcessError(
                f"{words[0]} did not end within {counted(timeout, 'second')}",
                where=" ".join(words[:6]),
                fix="try again on a less busy machine, or report it",
            ) from None
        except BaseException:
            _stop_group(process)
            raise
        finally:
            with _live_lock:
                _live.discard(process)
    stdout, stderr = streams
    if stdout.dropped:
        raise ProcessError(
            f"{words[0]} wrote more than {_KEPT >> 20} MiB to its standard output",
            where=" ".join(words[:6]),
            fix="check that this is the program that you meant",
        )
    return Completed(command=words, returncode=process.returncode, stdout=stdout.data, stderr=stderr.data)


class _Stream:
    """What a program writes to one of its streams, read by a thread: the first part is kept."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True) if stream else None
        self.dropped = False
        if self._thread is not None:
            self._thread.start()

    @property
    def data(self) -> bytes:
        """Return what was kept."""
        return bytes(self._kept)

    def join(self, seconds: float) -> bool:
        """Wait for the end of the stream; return whether it came."""
        if self._thread is not None:
            self._thread.join(max(seconds, 0))
        return self._thread is None or not self._thread.is_alive()

    def _read(self, stream: IO[bytes]) -> None:
        # os.read, because a buffered reader waits until a chunk is full.
        while chunk := os.read(stream.fileno(), _CHUNK):
            room = _KEPT - len(self._kept)
            self.dropped = self.dropped or len(chunk) > room
            self._kept += chunk[:room]
        stream.close()


def _wait(process: subprocess.Popen[bytes], streams: Sequence[_Stream], timeout: float) -> None:
    """Wait for the end of the streams, and then of the program.

    Raises: subprocess.TimeoutExpired.
    """
    end = environ.seconds() + timeout
    if not all(stream.join(end - environ.seconds()) for stream in streams):
        raise subprocess.TimeoutExpired(process.args, timeout)
    process.wait(max(end - environ.seconds(), 0))


def _start(
    words: tuple[str, ...], cwd: Path | None, env: Mapping[str, str], given: IO[bytes], out: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    with _live_lock:
        if _stopping.is_set():
            raise KeyboardInterrupt
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=env,
                stdin=given,
                stdout=out,
                stderr=subprocess.PIPE if out == subprocess.PIPE else subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(
                f"cannot run {words[0]}: {error.strerror or error}",
                fix="check that the program exists, is executable, and is built for this machine",
            ) from None
        _live.add(process)
    return process


def hand_over(command: Sequence[str | Path]) -> int:
    """Run a program of the user's as a shell would: with the whole environment and this terminal; return its exit code.

    Raises: ProcessError if it cannot be started.
    """
    words = [str(word) for word in command]
    try:
        code = subprocess.call(words)
    except OSError as error:
        raise ProcessError(
            f"cannot run {words[0]}: {error.strerror or error}", fix="check that the program exists and is executable"
        ) from None
    # A shell's way to say that a signal ended it (POSIX.1-2024, Shell Command Language, 2.8.2).
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def workers(count: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Give threads for running programs. What goes wrong cancels what has not begun; Ctrl-C ends the programs, too."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # it loads logging, and few commands need it

    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                stop_all()
            raise


def end_with_parent() -> None:
    """End this process, as Ctrl-C would, when the one that started it is gone: kill -9 cannot be passed on."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            _never.wait(_PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def stop_all() -> None:
    """Stop every running child and refuse to start more: the end of an interrupted run.

    The streams are left to the threads that read from them: they see the end of them.
    """
    with _live_lock:
        _stopping.set()
        processes = list(_live)
    for process in processes:
        _stop_group(process)


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for number, patience in _STOP_SIGNALS:
        _signal_group(process, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    # What a child has started may outlive it (a wrapper's compiler): nothing of the group stays.
    _signal_group(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        elif process.poll() is None:
            process.send_signal(number)
