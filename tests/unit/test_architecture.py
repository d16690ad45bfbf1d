"""The rules of the architecture, held over the source itself: imports go one way, outside things have one door.

Each rule is a function from a module to what is wrong with it, and is shown to find what it is there to find.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

import stencilkit
from stencilkit import errors
from stencilkit.cli import _options
from stencilkit.model.target import Target

PACKAGE = Path(stencilkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NO_STAGES = {"cli", "model", "support", "templates", "pipeline", "errors", "__init__", "__main__"}

# Outside thing -> the modules that may import it (paths without .py; a folder stands for all that is in it).
DOORS = {
    "subprocess": ("support/process",),
    "signal": ("support/process", "cli"),
    "click": ("cli",),
    "rich": ("cli",),
    "elftools": ("objects/elf",),
    "lief": ("programs/worker",),
    "libarchive": ("packages",),
    "jinja2": ("report",),
    "tomli_w": ("manifest",),
    "tomllib": ("support/fields",),
    "capstone": ("disassemble",),
    "in_toto_attestation": ("attest/_statement",),
    "google": ("attest/_statement",),
    "securesystemslib": ("attest/_keys",),
    "cryptography": ("attest/_keys",),
    "sigstore": ("attest/_keyless",),
    "cyclonedx": ("sbom/_cyclonedx",),
    "spdx_tools": ("sbom/_spdx",),
    "z3": ("prove/solver",),
    "unicorn": ("prove/emulate",),
    "matplotlib": ("report/_plots",),
    "markupsafe": ("report/_pages",),
    "distributed": ("support/cluster",),
    "multiprocessing": ("support/forks",),
    "urllib": ("support/download",),
    "http": ("support/download",),
    "socket": (),
    "pickle": (),
    "random": (),
    "secrets": (),
    "time": ("support/environ", "support/download", "jittest/probes"),
    "datetime": ("support/environ",),
    "tempfile": ("support/files",),
    "tarfile": ("support/archive",),
    "zipfile": (),
    "shelve": (),
}
# Platforms may be distinguished here, and in tables (dicts of the form, not branches).
PLATFORM_WORDS = {"elf", "macho", "coff", "x86_64", "aarch64", "i686", "win32", "darwin", "linux"}
PLATFORM_HOMES = ("objects", "support", "asmopt")
SERIES = re.compile(r"^3\.1\d")
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.listdir", "sys.platform", "os.system", "os.popen"}
# What a module of nouns does without: methods of paths that touch a disk, and modules that do.
FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "iterdir"}
FILES |= {"glob", "rglob", "mkdir", "unlink", "resolve", "stat", "touch", "symlink_to"}
OUTSIDE = {"os", "sys", "io", "shutil", "argparse"}

ERRORS = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
# Errors without a next step -> where they are made. Somebody else reports them in other words: compiling.py and
# companions.py name the file and the next step, and a damaged entry of the cache is made anew; attest.gather lists why
# a stranger's file does not count; doctor lists why a program was rejected; the others are rows of a table of results.
STEPLESS = {
    "ObjectError": ("objects", "pipeline/keeping"),
    "AttestationError": ("attest",),
    "ProcessError": ("toolchain/_asking", "pipeline/qualifying"),
    "ToolchainError": ("pipeline/qualifying",),
    "ClusterError": ("pipeline/clustering",),
    "ManifestError": ("pipeline/subject",),
}

# A module of 300 lines is not split for five more.
LONGEST = 350

Rule = Callable[[str, ast.Module], Iterator[str]]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imported(tree: ast.Module) -> tuple[str, ...]:
    """List the dotted names of everything that a module imports, at the top or within functions."""
    return tuple(_imported(tree))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One that is relative is none of the known names, and is refused by ruff.
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) == "import_module":
            yield from constants(ast.Tuple(node.args))


def called(node: ast.Call) -> str:
    """Return the last name of what is called, "" where it has none."""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def layer(name: str) -> str:
    return name.split("/", 1)[0]


def is_within(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}/")


@functools.cache
def stages() -> frozenset[str]:
    return frozenset(layer(name_of(path)) for path in MODULES) - NO_STAGES


LAYERS: Final = frozenset(layer(name_of(path)) for path in MODULES)


@functools.cache
def allowed_layers(name: str) -> frozenset[str]:
    """Name the layers that a module of some layer may import: model <- support <- stage <- pipeline <- cli."""
    beneath = {"errors", "model", "support"}
    if name in ("errors", "__init__"):
        return frozenset()
    if name == "model":
        return frozenset({"errors", "model"})
    if name == "support":
        return frozenset(beneath)
    if name in stages():
        return frozenset({*beneath, name})
    if name == "pipeline":
        return frozenset({*beneath, "pipeline", *stages()})
    return LAYERS


def imports_go_one_way(name: str, tree: ast.Module) -> Iterator[str]:
    for dotted in imported(tree):
        parts = dotted.split(".")
        if parts[0] == "stencilkit" and len(parts) > 1 and parts[1] in LAYERS - allowed_layers(layer(name)):
            yield f"imports {dotted}"


def outside_things_have_one_door(name: str, tree: ast.Module) -> Iterator[str]:
    for dotted in imported(tree):
        doors = DOORS.get(dotted.split(".")[0])
        if doors is not None and not any(is_within(name, door) for door in doors):
            yield f"imports {dotted}"


def environment_has_one_door(name: str, tree: ast.Module) -> Iterator[str]:
    """os.environ is read in support/environ.py, and by support/process.py, which makes the environment of children."""
    if name in ("support/environ", "support/process"):
        return
    yield from (dotted for dotted in imported(tree) if dotted in ENVIRONMENT)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            spelt = f"{node.value.id}.{node.attr}"
            if spelt in ENVIRONMENT:
                yield spelt


def conditions(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield all that decides something: tests of branches and loops, comparisons, and patterns of match."""
    for node in ast.walk(tree):
        match node:
            case ast.If() | ast.IfExp() | ast.While() | ast.Assert():
                yield node.test
            case ast.comprehension():
                yield from node.ifs
            case ast.Compare():
                yield node
            case ast.Match():
                yield node.subject
                yield from (case.pattern for case in node.cases)


