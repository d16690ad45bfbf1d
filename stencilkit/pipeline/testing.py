"""From stencils to a report: build that CPython on them with every LLVM hidden, prove the JIT, run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stencilkit.errors import JitTestError
from stencilkit.jittest import making, running, timing
from stencilkit.model.artifact import Artifact
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour, Target
from stencilkit.model.testing import StencilsVerdict, Suite, TestReport
from stencilkit.pipeline import opening, placing, witnessing
from stencilkit.support.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRequest:
    """What to test: one CPython, target and flavour, and one set of stencils per LLVM.

    The stencils of `timed` run the benchmarks only: they are what the others are compared with. `configure` are further
    arguments of configure; `modules` replace those of the suite; `timeout` is in seconds per test module. `folder` is
    an empty or absent one for everything that is made.
    """

    __test__ = False  # not a test class for pytest

    tree: SourceTree
    target: Target
    flavour: Flavour
    artifacts: tuple[Artifact, ...]
    suite: Suite
    modules: tuple[str, ...]
    benchmarks: bool
    configure: tuple[str, ...]
    jobs: int
    timeout: float
    folder: Path
    timed: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A CPython on one set of stencils; `kept` is a copy that the next make leaves alone."""

    artifact: Artifact
    kept: running.Interpreter
    placed: tuple[str, ...]
    seconds: float
    generator_ran: bool


def run(request: TestRequest, progress: Progress) -> TestReport:
    """Test every set of stencils.

    CPython is configured once; each further set of stencils costs what depends on it, and a link.

    Raises: JitTestError where a CPython cannot be built or run at all.
    """
    if request.folder.exists() and any(request.folder.iterdir()):
        raise JitTestError(
            f"{request.folder} is not empty", fix="name a new folder with --work; the build and its logs go there"
        )
    place = making.open_workplace(request.folder, request.tree, request.target, request.flavour, request.jobs)
    with progress.during(f"configuring CPython {request.tree.version} for {request.target.triple}, LLVM hidden"):
        words = making.configure(place, request.configure)
    for artifact in (*request.artifacts, *request.timed):
        _check_layout(place, request, artifact)
    made: list[_Made] = []
    verdicts: list[StencilsVerdict] = []
    for artifact in (*request.artifacts, *request.timed):
        made.append(_make(place, request, artifact, progress))
        verdicts.append(_judge(place, made[-1], request, progress))
    off: Mapping[str, float] = {}
    if request.benchmarks:
        off, verdicts = _benchmark(made, verdicts, progress)
    return TestReport(
        cpython=str(request.tree.version),
        triple=request.target.triple,
        flavour=request.flavour,
        suite=request.suite,
        configure=words,
        emulator=" ".join(place.emulator),
        verdicts=tuple(verdicts),
        off=off,
        folder=str(request.folder),
    )


def _benchmark(
    made: Sequence[_Made], verdicts: Sequence[StencilsVerdict], progress: Progress
) -> tuple[Mapping[str, float], list[StencilsVerdict]]:
    """Time what works; return the times with the JIT off, and the verdicts with those with it on."""
    working = [item.kept for item, verdict in zip(made, verdicts, strict=True) if verdict.proof.holds]
    if not working:
        return {}, list(verdicts)
    off, on = timing.benchmark(working, progress)
    timings = iter(on)
    return off.seconds, [
        replace(verdict, benchmarks=best.seconds, benchmark_failure=best.failure)
        for verdict in verdicts
        for best in [next(timings) if verdict.proof.holds else timing.Timing(seconds={})]
    ]


def _check_layout(place: making.Workplace, request: TestRequest, artifact: Artifact) -> None:
    """Ask the compiler of this CPython whether its structures are those that the stencils have compiled in.

    Raises: JitTestError: it would crash, and the stencils are good for another one.
    """
    if artifact.manifest.layout is None:
        # 0.1.0 did not record it.
        return
    runtime = witnessing.runtime(request.tree, place.build, variables=place.environment())
    checks = witnessing.ask(opening.describe(artifact.manifest), runtime)
    if wrong := [check for check in checks if check.status == "failed"]:
        raise JitTestError(
            f"the stencils of LLVM {artifact.manifest.toolchain.version} are of a CPython that is configured otherwise",
            # Without --work, logs are all that is left of the folder.
            where=str(place.root / f"{place.build.name}-configure.log"),
            details="\n".join(line for check in wrong for line in (check.what, *check.details)),
            fix="have this CPython configured as theirs (--configure), or build them for this one: "
            "--work FOLDER keeps it, and FOLDER/build is for --pyconfig-dir of stencilkit build",
        )


def _make(place: making.Workplace, request: TestRequest, artifact: Artifact, progress: Progress) -> _Made:
    """Place stencils, make, and see that make took them.

    Raises: JitTestError, also where the stencils are no longer those that were placed.
    """
    llvm = artifact.manifest.toolchain.version
    # The same LLVM may have made plain and hardened stencils, whose programs are both kept.
    name = f"llvm-{llvm}-hardened" if artifact.manifest.hardened else f"llvm-{llvm}"
    making.unwrap(place)
    folder = placing.look_at(request.tree, place.build)
    placed = placing.files_for(folder, [artifact])
    placing.write(folder, placed)
    with progress.during(f"making CPython {request.tree.version} on the stencils of LLVM {llvm}"):
        seconds, generator_ran = making.make(place, folder.dialect.make_arguments(request.target))
    changed = making.other_files(place.build, placed)
    if changed:
        raise JitTestError(
            f"make did not take the stencils: {', '.join(changed)} changed",
            where=str(place.build),
            fix="report this, with the configure arguments",
        )
    if not making.is_compiled(place.build, placed):
        raise JitTestError(
            "make did not take the stencils: Python/jit.o is older than they are",
            where=str(place.build),
            fix="report this, with the configure arguments",
        )
    return _Made(
        artifact=artifact,
        kept=_interpreter(place, request, making.keep_program(place, f"python-{name}"), name),
        placed=tuple(sorted(placed)),
        seconds=seconds,
        generator_ran=generator_ran,
    )


def _interpreter(place: making.Workplace, request: TestRequest, program: Path, name: str) -> running.Interpreter:
    work = place.root / name
    work.mkdir(exist_ok=True)
    return running.Interpreter(program=program, work=work, path=place.path, timeout=request.timeout)


def _judge(place: making.Workplace, made: _Made, request: TestRequest, progress: Progress) -> StencilsVerdict:
    interpreter = replace(made.kept, program=place.build / "python")
    proof = running.prove(interpreter)
    silent = proof.ended or any(made.artifact is artifact for artifact in request.timed)
    names = () if silent else running.modules(interpreter, request.suite, request.modules)
    return StencilsVerdict(
        llvm=made.artifact.manifest.toolchain.version,
        hardened=made.artifact.manifest.hardened,
        content_digest=made.artifact.manifest.content_digest,
        placed=made.placed,
        generator_ran=made.generator_ran,
        build_seconds=made.seconds,
        proof=proof,
        modules=running.run_modules(interpreter, names, request.jobs, progress),
        benchmarks={},
    )
