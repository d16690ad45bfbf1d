"""`stencilkit pins`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from stencilkit.cli import _completion, _groups, _options, _progress, _render
from stencilkit.errors import UsageError
from stencilkit.pipeline import pinning
from stencilkit.pipeline.pinning import Pinned
from stencilkit.support import environ, resources


@click.group(cls=_groups.Group)
def command() -> None:
    """Manage the pinned hashes of CPython releases (pins.toml)."""


@command.command()
@click.argument("series", nargs=-1, metavar="[SERIES]...", shell_complete=_completion.pythons)
@_options.shared(
    "--sha256",
    "given",
    multiple=True,
    metavar="VERSION=HEX",
    help="Pin this release, whose .tar.xz has this SHA-256. Repeatable.",
)
@click.option("--file", type=_options.ANY_PATH, help="The pins.toml to change. [default: that of this checkout]")
@_options.format_option("text", "json")
def update(series: tuple[str, ...], given: tuple[str, ...], file: Path | None, form: str) -> None:
    """Pin the newest release of each SERIES, such as 3.15, or of every known series if none is named.

    The hash comes from Debian's or Ubuntu's source index, whose signature apt checks, or from --sha256; the pin records
    which. The tarball is fetched, and its hash must match. A pin stays as it is if nothing newer can be fetched.
    """
    progress = _progress.choose(form)
    path = file or resources.in_checkout("stencilkit/pins.toml")
    if path is None:
        raise UsageError("this stencilkit does not run from a checkout", fix="name the pins.toml to change: --file")
    done = pinning.update(path, series, _hashes(given), environ.cache_root(), progress=progress)
    if form == "json":
        _render.print_json("pins", {"file": str(path), "pins": [_row(pinned) for pinned in done]})
        return
    for pinned in done:
        _render.say_wrapped(_sentence(pinned))
    if any(pinned.changed for pinned in done):
        _render.say(f"wrote {path}")


def _hashes(given: tuple[str, ...]) -> Mapping[str, str]:
    """Read the values of --sha256.

    Raises: UsageError.
    """
    found: dict[str, str] = {}
    for word in given:
        version, equals, digest = word.partition("=")
        if not equals or found.setdefault(version, digest) != digest:
            raise UsageError(f"--sha256 {word} is not understood", fix="give each release once, as in 3.15.2=HEX")
    return found


def _sentence(pinned: Pinned) -> str:
    now = pinned.now
    unasked = f"; there is no source index of {', '.join(pinned.unasked)}" if pinned.unasked else ""
    if not pinned.changed:
        newer = f"; no mirror has the tarball of {', '.join(pinned.absent)}" if pinned.absent else ""
        return f"{pinned.series}: {now.version} stays, the newest that can be had{newer}{unasked}"
    before = str(pinned.before.version) if pinned.before else "nothing"
    return f"{pinned.series}: {before} -> {now.version}, whose hash comes from {now.vouched}{unasked}"


def _row(pinned: Pinned) -> dict[str, object]:
    return {
        "series": pinned.series,
        "before": str(pinned.before.version) if pinned.before else "",
        "version": str(pinned.now.version),
        "sha256": pinned.now.sha256,
        "vouched": pinned.now.vouched,
        "changed": pinned.changed,
        "absent": list(pinned.absent),
        "unasked": list(pinned.unasked),
    }