def constants(expression: ast.AST) -> set[str]:
    return {
        node.value for node in ast.walk(expression) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def versions_are_asked_for_in_dialects_only(name: str, tree: ast.Module) -> Iterator[str]:
    # model/version.py is about numbers, LLVM's among them.
    if layer(name) == "dialects" or name == "model/version":
        return
    for test in conditions(tree):
        if any(SERIES.match(text) for text in constants(test)):
            yield ast.unparse(test)
        # A minor version, or a tuple like that of sys.version_info:
        for node in ast.walk(test):
            if isinstance(node, ast.Attribute) and node.attr in ("minor", "version_info"):
                yield ast.unparse(test)
            if isinstance(node, ast.Tuple) and len(node.elts) > 1:
                first, second = (getattr(element, "value", None) for element in node.elts[:2])
                if first == 3 and isinstance(second, int):
                    yield ast.unparse(test)


def platforms_are_asked_for_in_objects_and_tables_only(name: str, tree: ast.Module) -> Iterator[str]:
    if layer(name) not in PLATFORM_HOMES:
        yield from (ast.unparse(test) for test in conditions(tree) if constants(test) & PLATFORM_WORDS)


def models_are_nouns(name: str, tree: ast.Module) -> Iterator[str]:
    """A module of model/ touches no disk and parses no command line."""
    if layer(name) != "model":
        return
    yield from (f"imports {dotted}" for dotted in imported(tree) if dotted.split(".")[0] in OUTSIDE)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if (isinstance(called, ast.Attribute) and called.attr in FILES) or (
                isinstance(called, ast.Name) and called.id == "open"
            ):
                yield ast.unparse(node)


def public_things_have_docstrings(_name: str, tree: ast.Module) -> Iterator[str]:
    """Modules, classes, functions and methods; but what Python itself calls is described by its class."""
    if not ast.get_docstring(tree):
        yield "the module"
    places: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    for prefix, place in places:
        for node in place.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    yield prefix + node.name
                if isinstance(node, ast.ClassDef):
                    places.append((f"{node.name}.", node))


def docstrings_count_no_stages(_name: str, tree: ast.Module) -> Iterator[str]:
    if (ast.get_docstring(tree) or "").startswith("Stage "):
        yield str(ast.get_docstring(tree))[:20]


def modules_have_one_subject(_name: str, tree: ast.Module) -> Iterator[str]:
    """What is longer than about 300 lines has had two so far."""
    lines = max((node.end_lineno or 0 for node in tree.body), default=0)
    if lines > LONGEST:
        yield f"{lines} lines"


def errors_say_what_to_do_next(name: str, tree: ast.Module) -> Iterator[str]:
    """An error that a user may meet has a next step; in STEPLESS are those that never reach a user as they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (called(node) in ERRORS or called(node) == "error"):
            steps = any(keyword.arg == "fix" for keyword in node.keywords)
            if not steps and not any(is_within(name, place) for place in STEPLESS.get(called(node), ())):
                yield ast.unparse(node)


RULES: tuple[Rule, ...] = (
    errors_say_what_to_do_next,
    imports_go_one_way,
    outside_things_have_one_door,
    environment_has_one_door,
    versions_are_asked_for_in_dialects_only,
    platforms_are_asked_for_in_objects_and_tables_only,
    models_are_nouns,
    public_things_have_docstrings,
    docstrings_count_no_stages,
    modules_have_one_subject,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Rule) -> None:
    found = [f"{name_of(path)}: {problem}" for path in MODULES for problem in rule(name_of(path), tree_of(path))]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (imports_go_one_way, "model/x", "from stencilkit.support import files"),
        (imports_go_one_way, "support/x", "def f():\n    import stencilkit.manifest"),
        (imports_go_one_way, "errors", "from stencilkit.model import target"),
        (imports_go_one_way, "holes", "from stencilkit import dialects"),
        (imports_go_one_way, "pipeline/x", "from stencilkit.cli import _render"),
        (imports_go_one_way, "holes", "importlib.import_module('stencilkit.emit')"),
        (outside_things_have_one_door, "holes", "import_module('capstone')"),
        (outside_things_have_one_door, "pipeline/x", "import subprocess"),
        (outside_things_have_one_door, "model/x", "def f():\n    from elftools.elf import elffile"),
        (environment_has_one_door, "holes", "import os\nos.environ['X']"),
        (environment_has_one_door, "holes", "from os import getenv"),
        (environment_has_one_door, "holes", "import sys\nx = sys.platform"),
        (versions_are_asked_for_in_dialects_only, "emit", "if series == '3.14': pass"),
        (versions_are_asked_for_in_dialects_only, "emit", "new = version.series >= '3.14'"),
        (versions_are_asked_for_in_dialects_only, "emit", "match series:\n    case '3.13': pass"),
        (versions_are_asked_for_in_dialects_only, "emit", "[x for x in y if x.startswith('3.15')]"),
        (versions_are_asked_for_in_dialects_only, "emit", "y = 1 if version.minor > 13 else 2"),
        (versions_are_asked_for_in_dialects_only, "emit", "assert parts >= (3, 14)"),
        (platforms_are_asked_for_in_objects_and_tables_only, "emit", "while target.format == 'coff': pass"),
        (platforms_are_asked_for_in_objects_and_tables_only, "emit", "match arch:\n    case 'aarch64': pass"),
        (platforms_are_asked_for_in_objects_and_tables_only, "emit", "is_elf = form in ('elf', 'other')"),
        (models_are_nouns, "model/x", "def f(path):\n    return path.read_text()"),
        (models_are_nouns, "model/x", "import argparse"),
        (models_are_nouns, "model/x", "data = open('x')"),
        (public_things_have_docstrings, "emit", "x = 1"),
        (public_things_have_docstrings, "emit", '"""Doc."""\ndef f(): pass'),
        (public_things_have_docstrings, "emit", '"""Doc."""\nclass A:\n    """Doc."""\n    def f(self): pass'),
        (docstrings_count_no_stages, "emit", '"""Stage 3: emit."""'),
        (errors_say_what_to_do_next, "emit", "raise HeaderError('x', where='y')"),
        (errors_say_what_to_do_next, "pipeline/x", "raise ObjectError('x')"),
        (errors_say_what_to_do_next, "support/x", "def f(error):\n    raise error('x')"),
        (modules_have_one_subject, "emit", "x = 1" + "\n" * LONGEST + "y = 2"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_rule_finds_what_it_is_for(rule: Rule, name: str, text: str) -> None:
    assert list(rule(name, ast.parse(text)))


def test_doors_are_in_use() -> None:
    """What is written there of an outside thing is so: each door exists, and the thing comes in by it."""
    for thing, doors in DOORS.items():
        for door in doors:
            inside = [path for path in MODULES if is_within(name_of(path), door)]
            assert any(dotted.split(".")[0] == thing for path in inside for dotted in imported(tree_of(path))), door


def test_cache_keys_have_what_the_code_reads_of_a_target() -> None:
    """What compiling.py's stages read of a Target is in Target.code_key; and nothing else is."""
    places = ("compiler", "asmopt", "objects", "merge")
    read = {
        node.attr
        for path in MODULES
        if any(is_within(name_of(path), place) for place in places)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] == "target"
    } & {field.name for field in fields(Target)}
    property_ = ast.parse(textwrap.dedent(inspect.getsource(Target.code_key.fget)))  # type: ignore[attr-defined]
    keyed = {node.attr for node in ast.walk(property_) if isinstance(node, ast.Attribute)}
    assert keyed == read | {"triple"}


