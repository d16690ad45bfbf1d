"""`stencilkit gate`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import click

from stencilkit import configure, toolchain
from stencilkit import ledger as stage
from stencilkit.cli import _options, _progress, _render
from stencilkit.errors import ExitCode, UsageError
from stencilkit.model.gate import Configuration, Examined, Settlement, Variation
from stencilkit.model.target import Flavour
from stencilkit.pipeline import gate, requesting
from stencilkit.support import environ, files
from stencilkit.support.progress import Progress

_HEAD = ["CPython", "target", "flavour", "LLVM", "vendor", "content", "verdict", "seconds"]


@click.command()
@_options.shared("--cpython", "sources", multiple=True, required=True, help="CPython's source. Repeatable.")
@_options.shared(
    "--llvm",
    "wanted",
    metavar="VERSIONS",
    multiple=True,
    help="As for build. Repeatable: two vendors of one version must agree. [default: upstream's]",
)
@_options.shared("--target", "triples", multiple=True, help="Triple to build for. Repeatable. [default: this machine]")
@_options.shared("--debug")
@_options.shared("--hardened")
@_options.shared("--pyconfig-dir")
@_options.shared("--ledger", type=_options.FOLDER, required=True)
@click.option(
    "--variations", type=_options.ANY_PATH, required=True, help="File that says what to vary: a variations.toml."
)
@click.option("--report", type=_options.ANY_PATH, help="Also write the report to this file, as markdown.")
@_options.shared("--update", help="Write what was built to the ledger, for review.")
@_options.format_option("text", "json", "markdown")
def command(
    sources: tuple[str, ...],
    wanted: tuple[str, ...],
    triples: tuple[str, ...],
    debug: bool,
    hardened: bool,
    pyconfig_dir: Path | None,
    ledger: Path,
    variations: Path,
    report: Path | None,
    update: bool,
    form: str,
) -> int:
    """Build stencils repeatedly under varied conditions, and compare them with a ledger.

    Every configuration is built once as it is, and once with all variations together; if the results differ, once with
    each variation alone, to find the cause. LLVMs outside a CPython's range are skipped. With --update, results that
    are the same under all variations and from all vendors are written to the ledger, those of a CPython and target as
    soon as all of their LLVMs are done.

    Exits with 0 if every build is the same and matches the ledger, 1 if not, 2 if something could not be built.
    """
    progress = _progress.choose(form)
    varied = gate.load(variations)
    flavour: Flavour = "debug" if debug else "release"
    first = update and not any(ledger.glob("*/*.toml"))
    if not first:
        # Told now, not after the builds.
        stage.entries(ledger)
    outcomes, settled = list[Examined](), Settlement()
    every = _configurations(sources, wanted, triples, flavour, pyconfig_dir, progress, hardened=hardened)
    for group in gate.groups(every):
        found = [_examine(item, varied, None if first else ledger, progress) for item in group]
        outcomes += found
        if update:
            # The other groups may take hours, and be interrupted.
            settled += gate.settle(found, ledger)
    disagreements = gate.disagreements(outcomes)
    rows = [_row(item, settled.written) for item in outcomes]
    remarks = [*_remarks(outcomes, settled.written), *disagreements, *_settled(settled), *_varied(outcomes, varied)]
    remarks += gate.unproved(outcomes, ledger)
    markdown = "\n".join(_report(rows, remarks)) + "\n"
    if report is not None:
        files.write(report, markdown.encode())
    if form == "json":
        answer = {
            "disagreements": list(disagreements),
            "written": [str(place) for place in settled.written],
            "left": [str(place) for place in settled.left],
            "outcomes": [_as_json(item) for item in outcomes],
        }
        _render.print_json("gate", answer)
    elif form == "markdown":
        _render.say(markdown, nl=False)
    else:
        _render.print_table(_HEAD, rows, shared=("target", "flavour"))
        for line in remarks:
            _render.say_wrapped(line)
    stable = not disagreements and not any(item.unstable for item in outcomes)
    return ExitCode.OK if stable and (update or all(item.passed for item in outcomes)) else ExitCode.DIFFERENT


def _examine(item: Configuration, variations: Sequence[Variation], ledger: Path | None, progress: Progress) -> Examined:
    with progress.during(f"CPython {item.tree.version}, {item.asked.target.triple}, {item.toolchain.label}"):
        return gate.examine(item, variations, ledger)


def _configurations(
    sources: Sequence[str],
    wanted: Sequence[str],
    triples: Sequence[str],
    flavour: Flavour,
    folder: Path | None,
    progress: Progress,
    *,
    hardened: bool,
) -> Iterator[Configuration]:
    """List what is to be built: every source for every target with every LLVM that its CPython can have.

    Raises: UsageError where that is nothing.
    """
    machine = requesting.machine(_options.store())
    found = 0
    for source in sources:
        tree = _options.open_tree(source, progress)
        support = tree.python.support
        named = wanted or (str(support.pinned),)
        tools = [tool for words in named for tool in toolchain.select(toolchain.parse_wanted(words), machine)]
        for asked in requesting.several(triples or ("",), tree):
            config = (
                folder
                or configure.configured(tree, asked, flavour, machine, environ.cache_root(), progress=progress).folder
            )
            for tool in tools:
                if tool.version.major in support.llvm:
                    found += 1
                    yield Configuration(
                        tree=tree, asked=asked, flavour=flavour, toolchain=tool, pyconfig=config, hardened=hardened
                    )
    if not found:
        raise UsageError("none of these LLVMs builds any of these CPythons", fix="stencilkit targets lists which do")


def _row(item: Examined, written: Collection[PurePosixPath]) -> list[str]:
    entry = item.entry
    words = [entry.cpython, entry.triple, entry.flavour, entry.llvm, _vendor(item.vendor), entry.content[:16]]
    return [*words, _render.Word(_word(item, written)), f"{item.seconds:.0f}"]


def _vendor(version: str) -> str:
    """Shorten the first line of `clang --version` to the vendor: "Debian", "ziglang/zig-bootstrap"."""
    origin = re.search(r"://[^/ ]+/([\w./-]+)", version)
    return origin[1] if origin else version.partition("clang version")[0].strip() or version


def _word(item: Examined, written: Collection[PurePosixPath]) -> str:
    if item.unstable:
        return "VARIES"
    if not item.unexpected:
        return "as expected"
    return "written" if item.entry.place in written else "UNEXPECTED"


def _remarks(outcomes: Sequence[Examined], written: Collection[PurePosixPath]) -> Iterator[str]:
    for item in outcomes:
        entry = item.entry
        label = f"{entry.cpython}, {entry.triple}, {entry.flavour}, LLVM {entry.llvm}"
        yield from (f"{label}: varies with {text}" for text in item.unstable)
        if entry.place not in written:
            yield from (f"{label}: {text}" for text in item.unexpected)


def _settled(found: Settlement) -> Iterator[str]:
    yield from (f"written: {place}" for place in found.written)
    yield from (f"left alone: {place}" for place in found.left)


def _varied(outcomes: Sequence[Examined], variations: Sequence[Variation]) -> Iterator[str]:
    always = [item.name for item in variations if all(item.name in outcome.varied for outcome in outcomes)]
    yield f"varied, all at once: {', '.join(always) or 'nothing'}"
    yield from (f"not varied: {text}" for text in dict.fromkeys(text for item in outcomes for text in item.not_varied))


def _report(rows: Sequence[Sequence[str]], remarks: Sequence[str]) -> Iterator[str]:
    yield from ("# Reproducibility", "")
    yield from (_render.markdown_table(_HEAD, rows), "", *(f"* {line}" for line in remarks))


def _as_json(item: Examined) -> dict[str, Any]:
    entry = item.entry
    return {
        "cpython": entry.cpython,
        "target": entry.triple,
        "flavour": entry.flavour,
        "llvm": entry.llvm,
        "vendor": item.vendor,
        "content": entry.content,
        "passed": item.passed,
        "unstable": list(item.unstable),
        "unexpected": list(item.unexpected),
        "varied": list(item.varied),
        "not_varied": list(item.not_varied),
        "seconds": round(item.seconds, 1),
    }
