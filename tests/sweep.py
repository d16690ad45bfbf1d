"""Every option of a clang, alone: what becomes of it in stencilkit, and whether CPython's own generator agrees.

What makes it affordable: clang's driver is asked about every option, and only those that tell cc1 something new go on.
With those that say more than stencilkit calls harmless, all is compiled with upstream's command lines. What the
compiler makes is all that either generator goes on with, so of options with which it makes the same, one is compared;
and those with which it makes the same as without are compared many at a time.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stencilkit import cc1, compiler, configure, headers, source, targets, toolchain
from stencilkit.errors import CompileError, FlagError, StencilkitError
from stencilkit.model.build import Plan
from stencilkit.model.cc1 import Argument
from stencilkit.model.request import BuildRequest
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import asking, building, knowing
from stencilkit.support import files, process
from stencilkit.support.cache import NoStore, Store
from tests import workbench as wb

GROUPS: Final = ("-f", "-m", "-O", "-g")
# Joined to -O, which names no values of its own.
LEVELS: Final = ("-O0", "-O1", "-O2", "-O3", "-O4", "-Os", "-Oz", "-Og", "-Ofast")
# One uop that shows much: it compares floats, calls functions, branches and leaves.
UOP: Final = "_COMPARE_OP_FLOAT"
# Options without effect are compared so many at a time.
TOGETHER: Final = 16
FAILS: Final = "neither generator compiles anything with it"

Changed = tuple[str, ...]
"""What an option adds to cc1's arguments (+) and takes from them (-), for each kind of unit."""


def answers(clang: Path, start: str) -> list[str]:
    """Ask clang what a word can become."""
    done = subprocess.run([clang, f"--autocomplete={start}"], capture_output=True, text=True, check=True)
    return [line.partition("\t")[0].strip() for line in done.stdout.splitlines()]


def options(clang: Path) -> list[str]:
    """List clang's options of all groups, with each value that it names, or 1 where it names none."""
    names = [name for group in GROUPS for name in answers(clang, group) if name.startswith(group)]
    with ThreadPoolExecutor(2) as pool:
        values = list(pool.map(lambda name: answers(clang, name) if name.endswith("=") else [""], names))
    found = dict.fromkeys(LEVELS)
    for name, known in zip(names, values, strict=True):
        good = [value for value in known if value and not value.startswith("-") and "<" not in value]
        found |= dict.fromkeys(name + value for value in (good or ["1" if name.endswith("=") else ""]))
    return list(found)


def chosen(flags: Sequence[str], part: float) -> list[str]:
    """Take a part of some options, the same in every run."""
    return [flag for flag in flags if int(hashlib.sha256(flag.encode()).hexdigest()[:4], 16) < part * 0x10000]


