"""From what somebody asks for (triples, LLVMs) to what can be built here: the one reading of those words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from stencilkit import pins, toolchain
from stencilkit.errors import TargetError, UsageError
from stencilkit.model.source import SourceTree
from stencilkit.model.target import SpelledTarget, Target
from stencilkit.model.toolchain import Toolchain, Wanted
from stencilkit.pipeline import knowing, universal
from stencilkit.support import environ
from stencilkit.support.cache import Store
from stencilkit.toolchain import Machine


def machine(store: Store) -> Machine:
    """Return this machine's LLVMs, which are looked for when they are needed; `store` remembers what they are."""
    return toolchain.Machine(environ.data_root(), store, pins.load().majors)


def at(program: str, store: Store) -> Toolchain:
    """Find the toolchain whose clang this is.

    Raises: ToolchainError.
    """
    return toolchain.select((Wanted(program=Path(program)),), machine(store))[0]


def native() -> Target:
    """Find the target of this machine.

    Raises: UsageError.
    """
    for target in knowing.known_targets():
        if environ.is_native(target.native):
            return target
    raise UsageError("this machine is not one of the known targets", fix="name one with --target")


def one(spelling: str | None) -> Target:
    """Find the one target that is meant; None and "" are this machine.

    Raises: TargetError, UsageError.
    """
    return knowing.target(spelling).target if spelling else native()


def several(spellings: Iterable[str], tree: SourceTree) -> list[SpelledTarget]:
    """Find all targets that are meant, each once; "" is this machine, "all" what the tree's CPython supports.

    Raises: TargetError; UsageError where two spellings mean one target.
    """
    requests: list[SpelledTarget] = []
    for spelling in spellings:
        found = knowing.targets_of(spelling or native().triple, tree.python.dialect.SERIES)
        if len(found) > 1 and spelling == found[0].target.universal:
            universal.check(tree.python, found)
        requests.extend(request for request in found if request not in requests)
    for number, request in enumerate(requests):
        for other in requests[:number]:
            if other.target == request.target:
                raise UsageError(
                    f"--target {other.spelling} and {request.spelling} are one target",
                    fix="name it once, in the spelling that your CPython is configured with",
                )
    return requests


def hardened(cflags: str, target: Target) -> str:
    """Add to CFLAGS_JIT what a target calls hardened, unless it is there.

    Raises: TargetError where nothing is called that, with the reason.
    """
    if not target.hardened:
        raise TargetError(
            f"there is no hardened flavour for {target.triple}: {target.hardened_why}",
            fix="leave --hardened out for this target",
        )
    words = shlex.split(cflags)
    return " ".join([*([cflags] if cflags else []), *(word for word in target.hardened if word not in words)])
