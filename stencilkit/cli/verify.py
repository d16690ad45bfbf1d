"""`stencilkit verify`."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilkit import verify
from stencilkit.cli import _attestations, _options, _progress, _verdicts
from stencilkit.errors import ExitCode, PolicyError, UsageError
from stencilkit.model.source import SourceTree
from stencilkit.model.verdict import Kind, Policy
from stencilkit.pipeline import surveying, verifying
from stencilkit.pipeline.evidence import Subject
from stencilkit.support import files, limits

if TYPE_CHECKING:
    from stencilkit.pipeline.witnessing import Runtime


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_options.ANY_PATH)
@click.option("--manifest", type=_options.ANY_PATH, help="What to compare it with. [default: manifest.toml beside it]")
@_options.shared("--cpython", help="Check that the stencils fit this source.")
@_options.shared("--pyconfig-dir", help="Folder with its pyconfig.h. [default: the source]")
@_options.shared("--ledger")
@click.option("--rebuild", is_flag=True, help="Build again from --cpython, and compare the content.")
@_options.shared("--llvm", help="LLVM for --rebuild. [default: the recorded version]")
@click.option(
    "--binary",
    type=_options.ANY_PATH,
    help="A python or libpython that was built with these stencils; check that it contains them.",
)
@_options.shared("--witness")
@_options.shared("--policy", help="Policy file: what is required. [default: canonical form and manifest]")
@_options.shared("--allow-mingw", help="Accept Windows stencils that were compiled with mingw's headers.")
@_options.shared("--provisional")
@click.option(
    "--consistent",
    is_flag=True,
    help="Accept files that agree with each other, without comparing them with anything independent.",
)
@_options.shared("--check", help="Print only what is refused.")
@_attestations.asked_options
@_options.format_option("text", "json", "markdown", "junit")
def command(
    paths: tuple[Path, ...],
    manifest: Path | None,
    cpython: str | None,
    pyconfig_dir: Path | None,
    ledger: Path | None,
    rebuild: bool,
    llvm: str | None,
    binary: Path | None,
    witness: bool,
    policy: Path | None,
    allow_mingw: bool,
    provisional: bool,
    consistent: bool,
    check: bool,
    asked: _attestations.Asked,
    form: str,
) -> int:
    """Verify headers or output folders. Only --rebuild and --witness need a compiler.

    A folder with output folders below it stands for all of them; every file in it is accounted for.

    It always checks that a header holds stencils and nothing else, and what its manifest says. With --cpython, it also
    checks that the stencils were made from the same inputs as this source and its pyconfig.h, and shows the input
    digest that line 1 needs. With --witness, it checks that the compiler of the build folder lays out structures as the
    stencils expect. With --attestation or --attestations, it counts the builders of those you name who have signed the
    same result.

    Anybody can make a header and a manifest that agree. To accept one, verify needs --ledger, --rebuild, --attestation
    or --policy; or --consistent, if agreement is all you ask for.

    Exits with 0 if all are accepted, 1 if one is refused, 2 if one could not be checked.
    """
    if manifest is not None and len(paths) > 1:
        raise UsageError("--manifest is for one header, and several paths were given", fix="verify them one by one")
    for option, given, fix in (
        ("--pyconfig-dir", pyconfig_dir is not None, "name the source that it was configured from"),
        ("--rebuild", rebuild, "name the source to build from"),
        ("--witness", witness, "name the source, and with --pyconfig-dir its build folder"),
    ):
        if given and cpython is None:
            raise UsageError(f"{option} needs --cpython", fix=fix)
    if llvm is not None and not rebuild:
        raise UsageError("--llvm is for --rebuild", fix="leave it out, or add --rebuild and --cpython")
    for path in filter(None, (*paths, manifest, ledger, binary, policy)):
        if not path.exists():
            raise files.missing(path, UsageError)
    surveys = [surveying.survey(path) for path in paths]
    progress = _progress.choose(form)
    tree = _options.open_tree(cpython, progress, provisional=provisional) if cpython else None
    obeyed = _policy(policy, mingw=allow_mingw, provisional=provisional, consistent=consistent)
    subject = Subject(
        path=paths[0],
        manifest=manifest,
        tree=tree,
        pyconfig=pyconfig_dir,
        ledger=ledger,
        rebuild=(llvm or "") if rebuild else None,
        binary=binary,
        runtime=_runtime(tree, pyconfig_dir or tree.root) if tree and witness else None,
        store=_options.store(),
        attestations=asked.gather(obeyed.demand),
    )
    subject = replace(subject, policy=_demanding(obeyed, subject, written=policy is not None))
    with progress.during("verifying, with a second build") if rebuild else contextlib.nullcontext():
        verdicts = [
            verdict
            for survey in surveys
            for verdict in (
                *(verifying.run(replace(subject, path=path)) for path in survey.subjects),
                *verifying.account(survey),
            )
        ]
    _verdicts.show(verdicts, form, quiet=check)
    return ExitCode.OK if all(verdict.accepted for verdict in verdicts) else ExitCode.DIFFERENT


def _runtime(tree: SourceTree, folder: Path) -> Runtime:
    """Read how a build folder compiles; loading what asks its compiler is for those who want it."""
    from stencilkit.pipeline import witnessing

    return witnessing.runtime(tree, folder)


def _policy(path: Path | None, *, mingw: bool, provisional: bool, consistent: bool) -> Policy:
    """Read the policy; one that is written says itself what is enough."""
    if path is None:
        return replace(verify.DEFAULT_POLICY, mingw=mingw, provisional=provisional, consistent=consistent)
    fix = "give --policy a file as the page about verify in the documentation describes it"
    text = files.read_text(path, error=PolicyError, limit=limits.MANIFEST, fix=fix)
    policy = verify.parse_policy(text, str(path))
    return replace(policy, mingw=policy.mingw or mingw, provisional=policy.provisional or provisional)


def _demanding(policy: Policy, subject: Subject, *, written: bool) -> Policy:
    """Demand the answers that were asked for: all of them without a written policy, attestations in any case."""
    asked: dict[Kind, object] = {
        "tree": subject.tree,
        "witness": subject.runtime,
        "ledger": subject.ledger,
        "rebuild": subject.rebuild,
        "binary": subject.binary,
        "attested": subject.attestations,
    }
    # A policy without the word does not make attestations that were named a matter of indifference.
    counted: tuple[Kind, ...] = ("attested",) if written else tuple(asked)
    more = [kind for kind in counted if asked[kind] is not None and kind not in policy.require]
    return replace(policy, require=(*policy.require, *more))
