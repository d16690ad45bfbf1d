"""`stencilkit build`."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stencilkit import artifact, buildfolder, configure, headers, toolchain
from stencilkit.cli import _options, _progress, _render
from stencilkit.errors import ExitCode, UsageError
from stencilkit.model.buildfolder import BuildFolder
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.request import Build, BuildRequest, Written
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour, PythonSupport, SpelledTarget
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import building, requesting, universal
from stencilkit.support import environ, files
from stencilkit.support.cache import Store
from stencilkit.support.progress import Progress

if TYPE_CHECKING:
    from stencilkit.model.judgement import Judgement, Sample

# What --check-upstream without a number is.
_ALL: Final = "all"


@click.command()
@_options.shared("--cpython")
@_options.shared(
    "--llvm", metavar="VERSIONS", help="Such as 19, 19..21, 19,21, 19.1.7, or a clang's path. [default: upstream's]"
)
@_options.shared(
    "--target",
    "triples",
    multiple=True,
    help="Triple to build for, all, or universal2-apple-darwin. Repeatable. [default: as configured, or this machine]",
)
@_options.shared("--debug")
@_options.shared("--hardened")
@_options.shared("--cflags", help="Extra compiler flags (CFLAGS_JIT). [default: as configured, or none]")
@_options.shared("--pyconfig-dir")
@_options.shared("--sysroot")
@_options.shared("--out", default=Path("stencils"), show_default=True, help="Output folder.")
@_options.shared("--jobs")
@_options.shared("--no-cache")
@_options.shared("--skip-missing")
@click.option("--comments", is_flag=True, help="Add disassembly comments to the headers.")
@_options.shared("--allow-driver-flags")
@click.option(
    "--one-process-per-uop",
    "plain",
    is_flag=True,
    help="Compile one uop at a time, as upstream does. Slower; the bytes are the same.",
)
@_options.shared("--provisional")
@click.option(
    "--check-upstream",
    "checked",
    metavar="N[:SEED]",
    is_flag=False,
    flag_value=_ALL,
    help="Compare with what the tree's own Tools/jit/build.py makes with this LLVM: all uops, or N of them.",
)
@click.option("--verify-source", is_flag=True, help="Verify the sigstore bundle beside the tarball.")
@_options.shared("--trusted-root")
@click.option(
    "--signatures",
    type=_options.FOLDER,
    help="Ledger to which signatures of the stencils are added, for stencilkit identify.",
)
@_options.format_option("text", "json")
def command(
    cpython: str | None,
    llvm: str | None,
    triples: tuple[str, ...],
    debug: bool,
    hardened: bool,
    cflags: str | None,
    pyconfig_dir: Path | None,
    sysroot: Path | None,
    out: Path,
    jobs: int | None,
    no_cache: bool,
    skip_missing: bool,
    comments: bool,
    allow_driver_flags: bool,
    plain: bool,
    provisional: bool,
    checked: str | None,
    verify_source: bool,
    trusted_root: Path | None,
    signatures: Path | None,
    form: str,
) -> int:
    """Build the stencils of a CPython with one LLVM or several.

    The files of each build are in OUT/<python>/<triple>/<release|debug>/llvm-<version>/, under the names that this
    CPython's own build looks for, together with manifest.toml. With --hardened, the folder is release-hardened.
    """
    progress = _progress.choose(form)
    store = _options.store(use=not no_cache)
    # A mistake in it is reported now, not after the work.
    environ.source_date()
    sample = _sample(checked) if checked is not None else None
    tree = _options.open_tree(cpython, progress, provisional=provisional)
    if verify_source or trusted_root:
        tree = _verified(tree, cpython, trusted_root, wanted=verify_source)
    support = tree.python.support
    folder = buildfolder.read(pyconfig_dir) if pyconfig_dir and buildfolder.is_one(pyconfig_dir) else None
    wanted = toolchain.parse_wanted(_llvm(llvm, folder, support, progress))
    for major in toolchain.majors(wanted):
        building.check_llvm(support, major)
    machine = requesting.machine(store)
    tools = toolchain.select(wanted, machine, skip_missing=skip_missing)
    cflags = _cflags(cflags, folder)
    flavour: Flavour = "debug" if debug else "release"
    if "" in triples:
        raise UsageError("--target is empty", fix="leave it out for this machine, or name a triple")
    spellings = triples or (folder.host if folder else "",)
    chosen = requesting.several(spellings, tree)
    pairs = [(asked, tool) for asked in chosen for tool in tools]
    flags = {asked: requesting.hardened(cflags, asked.target) if hardened else cflags for asked in chosen}
    for asked, tool in pairs:
        building.check(tree, asked, tool, flags[asked])
    files.check_writable(out)
    requests = [
        BuildRequest(
            tree=tree,
            asked=asked,
            flavour=flavour,
            toolchain=tool,
            headers=headers.choose(asked.target, tool, machine, sysroot),
            pyconfig=_pyconfig(tree, asked, flavour, pyconfig_dir, folder, machine, progress),
            cflags=flags[asked],
            jobs=jobs or environ.cpus(),
            comments=comments,
            batched=not plain,
            allow_driver_flags=allow_driver_flags,
            hardened=hardened,
        )
        for asked, tool in pairs
    ]
    for tool in tools:
        progress.say(toolchain.choice(tool, machine))
    judge = _judge(machine, store, sample, progress) if checked else None
    written = [_write(request, out, store, judge, progress) for request in requests]
    if any(item.refused for item in written):
        _render.builds(written, [], form)
        return ExitCode.DIFFERENT
    if signatures is not None:
        from stencilkit.pipeline import admitting, identifying

        identifying.sign(admitting.each([item.folder for item in written]), signatures)
    _render.builds(written, [_bundle(group, out) for group in universal.group(written, spellings)], form)
    return ExitCode.OK


def _judge(
    machine: toolchain.Machine, store: Store, sample: Sample | None, progress: Progress
) -> Callable[[Build], Judgement]:
    """Bind what --check-upstream compares with; loading it is for those who ask."""
    from stencilkit.pipeline import judging

    return functools.partial(judging.judge, others=machine, store=store, sample=sample, progress=progress)


def _sample(given: str) -> Sample | None:
    """Understand --check-upstream: None where all uops are meant."""
    from stencilkit.model.judgement import DEFAULT_SEED, Sample

    count, _, seed = given.partition(":")
    if given == _ALL:
        return None
    if not re.fullmatch("[0-9]{1,9}", count) or not int(count):
        raise UsageError(
            f"--check-upstream={given} is not a number of uops", fix="write --check-upstream, =25, or =25:SEED"
        )
    return Sample(count=int(count), seed=seed or DEFAULT_SEED)


def _verified(tree: SourceTree, cpython: str | None, root: Path | None, *, wanted: bool) -> SourceTree:
    """Verify the signature of the tarball; the manifest will name it."""
    if not wanted:
        raise UsageError("--trusted-root is for --verify-source", fix="leave it out, or add --verify-source")
    tarball = Path(cpython or "")
    if not tarball.is_file():
        raise UsageError(
            "--verify-source is for a release tarball: python.org signs those, and not what is in them",
            fix="give --cpython Python-X.Y.Z.tar.xz, with Python-X.Y.Z.tar.xz.sigstore beside it",
        )
    from stencilkit.pipeline import attesting

    return attesting.verify_source(tree, tarball, root)


def _llvm(given: str | None, folder: BuildFolder | None, support: PythonSupport, progress: Progress) -> str:
    """Choose what --llvm says, or what the build folder asks for, or upstream's LLVM."""
    if given is not None:
        return given
    if folder is not None and folder.llvm:
        progress.say(f"{folder.path} asks for LLVM {folder.llvm}")
        return folder.llvm
    return str(support.pinned)


