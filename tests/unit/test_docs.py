"""The documentation names only what there is."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click
import pytest

from stencilkit import targets
from stencilkit.cli import group
from tests import documents
from tests.documents import COMMANDS, ROOT, Call

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert not [target for target in links if not (page.parent / target).exists()]
    names = re.findall(r"\b((?:docs|tests|recipes|reproducibility|stencilkit)/[\w/.-]+\.(?:py|md|toml|j2|txt)\b)", text)
    assert not [name for name in names if not (ROOT / name).exists()]
    tests = re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)
    assert not [name for path, name in tests if f"def {name}(" not in (ROOT / path).read_text("utf-8")]


def test_pages_are_found() -> None:
    assert len(PAGES) > 15


# What stands for a value: DIR, $TREE, %{SOURCE20}, <triple>.
_PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9:-]*|.*[$%{<].*")
_LLVMS = re.compile(r"(?:\d+(?:\.\d+\.\d+)?|\d+\.\.\d+)(?:,(?:\d+(?:\.\d+\.\d+)?|\d+\.\.\d+))*|.*/.*")


def problems(call: Call) -> Iterator[str]:
    """Say what click, and the tables of targets, would not take of a call."""
    path = next(path for path in (call.words[:2], call.words[:1], ()) if path in COMMANDS)
    command = documents.find(path)
    context = click.Context(command, parent=click.Context(group, **group.context_settings), **command.context_settings)
    words = list(call.words[len(path) :])
    parameters = command.get_params(context)
    try:
        options, extra = _parsed(command, context, words, shown=call.shown)
        for parameter in parameters:
            if isinstance(parameter, click.Option) and options.get(parameter.name or "") is not None:
                given = options[parameter.name or ""]
                for value in given if parameter.multiple else (given,):
                    yield from _wrong(parameter, value, context)
    except click.UsageError as error:
        yield error.format_message()
        return
    if extra and not _PLACEHOLDER.fullmatch(extra[0]):
        yield f"too much: {' '.join(extra)}"
    for parameter in parameters:
        needed = isinstance(parameter, click.Argument) and parameter.required
        if needed and call.shown and call.whole and not isinstance(options[str(parameter.name)], str | tuple):
            yield f"{parameter.make_metavar(context)} is missing"


def _parsed(
    command: click.Command, context: click.Context, words: list[str], *, shown: bool
) -> tuple[dict[str, Any], Sequence[str]]:
    try:
        return command.make_parser(context).parse_args(list(words))[:2]
    except click.BadOptionUsage:
        if shown:
            raise
        # In a sentence, `stencilkit verify --ledger` is the name of an option.
        return command.make_parser(context).parse_args([*words, "X"])[:2]


def _wrong(option: click.Option, value: object, context: click.Context) -> Iterator[str]:
    if not isinstance(value, str) or _PLACEHOLDER.fullmatch(value):
        return
    if not isinstance(option.type, click.Path):
        option.type.convert(value, option, context)
    if "--llvm" in option.opts and not _LLVMS.fullmatch(value):
        yield f"--llvm {value}"
    known = ["all", "universal2-apple-darwin", *(target.triple for target in targets.load().targets)]
    if "--target" in option.opts and not any(fnmatchcase(name, value) for name in known):
        yield f"--target {value}"


def test_commands_in_documents_are_ones_that_can_be_run() -> None:
    known = {path[0] for path in COMMANDS if path}
    wrong, seen = [], 0
    for call in documents.calls():
        if call.words[0] in known or call.words[0].startswith("-"):
            seen += 1
            wrong += [f"{call}: {problem}" for problem in problems(call)]
        elif any(word.startswith("--") for word in call.words):
            # Without an option, it may be prose: "stencilkit builds ...".
            wrong.append(f"{call}: no such command")
    assert seen > 200
    assert wrong == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("build --cpython", "requires an argument"),
        ("build --cpyton 3.14.7", "No such option"),
        ("build --target x86_64-linux", "--target x86_64-linux"),
        ("build --llvm nineteen", "--llvm nineteen"),
        ("build out", "too much: out"),
        ("build --jobs 0", "range"),
        ("test stencils --suite all", "not one of"),
        ("pack -o x.tar.gz", "OUT-DIR... is missing"),
        ("show _POP_TOP", "is missing"),
        ("cache info more", "too much: more"),
        ("cache bust", "too much: bust"),
    ],
)
def test_a_command_that_cannot_be_run_is_found(words: str, problem: str) -> None:
    call = Call(where="x.md", words=tuple(words.split()), shown=True, whole=True)
    assert problem in " ".join(problems(call))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    make PYTHON_FOR_REGEN='stencilkit regen --llvm 21' -j2", "regen --llvm 21"),
        ("    x=$(stencilkit install a.tar.gz --check) || exit", "install a.tar.gz --check"),
        ("    stencilkit test S [--suite smoke|jit|full] [--target T]...", "test S --suite smoke --target T"),
        ("    stencilkit show X a > b; ls", "show X a"),
        ("    stencilkit build   # all of it", "build"),
        ("As `stencilkit\npack out` says", "pack out"),
        ("    reproducibility/gate --llvm 19", "gate --llvm 19"),
        ("    .venv/bin/stencilkit doctor", "doctor"),
    ],
)
def test_commands_are_found_in_pages(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    monkeypatch.setattr(documents, "DOCUMENTS", [page])
    assert [" ".join(call.words) for call in documents.calls()] == [words]


# Options of other programs that pages name: CPython's configure and build.py, clang, perf, linkers.
OTHERS = {
    "--add-architecture",
    "--autocomplete",
    "--call-graph",
    "--enable-experimental-jit",
    "--enable-optimizations",
    "--experimental-jit",
    "--fatal-warnings",
    "--list-tests",
    "--llvm-tools-install-dir",
    "--llvm-version",
    "--no-default-config",
    "--output-dir",
    "--print-multiarch",
    "--with-cflags",
    "--with-pydebug",
    "--with-universal-archs",
}
# Targets of CPython's makefiles.
CPYTHONS = {"clean-jit-stencils", "install", "regen-cases", "regen-jit"}


def test_options_in_sentences_are_some_commands() -> None:
    own = {name for path in COMMANDS for option in documents.find(path).params for name in option.opts}
    found = {
        (option, page.name)
        for page in PAGES
        for words, shown in documents.code(page.read_text("utf-8"))
        if not shown
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", words)
    }
    assert len(found) > 100
    assert {(option, name) for option, name in found if option not in own | OTHERS | {"--help"}} == set()
    assert {option for option, _ in found} >= OTHERS


def test_targets_of_make_in_pages_are_ones_that_there_are() -> None:
    own = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    found = {
        target
        for page in PAGES
        for words, _ in documents.code(page.read_text("utf-8"))
        for target in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", words)
    }
    assert {"bare", "fuzz", "gate", "oracle", "test", "unit"} <= found <= own | CPYTHONS


def test_every_command_is_used_somewhere() -> None:
    assert {path[0] for path in COMMANDS if path} <= {call.words[0] for call in documents.calls() if call.words}


# What packaging.md says that these tests need, and what stencilkit and its extras need.
_PACKAGED = {
    *("pytest", "hypothesis", "jsonschema"),
    *("capstone", "click", "elftools", "jinja2", "rich", "tomli_w"),
    *("cryptography", "in_toto_attestation", "jwt", "securesystemslib", "sigstore", "sigstore_models"),
    *("cyclonedx", "distributed", "libarchive", "lief", "matplotlib", "spdx_tools", "unicorn", "z3"),
}


def test_the_tests_that_packagers_run_need_what_is_said_there() -> None:
    """One file that cannot be imported stops all of them."""
    folders = ("unit", "golden", "property", "cli")
    assert " ".join(f"tests/{name}" for name in folders) in (ROOT / "docs/packaging.md").read_text("utf-8")
    needed = set()
    for path in (path for name in folders for path in (ROOT / "tests" / name).rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Import):
                needed |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                needed.add((node.module or "").partition(".")[0])
    assert needed - sys.stdlib_module_names - _PACKAGED == {"stencilkit", "tests"}
