"""Flags -> what clang's driver passes to cc1, and which of it stencils may have.

The driver is asked (`clang -###`), never guessed at: a wrapper, a configuration file or a vendor's patch shows in its
answer, as do flags that cancel each other. Refuses what no row of cc1.toml knows.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, get_args

from stencilkit.errors import DataError, FlagError
from stencilkit.model import cc1
from stencilkit.model.cc1 import Argument, Effect, Rule, Rules
from stencilkit.support import process, resources
from stencilkit.support.fields import Fields, document

SCHEMA: Final = 1
_PROBE: Final = "probe.c"
_OUTPUT: Final = "probe.out"
# What stands in a command line where an input and an output do.
PROBE: Final = ("-c", _PROBE, "-o", _OUTPUT)
_TIMEOUT_SECONDS: Final = 60.0
# clang's Driver::PrintVersion, which -### calls:
_CONFIGURED: Final = "Configuration file: "
_UNKNOWN: Final = Rule(patterns=("*",), effect="refused", why="nobody has looked at what it does to stencils")
_SPECIAL: Final = re.compile(r"[*?\[]")
_WHERE: Final = "--cflags (CPython's CFLAGS_JIT)"


@functools.cache
def load() -> Rules:
    """Read and check the cc1.toml that travels with stencilkit."""
    return parse(resources.text("cc1.toml"))


def rules_for(makes: str) -> Rules:
    """Choose the rules that hold where a compiler makes something: "elf object", "coff assembly"."""
    rules = load()
    return replace(rules, arguments=tuple(rule for rule in rules.arguments if not rule.makes or makes in rule.makes))


def parse(text: str) -> Rules:
    """Read the text of a cc1.toml.

    Raises: DataError, with the path to the bad field.
    """
    root = document(text, name="cc1.toml", schema=SCHEMA, error=DataError)
    rules = Rules(
        words=tuple(_rule(row, "refused") for row in root.tables("word")),
        arguments=tuple(_rule(row) for row in root.tables("argument")),
        defaults=tuple(pattern for row in root.tables("default") for pattern in _rule(row, "harmless").patterns),
    )
    root.done()
    return rules


def _rule(row: Fields, effect: Effect | None = None) -> Rule:
    found = Rule(
        patterns=row.texts("patterns"),
        effect=effect or row.choice("effect", get_args(Effect)),
        why=row.text("why"),
        makes=row.texts("makes", []),
    )
    row.done()
    if not found.patterns or not found.why.strip():
        raise row.fail("", "every row needs patterns and a reason")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a driver would tell cc1, whether it has read a configuration file before that, and all that it printed."""

    arguments: tuple[Argument, ...]
    configured: bool
    said: str


def ask(command: Sequence[str], work: Path) -> Answer:
    """Ask a driver how it would compile PROBE, a C file, to an object with this command line.

    `work` is a folder that the question may use.

    Raises: FlagError where it would not start one compiler, or refuses the arguments.
    """
    (work / _PROBE).touch()
    done = process.run([*command, "-###"], cwd=work, timeout=_TIMEOUT_SECONDS)
    commands = cc1.commands(done.err)
    errors = [line for line in done.err.splitlines() if "error: " in line]
    if done.returncode or errors or len(commands) != 1:
        raise FlagError(
            "clang does not compile one C file to one object with these flags",
            where=" ".join(command[:2]),
            details="\n".join(errors) or f"clang -### names {len(commands)} compilers, not one",
            fix="leave out of --cflags what it does not know for this target, or what is not about code",
        )
    configured = any(line.startswith(_CONFIGURED) for line in done.err.splitlines())
    return Answer(arguments=cc1.arguments(commands[0], _PROBE, _OUTPUT), configured=configured, said=done.err)


def check_words(rules: Rules, flags: Sequence[str]) -> None:
    """Refuse flags that the driver acts on itself, and that must not be the user's.

    Raises: FlagError.
    """
    for flag in flags:
        for rule in rules.words:
            if any(fnmatchcase(flag, pattern) for pattern in rule.patterns):
                raise _refusal(flag, flag, rule)


def check_user(rules: Rules, without: Sequence[Argument], with_flags: Sequence[Argument], flags: str) -> None:
    """Refuse the user's flags for what they change in cc1's arguments.

    Raises: FlagError for the first argument that stencils may not have.
    """
    for argument in _changed(without, with_flags):
        rule = _find(rules, argument)
        if rule.effect == "refused":
            raise _refusal(flags, str(argument), rule)


def _changed(before: Sequence[Argument], after: Sequence[Argument]) -> Iterator[Argument]:
    """Give what was added, then what was taken away: of a flag that replaces a value, the new one is named."""
    gone, new = cc1.difference(before, after)
    yield from new
    yield from gone


def _refusal(flags: str, argument: str, rule: Rule) -> FlagError:
    means = "" if argument in flags.split() else f" (cc1's {argument})"
    return FlagError(
        f"{flags} cannot be used for stencils{means}: {rule.why}",
        where=_WHERE,
        fix="leave it out of the flags for the JIT, or cancel it there; CPython's own CFLAGS may keep it",
    )


def _find(rules: Rules, argument: Argument) -> Rule:
    text = str(argument)
    matching = (rule for rule in rules.arguments if _matches(text, rule.patterns))
    return next(matching, _UNKNOWN)


def _matches(text: str, patterns: Sequence[str]) -> bool:
    """Return whether one of some patterns matches; most are words, and fnmatch compiles each one that it sees."""
    return any(fnmatchcase(text, pattern) if _SPECIAL.search(pattern) else text == pattern for pattern in patterns)


def unasked(rules: Rules, plain: Sequence[Argument], told: Sequence[Argument]) -> tuple[str, ...]:
    """List what a driver passes to cc1 and the clang that it starts would not, for the same flags ("no -O3": left out).

    Raises: FlagError for what stencils may not have, whoever says it.
    """
    gone, new = cc1.difference(plain, told)
    _refuse_unasked(rules, new)
    counted = [str(argument) for argument in new if _find(rules, argument).effect != "harmless"]
    return (*counted, *(f"no {argument}" for argument in gone if _find(rules, argument).effect != "harmless"))


def vendors(rules: Rules, told: Sequence[Argument], baseline: Sequence[str]) -> tuple[str, ...]:
    """List what a clang says of stencilkit's own flags that stock clang does not: a vendor's patches.

    `baseline` are the arguments that name the target's processor.

    Raises: FlagError for what stencils may not have.
    """
    patterns = (*rules.defaults, *baseline)
    found = [argument for argument in told if not _matches(str(argument), patterns)]
    _refuse_unasked(rules, found)
    return tuple(str(argument) for argument in found if _find(rules, argument).effect != "harmless")


def _refuse_unasked(rules: Rules, found: Sequence[Argument]) -> None:
    for argument in found:
        rule = _find(rules, argument)
        if rule.effect == "refused" and rule is not _UNKNOWN:
            raise FlagError(
                f"this clang says {argument} without being asked to, which stencils cannot have: {rule.why}",
                where="its wrapper, its configuration file or its vendor",
                fix="name the clang that it starts, or cancel the flag with --cflags",
            )
