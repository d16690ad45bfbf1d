"""A tree that stencilkit does not know -> how its stencil generator differs from the newest one that it knows.

Only what can be read is compared: no code of the tree runs. What generators.toml records of a release is what
stencilkit's dialect of that series was compared with.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from stencilkit.errors import DataError, SourceError
from stencilkit.model.novelty import Difference, Facts, Weight
from stencilkit.support import files, resources
from stencilkit.support.fields import document

_DATA: Final = "generators.toml"
_SCHEMA: Final = 1
_FOLDER: Final = "Tools/jit"
_RUNTIME: Final = "Python/jit.c"
_OPTION: Final = re.compile(r"""["'](--[a-z][a-z-]*)["']""")
_FLAG: Final = re.compile(r"""["'](-[A-Za-z][^"'\s]*)["'{]""")
_HOLE_VALUES: Final = re.compile(r"(?ms)^class HoleValue\(.*?(?=^\S(?!lass HoleValue))")
_VALUE: Final = re.compile(r"(?m)^    ([A-Z][A-Z0-9_]*) = ")
_SYMBOL: Final = re.compile(r"\b_JIT_[A-Z0-9_]+\b")
_DEFINED: Final = re.compile(r"(?m)^[ \t]*#[ \t]*define[ \t]+(\w+)")
_FUNCTION: Final = re.compile(r"(?ms)^(patch_\w+)\([^;{]*\)\s*\{.*?^\}")
_STRUCTURE: Final = re.compile(r"(?ms)^typedef struct[^;]*?\{.*?^\} (\w+);")
_PATCH_NAME: Final = re.compile(r"\bpatch_\w+")

_WORDS: Final = "it is text, or about checking the generator"
_OWN: Final = "stencilkit does by itself what this file of the known generator does"
# What a change in a file of Tools/jit means; of one that is not here, nobody knows.
_CHANGED: Final[Mapping[str, tuple[Weight, str]]] = {
    "build.py": ("harmless", "its options are compared by themselves"),
    "_llvm.py": ("harmless", "it finds the LLVM"),
    "_schema.py": ("harmless", "it gives types to what llvm-readobj writes"),
    "example_trace_dump.py": ("harmless", "it is an example"),
    "jit.h": ("harmless", "it is compiled as it is; its holes are compared by themselves"),
    "shim.c": ("harmless", "it is compiled as it is; its holes are compared by themselves"),
    "template.c": ("harmless", "it is compiled as it is; its holes are compared by themselves"),
    "_dwarf.py": ("doubtful", _OWN),
    "_optimizers.py": ("doubtful", _OWN),
    "_stencils.py": ("doubtful", _OWN),
    "_targets.py": ("doubtful", _OWN),
    "_writer.py": ("doubtful", _OWN),
}
_TEXTS: Final = (".md", ".ini", ".toml", ".txt")
# Without these there is nothing to compile.
_NEEDED: Final = ("jit.h", "shim.c", "template.c")


def read(root: Path) -> Facts:
    """Read the facts of a tree.

    Raises: SourceError.
    """
    paths = {path.name: path for path in files.walk(root / _FOLDER) if "__pycache__" not in path.parts}
    texts = {name: files.read_text(path, error=SourceError) for name, path in paths.items() if _is_code(name)}
    modules = "\n".join(text for name, text in texts.items() if name.endswith(".py"))
    sources = "\n".join(text for name, text in texts.items() if not name.endswith(".py"))
    values = _HOLE_VALUES.search(texts.get("_stencils.py", ""))
    runtime = files.read_text(root / _RUNTIME, error=SourceError)
    return Facts(
        files={name: files.sha256(path) for name, path in paths.items()},
        options=frozenset(_OPTION.findall(texts.get("build.py", ""))),
        flags=frozenset(_FLAG.findall(texts.get("_targets.py", ""))),
        values=frozenset(_VALUE.findall(values[0])) if values else frozenset(),
        symbols=frozenset(_SYMBOL.findall(sources)) - frozenset(_DEFINED.findall(sources)),
        patches={
            match[1]: hashlib.sha256(" ".join(match[0].split()).encode()).hexdigest()
            for pattern in (_FUNCTION, _STRUCTURE)
            for match in pattern.finditer(runtime)
        },
        called=frozenset(_PATCH_NAME.findall(modules)),
    )


def _is_code(name: str) -> bool:
    return name.endswith((".py", ".c", ".h"))


def known(series: str) -> Facts:
    """Return the facts of a release of a minor version, for which stencilkit's dialect was written.

    Raises: DataError.
    """
    root = document(resources.text(_DATA), name=_DATA, schema=_SCHEMA, error=DataError)
    row = root.table("generator").table(series)
    return Facts(
        files=row.mapping("files"),
        options=frozenset(row.texts("options")),
        flags=frozenset(row.texts("flags")),
        values=frozenset(row.texts("values")),
        symbols=frozenset(row.texts("symbols")),
        patches=row.mapping("patches"),
    )


def differences(found: Facts, old: Facts) -> tuple[Difference, ...]:
    """List how a generator differs from a known one, the weightiest first."""
    listed = [*_files(found, old), *_words(found, old), *_holes(found, old), *_runtime(found, old)]
    order: tuple[Weight, ...] = ("blocking", "doubtful", "harmless")
    return tuple(sorted(listed, key=lambda item: (order.index(item.weight), item.what)))


def _files(found: Facts, old: Facts) -> Iterator[Difference]:
    for name in found.files.keys() | old.files.keys():
        path = f"{_FOLDER}/{name}"
        if name not in found.files:
            needed = name in _NEEDED
            why = "stencils are compiled from it" if needed else "another file may do what it did"
            yield Difference(what=f"{path} is gone", weight=_gone(name), why=_WORDS if _is_text(name) else why)
        elif name not in old.files:
            why = _WORDS if _is_text(name) else "it may be a part of the generator"
            yield Difference(what=f"{path} is new", weight="harmless" if _is_text(name) else "doubtful", why=why)
        elif found.files[name] != old.files[name]:
            unknown: tuple[Weight, str] = ("harmless", _WORDS) if _is_text(name) else ("doubtful", _OWN)
            weight, why = _CHANGED.get(name, unknown)
            yield Difference(what=f"{path} has changed", weight=weight, why=why)


def _is_text(name: str) -> bool:
    return name.endswith(_TEXTS)


def _gone(name: str) -> Weight:
    if name in _NEEDED:
        return "blocking"
    return "harmless" if _is_text(name) else "doubtful"


def _words(found: Facts, old: Facts) -> Iterator[Difference]:
    """Compare build.py's options and the flags."""
    rows: tuple[tuple[str, frozenset[str], frozenset[str], Weight, str], ...] = (
        ("build.py's option", found.options, old.options, "harmless", "it says where files go, or which LLVM is taken"),
        ("compiler flag", found.flags, old.flags, "doubtful", "stencils are compiled with the known generator's flags"),
    )
    for kind, new, former, weight, why in rows:
        yield from (Difference(what=f"{kind} {name} is new", weight=weight, why=why) for name in new - former)
        yield from (Difference(what=f"{kind} {name} is gone", weight=weight, why=why) for name in former - new)


def _holes(found: Facts, old: Facts) -> Iterator[Difference]:
    for name in found.symbols - old.symbols:
        why = "stencilkit does not know what goes into this hole"
        yield Difference(what=f"the C files use {name}", weight="blocking", why=why)
    for name in found.values - old.values:
        if f"_JIT_{name}" not in found.symbols:
            why = "no C file uses it"
            yield Difference(what=f"HoleValue.{name} is new", weight="harmless", why=why)
    for name in old.values - found.values:
        what, why = f"HoleValue.{name} is gone", "what used it may use something else"
        yield Difference(what=what, weight="doubtful", why=why)


def _runtime(found: Facts, old: Facts) -> Iterator[Difference]:
    for name in found.patches.keys() | old.patches.keys():
        what = f"{_RUNTIME}: {name}"
        if name not in found.patches:
            why = "a stencil that needs it is refused"
            yield Difference(what=f"{what} is gone", weight="doubtful", why=why)
        elif name not in old.patches:
            used = name in found.called or not name.startswith("patch_")
            why = (
                "the generator may call it where stencilkit calls another" if used else "the generator calls it nowhere"
            )
            yield Difference(what=f"{what} is new", weight="doubtful" if used else "harmless", why=why)
        elif found.patches[name] != old.patches[name]:
            why = "it may patch in another way, or have other members"
            yield Difference(what=f"{what} has changed", weight="doubtful", why=why)
