"""The door to other programs: real ones, so that signals, time-outs and orphans are real."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from stencilkit.errors import ProcessError
from stencilkit.support import process

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop programs sooner."""
    monkeypatch.setattr(process, "_STOP_SIGNALS", ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.3)))


def shell(script: str, **options: object) -> process.Completed:
    return process.run(["/bin/sh", "-c", script], **options)  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie nobody has reaped yet (its parent is gone, init will) is not alive.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.is_file() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def wait_until(condition: object, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_output_and_code_come_back() -> None:
    done = shell("echo out; echo err >&2; exit 3")
    assert (done.out, done.err, done.returncode) == ("out\n", "err\n", 3)
    assert done.ending == "ended with 3"


def test_output_that_is_no_utf8_is_shown_all_the_same() -> None:
    assert shell("printf 'a\\377b'").out == "a\ufffdb"


def test_a_program_that_writes_without_end_is_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler's 300 MB of diagnostics were kept in memory, several times over."""
    monkeypatch.setattr(process, "_KEPT", 100_000)
    done = shell("head -c 30000000 /dev/zero >&2; echo out")
    assert (done.returncode, done.out, len(done.stderr)) == (0, "out\n", 100_000)
    with pytest.raises(ProcessError, match="to its standard output"):
        shell("head -c 100001 /dev/zero")
    assert len(shell("head -c 100000 /dev/zero").stdout) == 100_000


def test_the_environment_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CPATH", "C_INCLUDE_PATH", "CCC_OVERRIDE_OPTIONS", "SOURCE_DATE_EPOCH", "LANG", "LC_CTYPE"):
        monkeypatch.setenv(name, "trap")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    out = shell("env", env={"EXTRA": "1"}).out
    assert "trap" not in out
    assert {"LC_ALL=C", "TZ=UTC", "PYTHONHASHSEED=0", "EXTRA=1"} <= set(out.splitlines())


def test_nothing_is_read_from_our_input() -> None:
    assert shell("cat").out == ""


@pytest.mark.parametrize("program", ["/no/such/program", "/etc/passwd", "/"])
def test_a_program_that_cannot_be_run(program: str) -> None:
    with pytest.raises(ProcessError, match=f"cannot run {program}"):
        process.run([program])


def test_a_program_for_another_machine(tmp_path: Path) -> None:
    program = tmp_path / "clang"
    program.write_bytes(b"\x7fELF" + bytes(60))
    program.chmod(0o755)
    with pytest.raises(ProcessError, match="cannot run"):
        process.run([program])


def test_being_killed_is_told() -> None:
    done = shell("kill -9 $$")
    assert done.ending == "was killed by SIGKILL (is there enough memory? fewer --jobs need less)"
    assert shell("kill -SEGV $$").ending == "was killed by SIGSEGV"


def test_a_timeout_leaves_no_orphans(tmp_path: Path) -> None:
    """The child, which ignores what can be ignored, and what it started itself, are gone."""
    script = f"trap '' INT TERM; sleep 60 & echo $! > {tmp_path}/pid; echo $$ >> {tmp_path}/pid; wait; sleep 60"
    with pytest.raises(ProcessError, match=r"did not end within 2 seconds"):
        shell(script, timeout=2.0)
    pids = [int(line) for line in (tmp_path / "pid").read_text().split()]
    assert len(pids) == 2
    assert wait_until(lambda: not any(map(is_alive, pids)))


def test_a_grandchild_that_holds_the_pipe_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="did not end"):
        shell(f"sleep 60 & echo $! > {tmp_path}/pid", timeout=2.0)
    assert wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_stopping_reaches_children_in_other_threads(tmp_path: Path) -> None:
    ended: list[object] = []

    def work() -> None:
        done = shell(f"echo $$ > {tmp_path}/pid; exec sleep 60")
        ended.append(done.returncode)
        try:
            shell("true")
        except KeyboardInterrupt:
            ended.append("refused")

    thread = threading.Thread(target=work)
    thread.start()
    assert wait_until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text().strip())
    process.stop_all()
    thread.join(10)
    assert ended == [-signal.SIGINT, "refused"]


def test_workers_that_are_interrupted_end_their_programs(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with pytest.raises(KeyboardInterrupt), process.workers(1) as pool:
        first = pool.submit(shell, f"echo > {begun}; exec sleep 60")
        second = pool.submit(shell, "true")
        assert wait_until(begun.is_file)
        raise KeyboardInterrupt
    assert first.result().returncode == -signal.SIGINT
    assert second.cancelled()


def test_output_can_go_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given\n")
    assert shell("cat", stdin_from=tmp_path / "given").out == "given\n"
    assert shell("cat").out == "", "and nothing otherwise"
    done = shell("echo out; echo err >&2", stdout_to=tmp_path / "log")
    assert (done.out, done.err) == ("", "")
    assert sorted((tmp_path / "log").read_text().split()) == ["err", "out"]


def test_a_large_output_does_not_block() -> None:
    done = shell("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 3_000_000)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("true", 0), ("kill -TERM $$", 128 + 15)])
def test_a_program_that_everything_is_handed_over_to_ends_as_in_a_shell(script: str, code: int) -> None:
    assert process.hand_over(["/bin/sh", "-c", script]) == code


def test_a_program_that_is_not_there_cannot_be_handed_over_to(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"cannot run .*gone: No such file") as caught:
        process.hand_over([tmp_path / "gone"])
    assert caught.value.fix


def test_without_a_home_programs_run_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs a cache reports that itself."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("STENCILKIT_CACHE", "/somewhere")
    assert process.environment()["ZIG_GLOBAL_CACHE_DIR"] == "/somewhere/zig"
    for name in ("STENCILKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert "ZIG_GLOBAL_CACHE_DIR" not in process.environment()


def test_a_program_that_is_waited_for_ends_with_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(child: subprocess.Popen[bytes], *_: object) -> None:
        started.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.run(["sleep", "1000"])
    (child,) = started
    assert child.poll() is not None, "it is gone"
    assert process._live == set()