@dataclass
class Bench:
    """One CPython with one uop, one LLVM, one target; both generators."""

    version: str
    major: int
    triple: str
    work: Path

    def __post_init__(self) -> None:
        self.tree = one(self.version, self.work / "tree")
        self.tools = wb.llvm(self.major)
        self.config = wb.pyconfig(self.version, self.triple)
        self.asked = targets.resolve(targets.load(), self.triple)
        identified = toolchain.identify(self.tools / "clang", "named", NoStore())
        assert isinstance(identified, Toolchain)
        self.toolchain = identified
        wheel = toolchain.identify(wb.pypi_llvm(19), "pypi", NoStore())
        assert isinstance(wheel, Toolchain)
        self.headers = headers.choose(self.asked.target, identified, [wheel])
        self.opened = knowing.tree(self.tree)
        self.questions = self.work / "questions"
        self.questions.mkdir()
        # Its keys have the flags in them; what saves time are the digests of the toolchain.
        self.store = Store(self.work / "store")

    def plan(self, flag: str) -> Plan:
        return building.plan_of(self.request(flag))

    def request(self, flag: str) -> BuildRequest:
        return BuildRequest(
            tree=self.opened,
            asked=self.asked,
            flavour="release",
            toolchain=self.toolchain,
            headers=self.headers,
            pyconfig=configure.given(self.config, self.asked, "release"),
            cflags=flag,
            jobs=1,
        )

    def ours(self, flag: str) -> dict[str, bytes]:
        return dict(building.build(self.request(flag), self.store).files)

    def theirs(self, flag: str) -> dict[str, bytes]:
        """Run CPython's generator.

        Raises: CompileError where it fails.
        """
        folder = self.work / f"theirs-{hashlib.sha256(flag.encode()).hexdigest()[:12]}"
        try:
            wb.run_upstream(
                self.version,
                self.major,
                self.triple,
                "release",
                self.config,
                folder,
                self.tree,
                cflags=flag,
                tools=self.tools,
            )
            return {path.name: path.read_bytes() for path in folder.glob("jit_*")}
        finally:
            shutil.rmtree(folder)

    def outcome(self, flag: str) -> Changed | str:
        """Ask what an option changes; return why it is refused where it is."""
        try:
            # One folder for all: answers have its name in them.
            with process.workers() as pool:
                return asking.find(asking.begin(self.plan(flag), self.questions, pool), allow=False).changed
        except FlagError as error:
            return error.what

    def made(self, flag: str) -> bytes:
        """Digest what the compiler makes of every unit with upstream's command lines."""
        plan = self.plan(flag)
        with files.scratch("sweep") as work:
            session = compiler.ask(plan, work, batched=False)
            made = session.emit(plan.units)
            failures = made.account.failures
            if plan.emits == "llvm-ir":
                edit = self.opened.python.dialect.edit_ir
                made = session.finish_ir({name: edit(text.decode()) for name, text in made.data.items()})
                failures = {**failures, **made.account.failures}
        outputs = [data for _, data in sorted(made.data.items())]
        # A failure is like no other.
        return hashlib.sha256(b"".join([*outputs, *(f"{flag} {name}".encode() for name in failures)])).digest()

    def compare(self, flag: str, plain: dict[str, bytes] | None = None) -> str:
        """Build with both generators; say "" if all files are the same, or else what is wrong.

        Where there is a `plain` build without options, this one must be the same, or compiled by both.
        """
        try:
            ours: dict[str, bytes] | None = self.ours(flag)
            said = ""
        except StencilkitError as error:
            ours, said = None, error.as_text()
        try:
            theirs = self.theirs(flag)
        except CompileError as error:
            if ours is None:
                return "" if plain is None else FAILS
            return f"upstream fails, we do not: {error.details[-300:]}"
        if ours is None:
            return f"upstream does, we do not: {said[:600]}"
        wrong = [name for name, data in theirs.items() if strip(ours[name]) != strip(data)]
        if wrong:
            return f"{', '.join(sorted(wrong))} differ"
        return "" if plain in (None, stripped(theirs)) else "it has an effect all the same"


