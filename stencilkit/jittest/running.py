"""Run a built CPython: prove that its JIT works, and run its tests with and without the JIT."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from stencilkit.errors import JitTestError, ProcessError
from stencilkit.jittest import junit
from stencilkit.model.testing import Entered, ModuleRun, ModuleVerdict, Outcome, Proof, Suite
from stencilkit.support import environ, process
from stencilkit.support.progress import Progress, counting

Run = Literal["jit", "off", "again"]

_PROBES: Final = Path(__file__).parent / "probes"
_TAIL_LINES: Final = 25
_GRACE_SECONDS: Final = 60.0
_TIMED_OUT: Final = "Timeout ("
# Exit codes of regrtest (Lib/test/libregrtest/utils.py).
_NOTHING_RAN: Final = 4
# What only a compiled trace can break, and what must see through its frames; those that a CPython does not have are
# left out.
SUITES: Final[dict[Suite, tuple[str, ...]]] = {
    "smoke": ("test_capi.test_opt", "test_generators", "test_call"),
    "jit": (
        "test_capi.test_opt",
        "test_generators",
        "test_call",
        "test_dict",
        "test_list",
        "test_exceptions",
        "test_sys_settrace",
        "test_monitoring",
        "test_frame",
        "test_sys",
        "test_coroutines",
        "test_float",
        "test_int",
        "test_unpack",
        "test_with",
        "test_patma",
        "test_optimizer",
        "test_perf_profiler",
        "test_c_stack_unwind",
        "test_gdb",
    ),
    "full": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A CPython that can be run: `program` in a build folder, `work` for logs, `timeout` per test module in seconds."""

    program: Path
    work: Path
    path: str
    timeout: float

    def environment(self, *, jit: bool) -> dict[str, str]:
        """Give the variables that switch the JIT."""
        return {"PATH": self.path, "PYTHON_JIT": str(int(jit))}


def prove(interpreter: Interpreter) -> Proof:
    """Ask a CPython whether its JIT is there, on, compiles traces and enters them.

    Raises: JitTestError where it cannot answer with the JIT off either.
    """
    answer, ended = ask(interpreter, "prove.py", jit=True)
    if ended:
        _, without = ask(interpreter, "prove.py", jit=False)
        if without:
            raise JitTestError(
                f"CPython {without.splitlines()[0]} in a few loops, and its JIT was off",
                where=str(interpreter.program),
                details=without,
                fix="this build does not work at all; look at its logs (--work keeps them)",
            )
        return Proof(
            available=None, enabled=None, entered=None, executors=0, code_bytes=0, uops=(), wrong=(), ended=ended
        )
    return Proof(
        available=answer["available"],
        enabled=answer["enabled"],
        entered=_entry(answer),
        executors=answer["executors"],
        code_bytes=answer["code_bytes"],
        uops=tuple(answer["uops"]),
        wrong=tuple(answer["wrong"]),
    )


def ask(interpreter: Interpreter, probe: str, *, jit: bool) -> tuple[dict[str, Any], str]:
    """Run a probe; return what it answered, and how it ended if not well, with the end of what it complained."""
    try:
        done = process.run(
            [interpreter.program, "-X", "faulthandler", _PROBES / probe],
            cwd=interpreter.work,
            env=interpreter.environment(jit=jit),
            timeout=interpreter.timeout,
        )
    except ProcessError as error:
        return {}, f"did not end: {error.as_text()}"
    if done.returncode:
        tail = done.err.splitlines()[-_TAIL_LINES:]
        return {}, "\n".join([_how(done.returncode), *tail])
    try:
        answer: dict[str, Any] = json.loads(done.out)
    except ValueError:
        # A JIT that goes wrong may print anything.
        return {}, "\n".join(["printed what is not an answer", *done.out.splitlines()[-_TAIL_LINES:]])
    return answer, ""


def _entry(answer: dict[str, Any]) -> Entered | None:
    if answer["entered"] is None:
        # An executor is found through the ENTER_EXECUTOR that took a jump's place, and the loop ran twice after that.
        return "by its instruction" if answer["executors"] else None
    return "seen" if answer["entered"] else None


def _how(returncode: int) -> str:
    return f"was ended by signal {-returncode}" if returncode < 0 else f"ended with {returncode}"


def modules(interpreter: Interpreter, suite: Suite, chosen: Sequence[str]) -> tuple[str, ...]:
    """List the test modules of a suite that this CPython has, or the chosen ones.

    Raises: JitTestError where it cannot list them, with the JIT off.
    """
    if chosen:
        return tuple(chosen)
    if suite != "full":
        return tuple(name for name in SUITES[suite] if _exists(interpreter, name))
    done = process.run(
        [interpreter.program, "-m", "test", "--list-tests"],
        cwd=interpreter.work,
        env=interpreter.environment(jit=False),
        timeout=interpreter.timeout,
    )
    if done.returncode or not done.out.split():
        raise JitTestError(
            f"CPython {_how(done.returncode)}, and did not list its tests; its JIT was off",
            where=str(interpreter.program),
            details="\n".join(done.err.splitlines()[-_TAIL_LINES:]),
            fix="name modules with --module, or leave --disable-test-modules out of --configure",
        )
    return tuple(done.out.split())


