"""`stencilkit install`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import get_args

import click

from stencilkit.cli import _attestations, _options, _progress, _render, _verdicts
from stencilkit.errors import ExitCode, InstallError
from stencilkit.model.target import Flavour
from stencilkit.pipeline import bundling, installing, knowing, placing


@click.command()
@click.argument("bundle", type=_options.EXISTING_PATH)
@_options.shared("--cpython")
@_options.shared("--build-dir")
@_options.shared("--target", help="Refuse a build folder that is configured for another target.")
@_options.shared("--flavour", type=click.Choice(get_args(Flavour)), help="Refuse a build folder of another flavour.")
@_options.shared(
    "--llvm",
    default="",
    help="Install the stencils made by this LLVM. [default: as configured, or upstream's]",
)
@_options.shared("--check", help="Verify and show every check, but install nothing.")
@_options.shared("--witness")
@_options.shared("--allow-mingw")
@_options.shared("--provisional")
@_attestations.asked_options
@_options.format_option("text", "json")
def command(
    bundle: Path,
    cpython: str | None,
    build_dir: Path | None,
    target: str | None,
    flavour: Flavour | None,
    llvm: str,
    check: bool,
    witness: bool,
    allow_mingw: bool,
    provisional: bool,
    asked: _attestations.Asked,
    form: str,
) -> int:
    """Place the stencils of BUNDLE where `make` of a configured CPython takes them, without any LLVM.

    They are verified first: canonical form, digests, and that they were made from what this tree and its pyconfig.h
    would make them from. Line 1 gets this tree's input digest. BUNDLE may also be an output folder of stencilkit build.

    With --attestation or --attestations: the builders that you name must have signed that they got the same.

    Exits with 1, and places nothing, if they do not fit.
    """
    tree = _options.open_tree(cpython, _progress.choose(form), provisional=provisional)
    place = placing.look_at(tree, build_dir or tree.root)
    _expect(place, target, flavour)
    triples = [request.target.triple for request in place.requests]
    done = installing.install(
        place,
        bundling.open_all(bundle, triples),
        llvm=llvm,
        mingw=allow_mingw,
        provisional=provisional,
        check=check,
        witness=witness,
        attestations=asked.gather(),
    )
    if form == "json":
        content = {
            "accepted": done.accepted,
            "files": dict(done.files),
            "make": done.make_argument,
            "notes": list(done.notes),
            "failed": [c.what for verdict in done.verdicts for c in verdict.checks if c.status == "failed"],
        }
        _render.print_json("install", content)
    else:
        _tell(place, done, check=check)
    return ExitCode.OK if done.accepted else ExitCode.DIFFERENT


def _expect(place: placing.Place, target: str | None, flavour: Flavour | None) -> None:
    """Refuse a build folder for something else than was said.

    Raises: InstallError.
    """
    known = [request.target.triple for request in place.requests]
    if target and knowing.target(target).target.triple not in known:
        raise InstallError(
            f"{place.folder} was configured for {', '.join(known)}, not for {target}",
            fix="leave --target out, or give the build folder of that target",
        )
    if flavour and flavour != place.flavour:
        raise InstallError(
            f"{place.folder} was configured for a {place.flavour} build, not for {flavour}",
            fix="leave --flavour out, or configure " + ("--with-pydebug" if flavour == "debug" else "without it"),
        )


def _tell(place: placing.Place, done: installing.Installed, *, check: bool) -> None:
    if check or not done.accepted:
        _verdicts.show(done.verdicts, "text", quiet=False)
        _render.say(f"nothing was placed in {place.folder}")
        return
    for name, changed in done.files:
        _render.say(f"{'placed' if changed else 'unchanged'} {place.folder / name}")
    for note in done.notes:
        _render.say(f"note: {note}")
    if done.make_argument:
        _render.say("this makefile deletes stencils between the passes of a PGO build; to have them brought back, run")
        _render.say(f"  make {shlex.quote(done.make_argument)}")