@dataclass
class Sweep:
    """What becomes of many options: how many there are of each kind, and which are wrong."""

    bench: Bench
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    reasons: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)

    def run(self, flags: Sequence[str], workers: int = 2) -> None:
        with ThreadPoolExecutor(workers) as pool, asking_once():
            outcomes = dict(zip(flags, pool.map(self.bench.outcome, flags), strict=True))
            groups = self._groups(outcomes)
            first = [found[0] for found in groups.values()]
            harmless = [flag for flag in first if self._is_harmless(outcomes[flag])]
            recorded = [flag for flag in first if flag not in set(harmless)]
            outputs = dict(zip(recorded, pool.map(self.bench.made, recorded), strict=True))
            plain = self.bench.made("")
            without_effect = [flag for flag in recorded if outputs[flag] == plain]
            # Of those with the same output, one is compared.
            one_of_each = list({output: flag for flag, output in outputs.items() if output != plain}.values())
            self.wrong = [*self._together([*harmless, *without_effect], pool), *self._alone(one_of_each, pool)]
        for found in groups.values():
            self.counts["harmless" if found[0] not in outputs else "recorded"] += len(found)
            self.counts["recorded, of effect here"] += len(found) * (outputs.get(found[0], plain) != plain)

    def _groups(self, outcomes: dict[str, Changed | str]) -> dict[Changed, list[str]]:
        groups: dict[Changed, list[str]] = {}
        for flag, outcome in outcomes.items():
            self.counts["options"] += 1
            if isinstance(outcome, str):
                by_clang = outcome.startswith("clang does not")
                self.counts["refused by clang" if by_clang else "refused"] += 1
                self.reasons[outcome.partition(": ")[2]] += not by_clang
            elif outcome:
                groups.setdefault(outcome, []).append(flag)
            else:
                self.counts["nothing reaches cc1"] += 1
        return groups

    def _is_harmless(self, changed: Changed | str) -> bool:
        """Return whether the rules call all the arguments of an option harmless."""
        rules = cc1.rules_for(f"{self.bench.asked.target.format} {self.bench.plan('').emits}")
        return not cc1.unasked(rules, (), [Argument(*one[1:].split(" ", 1)) for one in changed])

    def _together(self, flags: Sequence[str], pool: ThreadPoolExecutor) -> list[str]:
        """Compare options without effect: several at a time, also with a build that has none of them."""
        batches = [flags[start : start + TOGETHER] for start in range(0, len(flags), TOGETHER)]
        plain = stripped(self.bench.theirs(""))

        def compare(batch: Sequence[str]) -> list[str]:
            said = self.bench.compare(" ".join(batch), plain)
            if not said:
                return []
            # One option of many that compiles nothing must not hide what the others do.
            alone = {flag: self.bench.compare(flag, plain) for flag in batch}
            self.counts["compiled by neither"] += sum(found == FAILS for found in alone.values())
            wrong = [f"{flag}: {found}" for flag, found in alone.items() if found not in ("", FAILS)]
            return wrong if any(alone.values()) else [f"{' '.join(batch)}: {said}"]

        self.counts["compared"] += len(batches)
        return [one for found in pool.map(compare, batches) for one in found]

    def _alone(self, flags: Sequence[str], pool: ThreadPoolExecutor) -> list[str]:
        self.counts["compared"] += len(flags)
        return [
            f"{flag}: {said}" for flag, said in zip(flags, pool.map(self.bench.compare, flags), strict=True) if said
        ]


def stripped(made: dict[str, bytes]) -> dict[str, bytes]:
    """Drop the comments of all headers."""
    return {name: strip(data) for name, data in made.items()}


def strip(data: bytes) -> bytes:
    """Drop the comments of a header."""
    if data[:2] != b"//":
        return data
    return b"\n".join(line for line in data.split(b"\n") if not line.lstrip().startswith(b"//"))


@contextlib.contextmanager
def asking_once() -> Iterator[None]:
    """Ask a clang each question once: of a stock one, it matters not whether configuration files count."""
    ask, known = cc1.ask, dict[tuple[str, ...], cc1.Answer | FlagError]()

    def remembered(command: Sequence[str], work: Path) -> cc1.Answer:
        key = tuple(word for word in command if word != "--no-default-config")
        if key not in known:
            try:
                known[key] = ask(command, work)
            except FlagError as error:
                known[key] = error
        answer = known[key]
        if isinstance(answer, FlagError):
            raise answer
        return answer

    cc1.ask = remembered
    try:
        yield
    finally:
        cc1.ask = ask


def one(version: str, to: Path) -> Path:
    """Copy a tree with one uop."""
    wb.small_tree(version, to, uops=10000)
    cases = to / source.CASES
    head, *found = re.split(r"(?m)(?=^        case \w+: \{$)", cases.read_text("utf-8"))
    case = next(case for case in found if re.search(rf"case {UOP}(?:_r\d+)?: \{{", case))
    cases.write_text("".join([head, case.rstrip() + "\n\n", "#undef TIER_TWO\n"]), "utf-8")
    return to
