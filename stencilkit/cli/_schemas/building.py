"""What is built, packed and placed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.cli._schemas.shapes import (
    Format,
    Schema,
    answer,
    by_name,
    count,
    each,
    flag,
    number,
    or_null,
    record,
    sha256,
    text,
    word,
)
from stencilkit.cli._schemas.vocabulary import CONTENT, CPYTHON, LLVM, PATH, TEXTS, TRIPLE
from stencilkit.model.build import Driver, HeaderOrigin
from stencilkit.model.target import Kind as FlavourKind

_DESCRIBED: Final[Mapping[str, Schema]] = {
    "cpython": CPYTHON,
    "target": TRIPLE,
    "flavour": word(FlavourKind),
    "llvm": LLVM,
    "vendor": text("The first line of `clang --version`."),
    "driver": word(Driver, "How units were compiled."),
    "headers": word(HeaderOrigin, "Where the C library's headers came from."),
    "content_digest": CONTENT,
    "input_digest": text("Line 1 of the header: what CPython's build compares."),
    "interface_digest": sha256("Digest of uops, patch functions and symbols."),
    "stencils": count("How many stencils there are."),
    "code_bytes": count(),
    "data_bytes": count(),
    "files": by_name(sha256("SHA-256 of the file."), "The files beside the manifest, by name."),
}
ANSWERS: Final[Mapping[str, Format]] = {
    "builds": answer(
        "build",
        builds=each(
            record(
                folder=PATH,
                **_DESCRIBED,
                seconds=number(),
                changed=flag("Whether anything on disk is another than before."),
                notes=each(text(), "What was done the slow way."),
                check_upstream=or_null(
                    record(
                        "What --check-upstream found; null where it was not asked.",
                        equal=flag(),
                        uops=count("How many uops were compared."),
                        of=count("How many there are."),
                        seed=text("What chose them; empty where all were compared."),
                        different=each(text(), "Uops that differ."),
                        files=by_name(flag("Whether it is the same.")),
                        allowed=each(record(what=text(), why=text()), "Differences that are known."),
                        programs=by_name(PATH),
                    )
                ),
            )
        ),
        universal=each(record(folder=PATH, changed=flag()), "Folders of universal platforms."),
    ),
    "bundle": answer(
        "pack",
        "inspect",
        path=PATH,
        sha256=sha256("Digest of the bundle; empty for a folder.", absent=True),
        stencils=each(record(**_DESCRIBED)),
    ),
    "install": answer(
        "install",
        accepted=flag(),
        files=by_name(flag(), "The files that were placed: whether each changed."),
        make=text("A variable to pass to make; empty if none is needed."),
        notes=TEXTS,
        failed=each(text(), "The checks that failed."),
    ),
}