def test_facts_are_looked_up_once() -> None:
    """A dialect and a row of targets.toml are found in pipeline/knowing.py; a command may list the whole table."""
    asked = {
        (name_of(path), node.attr)
        for path in MODULES
        if layer(name_of(path)) in ("cli", "pipeline")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("dialects", "targets")
    }
    lookups = {(name, what) for name, what in asked if what not in ("header_forms", "variants", "digested_files")}
    assert lookups == {
        *(
            ("pipeline/knowing", what)
            for what in ("KNOWN", "dialect_for", "load", "resolve", "resolve_all", "is_pinned")
        ),
        *((f"cli/{name}", "load") for name in ("doctor", "targets")),
    }


def test_options_are_spelt_once() -> None:
    """What two commands have is in the table of cli/_options.py, and no command spells it again."""
    spelt: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree_of(path)) if layer(name_of(path)) == "cli" else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "click.option":
                for name in constants(ast.Tuple(node.args)):
                    if name.startswith("-"):
                        spelt.setdefault(name, []).append(name_of(path))
    assert {name: where for name, where in spelt.items() if len(where) > 1} == {}
    assert spelt.keys() & _options.SHARED.keys() == set()


def test_junit_has_one_writer() -> None:
    writers = [
        name_of(path)
        for path in MODULES
        if "<testsuite" in path.read_text("utf-8") or '"testsuite"' in path.read_text("utf-8")
    ]
    assert writers == ["support/junit"]


def test_pipeline_lists_what_it_does() -> None:
    """Its modules are named for what they do, and listed in its docstring."""
    names = {path.stem for path in (PACKAGE / "pipeline").glob("*.py")} - {"__init__"}
    listed = ast.get_docstring(tree_of(PACKAGE / "pipeline" / "__init__.py"))
    assert listed is not None
    assert not [name for name in names if name.startswith("_")]
    assert set(re.findall(r"(?:^|  )([a-z]+)  ", listed, re.MULTILINE)) == names


def test_the_package_says_what_its_stages_are() -> None:
    doc = str(stencilkit.__doc__)
    listed = re.findall(r"^(\w+) +\S", doc.partition("in order:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(stages())


def test_suppressions_carry_their_reason() -> None:
    for path in MODULES:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for marker in ("# noqa", "# type: ignore"):
                if marker in line:
                    rest = line.split(marker, 1)[1]
                    assert re.search(r"#\s*\S+", rest), f"{path}:{number} has no reason"
