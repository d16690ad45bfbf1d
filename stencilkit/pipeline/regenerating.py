"""From a command line of Tools/jit/build.py to the files that it would write, made by another LLVM."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit import artifact, configure, headers, pins, toolchain
from stencilkit.buildfolder import command as commands
from stencilkit.errors import UsageError
from stencilkit.model.buildfolder import BuildFolder
from stencilkit.model.jitcommand import GENERATOR, JitCommand
from stencilkit.model.manifest import MANIFEST_NAME, FileRole
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.target import Flavour, PythonSupport, SpelledTarget
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import knowing, placing, rendering, universal
from stencilkit.pipeline.placing import Place
from stencilkit.support import files
from stencilkit.support.cache import Store
from stencilkit.support.progress import SILENT, Progress

# What build.py writes with the input digest on line 1 (the shim object has no lines).
_STAMPED: Final[tuple[FileRole, ...]] = ("stencils", "unwind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a makefile wants: the command, understood, and the configured folder that it is about."""

    command: JitCommand
    place: Place
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Regenerated:
    """What came of it: the files with whether each changed, and the builds, none where all was up to date."""

    changed: Mapping[str, bool]
    builds: tuple[Build, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user of regen asks for beside the makefile; `llvm` is as in --llvm, "" for none."""

    llvm: str
    jobs: int
    sysroot: Path | None = None
    allow_driver_flags: bool = False


def understand(words: Sequence[str], variables: Mapping[str, str], here: Path, *, provisional: bool = False) -> Order:
    """Understand the words behind the python in a makefile's rule: the path of build.py, and its arguments.

    `here` is the folder that the words' paths start at. With `provisional`, a newer CPython and any newer LLVM are
    taken for the newest that are known.

    Raises: UsageError, SourceError, TargetError, ConfigureError.
    """
    program, *arguments = words
    try:
        command = commands.parse(arguments, variables)
    except ValueError as problem:
        raise UsageError(
            f"the command line of {GENERATOR} is not understood: {problem}",
            where=shlex.join(words),
            fix="report it with the CPython that it comes from; stencilkit build and install work without make's help",
        ) from None
    try:
        shlex.split(command.cflags)
    except ValueError as problem:
        raise UsageError(
            f"the flags for the JIT cannot be split into words: {problem}",
            where=f"CFLAGS_JIT: {command.cflags}",
            fix="correct the quotes in CFLAGS_JIT",
        ) from None
    generator = (here / program.replace("\\", "/")).resolve()
    tree = knowing.tree(generator.parents[2], provisional=provisional)
    requests = tuple(map(knowing.target, command.triples))
    folder = (here / command.pyconfig).resolve()
    host = requests[0].spelling if len(requests) == 1 else ""
    build = BuildFolder(
        path=folder,
        host=host,
        pyconfig=configure.given(folder, requests[0], _flavour(command), host).content,
        jit=command,
        python="",
        deletes_stencils=False,
    )
    if len(requests) > 1:
        universal.check(tree.python, requests)
    place = Place(tree=tree, build=build, requests=requests)
    return Order(command=command, place=place, output=(here / command.output).resolve())


def regenerate(order: Order, options: Options, store: Store, data: Path, *, progress: Progress = SILENT) -> Regenerated:
    """Write what build.py writes: nothing where line 1 says that it is up to date, else all of it or nothing.

    As with build.py, the input digest on line 1 covers neither the LLVM nor the headers in Include/ (CPython:
    Tools/jit/_targets.py, `_Target.build`); --force and `make clean` build again. `data` is where toolchains were
    installed.

    Raises: StencilkitError of the stage that refuses.
    """
    if not order.command.force and all(_is_current(order, request) for request in order.place.requests):
        return Regenerated(changed=_write(order, _dispatchers(order)))
    from stencilkit.pipeline import building  # noqa: PLC0415  # loading it takes a third of an answer without a build

    machine = toolchain.Machine(data, store, pins.load().majors)
    tool = _toolchain(options.llvm or order.command.wanted, order.place.tree.python.support, machine)
    progress.say(toolchain.choice(tool, machine))
    builds = tuple(
        building.build(_request(order, request, tool, options, machine), store, progress=progress)
        for request in order.place.requests
    )
    contents = {name: data for build in builds for name, data in build.files.items() if name != MANIFEST_NAME}
    return Regenerated(changed=_write(order, contents | _dispatchers(order)), builds=builds)


def _flavour(command: JitCommand) -> Flavour:
    return "debug" if command.debug else "release"


def _is_current(order: Order, request: SpelledTarget) -> bool:
    """Return whether build.py would find the files of a target up to date: all there, the right digest on line 1."""
    place = order.place
    line = f"// {placing.input_digest(place, request)}\n".encode()
    return all(
        files.starts_with(order.output / name, line if role in _STAMPED else b"")
        for role, name in place.dialect.file_names(request).items()
        if role not in rendering.DISPATCHERS
    )


def _dispatchers(order: Order) -> dict[str, bytes]:
    """Render the headers that choose by architecture; what build.py wrote is as good where only its line 1 differs."""
    place = order.place
    rendered = rendering.dispatchers(place.dialect, place.requests)
    return placing.left_alone(order.output, rendered)


def _write(order: Order, contents: Mapping[str, bytes]) -> Mapping[str, bool]:
    # What make compares, its stamp, is the makefile's own business: its rule touches it after this.
    return files.write_together(order.output, contents, stamps=artifact.stamps(contents))


def _toolchain(wanted: str, support: PythonSupport, machine: toolchain.Machine) -> Toolchain:
    """Choose the LLVM that is asked for, or the newest in this CPython's range.

    Raises: UsageError, ToolchainError.
    """
    if not wanted:
        fitting = (tool for tool in machine if tool.version.major in support.llvm)
        if found := next(fitting, None):
            return found
        # None of the range is here: the error says how to get upstream's.
        return toolchain.select(toolchain.parse_wanted(str(support.pinned)), machine)[0]
    from stencilkit.pipeline import building  # noqa: PLC0415  # who asks for a toolchain has loaded it

    asked = toolchain.parse_wanted(wanted)
    for major in toolchain.majors(asked):
        # Before it is looked for: nobody needs to install what cannot be used.
        building.check_llvm(support, major)
    tools = toolchain.select(asked, machine)
    if len(tools) > 1:
        raise UsageError(f"{wanted} are several LLVMs, and one header is wanted", fix="name one, as in --llvm 22")
    return tools[0]


def _request(
    order: Order, request: SpelledTarget, tool: Toolchain, options: Options, machine: toolchain.Machine
) -> BuildRequest:
    place, command = order.place, order.command
    flavour = _flavour(command)
    return BuildRequest(
        tree=place.tree,
        asked=request,
        flavour=flavour,
        toolchain=tool,
        headers=headers.choose(request.target, tool, machine, options.sysroot),
        pyconfig=configure.given(place.folder, request, flavour, place.build.host),
        cflags=command.cflags,
        jobs=options.jobs,
        allow_driver_flags=options.allow_driver_flags,
        # As build.py, regen writes no manifest.
        layout=False,
    )
