"""From a program, a package, a folder or a process to what its stencils are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stencilkit import identify, ledger, packages, programs, signatures
from stencilkit.errors import ProgramError, UsageError
from stencilkit.identify import policy
from stencilkit.model.program import Program
from stencilkit.model.signature import Candidate, Identification, Made
from stencilkit.model.verdict import Check
from stencilkit.pipeline import knowing
from stencilkit.pipeline.evidence import Evidence
from stencilkit.pipeline.opening import Opened
from stencilkit.support import words

# The values of --enable-experimental-jit, as the flags that CPython's configure.ac makes of them; sysconfig has those.
_SETTINGS: Final = {
    "1": "on",
    "3": "off unless PYTHON_JIT=1",
    "4": "interpreter only",
    "6": "interpreter only, off unless PYTHON_JIT=1",
}
_TIER2: Final = re.compile(rb"-D_Py_TIER2=(\d)")
_SHOWN: Final = 8
_EXPECTED: Final = "next: name the python or libpython that make built, a package with it, or the folder that it is in"
_MAPPED: Final = re.compile(r"^\S+ \S+ \S+ \S+ \S+ +(/.*)$", re.MULTILINE)
_LIBRARY: Final = re.compile(r"(?:lib)?python3[^/]*$")


class Known:
    """What programs are compared with: the signatures of a ledger, or of what the user named, or both."""

    def __init__(self, candidates: Iterable[Candidate], shelf: signatures.Shelf | None = None) -> None:
        self._candidates = tuple(candidates)
        self._shelf = shelf
        self._prepared: dict[tuple[str, str], tuple[tuple[Candidate, ...], identify.Index]] = {}

    def for_program(self, program: Program) -> tuple[tuple[Candidate, ...], identify.Index]:
        """Take those for a program's format and architecture, with their index, which is made once.

        Raises: LedgerError where signatures cannot be read.
        """
        kind = (program.format, program.arch)
        if kind not in self._prepared:
            triples = {target.triple for target in knowing.known_targets() if (target.format, target.arch) == kind}
            fitting = tuple(candidate for candidate in self._candidates if candidate.made.triple in triples)
            fitting += tuple(self._shelf.read(triples)) if self._shelf else ()
            self._prepared[kind] = (fitting, identify.index(fitting))
        return self._prepared[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one path: its Pythons, how many files were looked at, and what could not be read."""

    path: Path
    found: tuple[Identification, ...]
    members: int
    problems: tuple[str, ...] = field(default=())


def known(folder: Path | None, against: Sequence[Opened]) -> Known:
    """Open signatures: those of verified headers and of a ledger that are named, else those that come with stencilkit.

    Raises: LedgerError where there are none.
    """
    candidates = [candidate(opened) for opened in against]
    if folder is not None:
        return Known(candidates, signatures.of_ledger(folder))
    return Known(candidates, None if against else signatures.packaged())


def candidate(opened: Opened) -> Candidate:
    """Sign the stencils of a header that was opened."""
    described = opened.manifest
    made = Made(
        cpython=described.cpython if described else opened.header.format.series,
        triple=opened.target.triple,
        flavour=described.kind if described else "release",
        llvm=described.toolchain.version if described else "",
    )
    return signatures.of(made, opened.header.stencils, opened.label)


def refusals(found: Identification, demanded: policy.Policy, folder: Path | None) -> tuple[str, ...]:
    """Ask what a policy demands of a Python; `folder` is the ledger.

    Raises: LedgerError; UsageError where the policy demands an entry, and no ledger was named.
    """
    if demanded.ledger and folder is None:
        raise UsageError("the policy demands an entry of a ledger, and none is named", fix="name one with --ledger")
    # Where several builds may be meant, the stencils of each must be there.
    in_ledger = folder is not None and all(
        any(_has_entry(folder, other.candidate.made) for other in found.best if other.is_like(one))
        for one in found.best
    )
    return tuple(policy.refusals(demanded, found, in_ledger=in_ledger))


def _has_entry(folder: Path, made: Made) -> bool:
    return ledger.has(folder, made.cpython, made.triple, made.flavour, made.llvm)


