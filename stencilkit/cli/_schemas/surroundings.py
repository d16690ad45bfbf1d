"""What is there to work with: sources, pins, toolchains, targets, the machine and the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.cli._schemas.shapes import Format, answer, by_name, count, each, flag, record, sha256, text, word
from stencilkit.cli._schemas.vocabulary import CPYTHON, LLVM, PATH, SERIES, TEXTS, TRIPLE
from stencilkit.model.build import HeaderOrigin
from stencilkit.model.target import ObjectFormat, PyConfigSource
from stencilkit.model.toolchain import Origin

ANSWERS: Final[Mapping[str, Format]] = {
    "cache": answer("cache info", folder=PATH, parts=by_name(record(files=count(), bytes=count()))),
    "doctor": answer(
        "doctor",
        checks=each(
            record(
                job=text(),
                needs=text(),
                has=text("Empty where it is missing."),
                remedy=text("What brings it."),
                main=flag("Whether stencils for this machine cannot be built without it."),
            )
        ),
    ),
    "pins": answer(
        "pins update",
        file=PATH,
        pins=each(
            record(
                series=SERIES,
                before=text("The release that was pinned before; empty for none."),
                version=CPYTHON,
                sha256=sha256("Digest of its tarball."),
                vouched=text("Where the hash came from; empty where that was not noted."),
                changed=flag(),
                absent=each(CPYTHON, "Newer releases in a signed index whose tarballs no mirror has."),
                unasked=each(
                    text(), "Suites without a source index here, or distributions: what is only there is not seen."
                ),
            )
        ),
    ),
    "source": answer("fetch", version=text(), folder=PATH),
    "targets": answer(
        "targets",
        targets=each(
            record(
                triple=TRIPLE,
                spellings=each(text(), "Patterns of the spellings that mean it."),
                universal=text("The universal platform that this is a half of; empty if none."),
                tier=text(),
                format=word(ObjectFormat),
                headers=word(HeaderOrigin, "Where a build here finds headers; empty if nowhere.", absent=True),
                pyconfig=word(PyConfigSource),
                cpython=by_name(
                    record(llvm=text("A range of major versions."), upstream=count("A major version.")),
                    "By minor version.",
                ),
            )
        ),
        refused=each(record(pattern=text(), why=text())),
    ),
    "toolchains": answer(
        "toolchains",
        toolchains=each(record(version=LLVM, vendor=text(), origin=word(Origin), program=PATH, lacks=TEXTS)),
        rejected=each(record(program=PATH, why=text())),
    ),
}