def _exists(interpreter: Interpreter, name: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('test.{name}') is None)"
    done = process.run(
        [interpreter.program, "-c", code],
        cwd=interpreter.work,
        env=interpreter.environment(jit=False),
        timeout=interpreter.timeout,
    )
    return done.returncode == 0


def run_modules(
    interpreter: Interpreter, names: Sequence[str], jobs: int, progress: Progress
) -> tuple[ModuleVerdict, ...]:
    """Run test modules, several at once; what fails is run again with the JIT off."""

    def judge(name: str) -> ModuleVerdict:
        verdict = judge_module(lambda run: run_module(interpreter, name, run))
        progress.advance()
        return verdict

    with counting(progress, "test modules", len(names)), process.workers(jobs) as pool:
        return tuple(pool.map(judge, names))


def judge_module(run: Callable[[Run], ModuleRun]) -> ModuleVerdict:
    """Run a module with the JIT; if that goes wrong, without it; if that goes better, with it once more."""
    jit = run("jit")
    if jit.good:
        return ModuleVerdict(jit=jit)
    without = run("off")
    suspects = suspected(jit, without)
    if not suspects:
        return ModuleVerdict(jit=jit, without=without)
    if not jit.failures:
        return ModuleVerdict(jit=jit, without=without, blamed=suspects)
    again = run("again")
    later = suspected(again, without)
    if later and not again.failures:
        return ModuleVerdict(jit=jit, without=without, again=again, blamed=later)
    return ModuleVerdict(
        jit=jit,
        without=without,
        again=again,
        blamed=tuple(name for name in suspects if name in later),
        unsteady=tuple(sorted(set(suspects) ^ set(later))),
    )


def suspected(jit: ModuleRun, without: ModuleRun) -> tuple[str, ...]:
    """Name what fails with the JIT and not without it: test cases, or the module if it ended without a word."""
    if jit.good:
        return ()
    if not jit.failures:
        # A crash, a hang, an import that failed.
        return () if without.outcome == jit.outcome else (jit.name,)
    return tuple(name for name in jit.failures if name not in without.failures)


def run_module(interpreter: Interpreter, name: str, run: Run) -> ModuleRun:
    """Run one test module in a process and a folder of its own."""
    folder = interpreter.work / f"{name}-{run}"
    folder.mkdir(parents=True, exist_ok=True)
    log, xml, counts = folder / "module.log", folder / "junit.xml", folder / "executors.json"
    words: list[str | Path] = [
        interpreter.program,
        "-X",
        "faulthandler",
        "-u",
        _PROBES / "drive.py",
        counts,
        "--junit-xml",
        xml,
    ]
    words += ["--timeout", f"{interpreter.timeout:g}", "--tempdir", folder, name]
    started = environ.seconds()
    try:
        done = process.run(
            words,
            cwd=folder,
            env=interpreter.environment(jit=run != "off"),
            timeout=interpreter.timeout + _GRACE_SECONDS,
            stdout_to=log,
        )
        returncode: int | None = done.returncode
    except ProcessError:
        returncode = None
    text = log.read_text("utf-8", "replace")
    cases = junit.read(xml)
    outcome = _outcome(returncode, text, cases)
    counted = _counted(counts)
    return ModuleRun(
        name=name,
        outcome=outcome,
        tests=len(cases.names),
        skipped=cases.skipped,
        failures=cases.failures,
        executors=counted.get("compiled", 0),
        code_bytes=counted.get("code_bytes", 0),
        seconds=environ.seconds() - started,
        tail="" if outcome in ("passed", "skipped") else _tail(text, outcome),
        log=str(log),
    )


def _counted(path: Path) -> dict[str, int]:
    """Read what the probe counted; a process that crashed may have left nothing, or half of it."""
    try:
        counted: dict[str, int] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return counted


def _outcome(returncode: int | None, text: str, cases: junit.Cases) -> Outcome:
    if returncode is None or (_TIMED_OUT in text and returncode):
        return "hung"
    if returncode < 0:
        return "crashed"
    if returncode not in (0, _NOTHING_RAN):
        return "failed"
    return "passed" if len(cases.names) > cases.skipped else "skipped"


def _tail(text: str, outcome: Outcome) -> str:
    lines = text.splitlines()
    if outcome == "hung":
        # The stack dump starts where faulthandler says so.
        start = next((index for index, line in enumerate(lines) if _TIMED_OUT in line), -_TAIL_LINES)
        return "\n".join(lines[start:][: 2 * _TAIL_LINES])
    return "\n".join(lines[-_TAIL_LINES:])