def run(path: Path, against: Known) -> Answer:
    """Identify what a path names: a program, a package, or a folder of either.

    Raises: ProgramError where a program or package that was named cannot be read; UsageError for no such file.
    """
    if path.is_dir():
        return _gathered(path, packages.open_folder(path), against)
    if not path.is_file():
        raise UsageError(f"{path} is not a file or a folder", fix="name a program, a package or a folder")
    if path.stat().st_size > programs.LARGEST:
        raise ProgramError(
            f"it is larger than {programs.LARGEST >> 20} MiB", where=str(path), fix="name a smaller file"
        )
    content = path.read_bytes()
    if programs.is_program(content):
        setting = _setting(_beside(path))
        found = tuple(_identify(program, against, setting) for program in programs.read(content, str(path)))
        return Answer(path=path, found=found, members=1)
    if packages.is_package(content):
        return _gathered(path, packages.open_package(content, str(path)), against)
    raise ProgramError(
        "it is neither a program nor a package that can be read",
        where=str(path),
        fix="name an ELF, PE or Mach-O program or library, a package, or a folder",
    )


def running(number: int) -> tuple[Path, ...]:
    """List the files of a running process that may hold CPython's runtime: its program, and libpython.

    Raises: UsageError.
    """
    folder = Path("/proc", str(number))
    try:
        program = (folder / "exe").resolve(strict=True)
        mapped = _MAPPED.findall((folder / "maps").read_text("utf-8", "replace"))
    except OSError as error:
        raise UsageError(
            f"the files of process {number} cannot be seen: {error.strerror or error}",
            fix="give the number of a running process of your own, on Linux; or name its program",
        ) from None
    libraries = sorted({Path(name) for name in mapped if _LIBRARY.search(name)} - {program})
    return (program, *(path for path in libraries if path.is_file()))


def _gathered(path: Path, contents: packages.Contents, against: Known) -> Answer:
    setting = _setting(member.content for member in contents.configurations)
    found: list[Identification] = []
    problems: list[str] = []
    for member in contents.runtimes:
        if not programs.is_program(member.content):
            continue
        try:
            found += [_identify(program, against, setting) for program in programs.read(member.content, member.label)]
        except ProgramError as error:
            problems.append(error.as_text())
    return Answer(path=path, found=tuple(found), members=contents.members, problems=tuple(problems))


def is_it_in_the_binary(known: Evidence, path: Path) -> Iterator[Check]:
    """Ask whether a program that was built on these stencils contains them.

    Raises: ProgramError where the program cannot be read.
    """
    described = known.described.manifest
    made = Made(
        cpython=described.cpython,
        triple=described.triple,
        flavour=described.kind,
        llvm=described.toolchain.version,
    )
    answer = run(path, Known([signatures.of(made, known.header.stencils, "it")]))
    if not answer.found:
        what = f"no CPython was found among {words.counted(answer.members, 'file')} in {path}, so nothing was compared"
        yield Check(kind="binary", status="failed", what=what, details=(_EXPECTED,))
    for item in answer.found:
        coverage = item.best[0] if item.best else None
        if coverage is not None and coverage.whole:
            what = f"{item.program.label} contains all {coverage.stencils} stencils that can be found in a program"
            yield Check(kind="binary", status="passed", what=what, details=item.notes)
        else:
            missing = coverage.missing if coverage else ()
            what = f"{item.program.label} does not contain these stencils ({item.verdict})"
            details = tuple(f"{one.name} ({one.size} bytes) is not in it" for one in missing[:_SHOWN])
            yield Check(kind="binary", status="failed", what=what, details=details)


def _identify(program: Program, against: Known, setting: str) -> Identification:
    candidates, index = against.for_program(program)
    return identify.judge(program, candidates, identify.find(program, index), setting)


def _setting(configurations: Iterator[bytes]) -> str:
    """Return how the JIT was configured, "" where nothing says it, or different things are said."""
    found = {_SETTINGS.get(match.decode(), "") for text in configurations for match in _TIER2.findall(text)}
    return found.pop() if len(found) == 1 else ""


def _beside(program: Path) -> Iterator[bytes]:
    """Read the configuration that is installed with a program: in lib/python3.NN of the same prefix."""
    prefix = program.resolve().parent.parent
    for path in sorted(prefix.glob("lib*/python3.*/_sysconfigdata_*.py")):
        if path.parent.name.removeprefix("python") in program.resolve().name and path.stat().st_size < packages.SMALL:
            yield path.read_bytes()


def sign(opened: Sequence[Opened], folder: Path) -> tuple[Path, ...]:
    """Add the stencils of verified output folders to a ledger's signatures; return the files that were written.

    Raises: UsageError where a header has no manifest, which says what it was made from; LedgerError; OutputError.
    """
    for item in opened:
        if item.manifest is None:
            raise UsageError(f"{item.label} has no manifest", fix="give output folders of stencilkit build")
    return signatures.write(folder, [candidate(item) for item in opened])