def _cflags(given: str | None, folder: BuildFolder | None) -> str:
    text = folder.cflags if given is None and folder is not None else given or ""
    try:
        shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"the flags for the JIT cannot be split into words: {error}", where=text, fix="fix the quotes in --cflags"
        ) from None
    return text


def _pyconfig(
    tree: SourceTree,
    asked: SpelledTarget,
    flavour: Flavour,
    given: Path | None,
    folder: BuildFolder | None,
    machine: Iterable[Toolchain],
    progress: Progress,
) -> PyConfig:
    if given is not None:
        return configure.given(given, asked, flavour, folder.host if folder else "")
    return configure.configured(tree, asked, flavour, machine, environ.cache_root(), progress=progress)


def _write(
    request: BuildRequest, out: Path, store: Store, judge: Callable[[Build], Judgement] | None, progress: Progress
) -> Written:
    """Build, and write what the judge, if there is one, finds equal."""
    started = environ.seconds()
    build = building.build(request, store, progress=progress)
    seconds = environ.seconds() - started
    for note in build.notes:
        progress.say(f"note: {note}")
    judgement = judge(build) if judge else None
    written = Written(build=build, folder=out / build.folder, seconds=seconds, changed=False, judgement=judgement)
    if written.refused:
        return written
    changed = files.write_together(out / build.folder, build.files, stamps=artifact.stamps(build.files))
    return replace(written, changed=any(changed.values()))


def _bundle(halves: Sequence[Written], out: Path) -> tuple[Path, bool]:
    """Write a universal platform's folder; return its place, and whether anything changed."""
    builds = [half.build for half in halves]
    folder = out / universal.folder(builds)
    contents = universal.bundle(builds)
    changed = files.write_together(folder, contents, stamps=artifact.stamps(contents))
    return folder, any(changed.values())
