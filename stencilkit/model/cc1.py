"""What clang's driver passes to `clang -cc1`, the program that compiles: nothing else decides what code comes out.

The driver's flags are many, cancel each other, and mean other things for other targets; of cc1's arguments each says
one thing, and the last of its kind holds.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

# cc1's options whose value may itself begin with a dash (clang's Options.td: Separate).
_TAKES_ANYTHING: Final = frozenset({"-target-feature", "-mllvm", "-D", "-U", "-include", "-I"})
# Of these, stencilkit's own -Xclang may follow the driver's: the last one holds.
_LAST_HOLDS: Final = ("-mframe-pointer=",)
# What describes the one input of a question, and not how it is compiled.
_PER_INPUT: Final = ("-main-file-name", "-dumpdir")

Effect = Literal["harmless", "recorded", "refused"]
"""What an argument may do to stencils; the words are those of cc1.toml, which describes them."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of cc1, with its value where that is a word of its own ("" where there is none)."""

    option: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.option} {self.value}" if self.value else self.option


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row of cc1.toml: patterns (fnmatch) of arguments, what they may do, and why. The first match decides.

    It holds where the compiler makes one of `makes` ("elf object"), or wherever, if that is empty.
    """

    patterns: tuple[str, ...]
    effect: Effect
    why: str
    makes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All of cc1.toml: `words` are for the driver's flags, `defaults` list what stock clang says unasked."""

    words: tuple[Rule, ...]
    arguments: tuple[Rule, ...]
    defaults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The processor that code is generated for, in LLVM's words.

    `tune` is the one that instructions are scheduled for, `features` are those that are switched on or off beside the
    processor's own ("+avx2", "-sse4.2"), in name order; `abi` is "" where a target has one only.
    """

    name: str
    tune: str
    features: tuple[str, ...]
    abi: str


def commands(answer: str) -> list[list[str]]:
    """Read the commands of cc1 in what `clang -###` prints: the words behind "-cc1". A line that is cut is not one."""
    found = [_words(line) for line in answer.splitlines() if '"-cc1"' in line]
    return [words[words.index("-cc1") + 1 :] for words in found if "-cc1" in words]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def arguments(words: Sequence[str], source: str, output: str) -> tuple[Argument, ...]:
    """Pair options with their values; leave out what is about the one input, in C, and the one output."""
    found: list[Argument] = []
    rest = [word for word in words if word != source]
    while rest:
        option = rest.pop(0)
        takes = rest and option.startswith("-") and (option in _TAKES_ANYTHING or not rest[0].startswith("-"))
        value = rest.pop(0) if takes else ""
        if option not in _PER_INPUT and (option, value) not in (("-x", "c"), ("-o", output)):
            found.append(Argument(option, value))
    return tuple(found)


def cpu(found: Sequence[Argument]) -> Cpu:
    """Gather what arguments say of the processor; of a feature that is named twice, the last one holds."""
    values = {argument.option: argument.value for argument in found}
    features = {argument.value[1:]: argument.value for argument in found if argument.option == "-target-feature"}
    return Cpu(
        name=values.get("-target-cpu", ""),
        tune=values.get("-tune-cpu", ""),
        features=tuple(features[name] for name in sorted(features)),
        abi=values.get("-target-abi", ""),
    )


def beyond(found: Cpu, cpus: Sequence[str], features: Sequence[str], flags: Sequence[str]) -> tuple[str, ...]:
    """List what code needs of a processor that neither its platform has nor the user's flags name.

    `cpus` and `features` (fnmatch) are the platform's. Which features -march and -mcpu stand for, only clang knows:
    where one of them is named, they are not listed.
    """
    named = [flag.partition("=")[2].partition("+")[0] for flag in flags if flag.startswith(("-march=", "-mcpu="))]
    switched = {flag.removeprefix("-m").removeprefix("no-").replace("_", "-") for flag in flags}
    wrong = [] if found.name in (*cpus, *named) else [found.name]
    for feature in found.features:
        known = named or any(fnmatchcase(feature, pattern) for pattern in features)
        if not known and feature[1:].replace("_", "-") not in switched:
            wrong.append(feature)
    return tuple(wrong)


def difference(before: Sequence[Argument], after: Sequence[Argument]) -> tuple[tuple[Argument, ...], ...]:
    """List the arguments that only `before` has, and those that only `after` has, each in its order."""
    old, new = _effective(before), _effective(after)
    return tuple(_without(old, new)), tuple(_without(new, old))


def _effective(found: Sequence[Argument]) -> list[Argument]:
    """Drop what a later argument cancels."""
    last = {key: number for number, argument in enumerate(found) if (key := _cancels(argument))}
    return [argument for number, argument in enumerate(found) if last.get(_cancels(argument), number) == number]


def _cancels(argument: Argument) -> str:
    """Name what only the last of several arguments decides, "" where each one counts."""
    if argument.option == "-target-feature":
        return argument.value[1:]
    return next((option for option in _LAST_HOLDS if argument.option.startswith(option)), "")


def _without(found: Sequence[Argument], others: Sequence[Argument]) -> list[Argument]:
    left = Counter(others)
    kept = []
    for argument in found:
        if left[argument]:
            left[argument] -= 1
        else:
            kept.append(argument)
    return kept
