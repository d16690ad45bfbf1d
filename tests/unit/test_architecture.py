"""The rules of the architecture, held over the source itself: imports go one way, outside things have one door."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import stencilkit
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
    "jinja2": ("emit", "report"),
    "tomli_w": ("manifest", "render", "manifest_text"),
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
    "tarfile": ("support",),
    "zipfile": ("support",),
    "shelve": (),
}
# Platforms may be told apart here, and in tables (dicts of the form, not branches).
PLATFORM_WORDS = {"elf", "macho", "coff", "x86_64", "aarch64", "i686", "win32", "darwin", "linux"}
PLATFORM_HOMES = ("objects", "support", "asmopt")
SERIES = re.compile(r"^3\.1\d")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, at the top or within functions."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(name: str) -> str:
    return name.split("/", 1)[0]


def is_within(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}/")


def stages() -> set[str]:
    return {layer(name_of(path)) for path in MODULES} - NO_STAGES


def own_imports(path: Path) -> set[str]:
    """Name the layers that a module imports from this package."""
    found = set()
    for dotted in imported(path):
        parts = dotted.split(".")
        if parts[0] == "stencilkit" and len(parts) > 1:
            found.add(parts[1])
    return {part for part in found if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    name = layer(name_of(path))
    allowed = {"errors"}
    if name == "errors":
        allowed = set()
    elif name == "model":
        allowed |= {"model"}
    elif name == "support":
        allowed |= {"model", "support"}
    elif name in stages():
        allowed |= {"model", "support", name}
    elif name == "pipeline":
        allowed |= {"model", "support", "pipeline", *stages()}
    else:
        return
    assert own_imports(path) <= allowed


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
    assert names <= set(re.findall(r"(?:^|  )([a-z]+)  ", listed, re.MULTILINE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_docstring_counts_stages(path: Path) -> None:
    assert "Stage " not in (ast.get_docstring(tree_of(path)) or "")[:6]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_outside_things_have_one_door(path: Path) -> None:
    name = name_of(path)
    for dotted in imported(path):
        doors = DOORS.get(dotted.split(".")[0])
        if doors is not None:
            assert any(is_within(name, door) for door in doors), f"{name} imports {dotted}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_environment_has_one_door(path: Path) -> None:
    """os.environ is read in support/environ.py, and by support/process.py, which makes the environment of children."""
    if name_of(path) in ("support/environ", "support/process"):
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            spelt = f"{node.value.id}.{node.attr}"
            assert spelt not in ("os.environ", "os.getenv", "os.listdir", "sys.platform", "os.system", "os.popen"), (
                spelt
            )


def conditions(path: Path) -> Iterator[ast.expr]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node.test
        elif isinstance(node, ast.Match):
            yield node.subject


def constants(expression: ast.expr) -> set[str]:
    return {
        node.value for node in ast.walk(expression) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_versions_are_asked_for_in_dialects_only(path: Path) -> None:
    if layer(name_of(path)) == "dialects":
        return
    for test in conditions(path):
        assert not [text for text in constants(test) if SERIES.match(text)], ast.unparse(test)
        # A minor version, or a tuple like that of sys.version_info:
        for node in ast.walk(test):
            assert not (isinstance(node, ast.Attribute) and node.attr == "minor"), ast.unparse(test)
            if isinstance(node, ast.Tuple) and len(node.elts) > 1:
                first, second = (getattr(element, "value", None) for element in node.elts[:2])
                assert not (first == 3 and isinstance(second, int)), ast.unparse(test)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_platforms_are_asked_for_in_objects_and_tables_only(path: Path) -> None:
    if layer(name_of(path)) in PLATFORM_HOMES:
        return
    for test in conditions(path):
        assert not constants(test) & PLATFORM_WORDS, ast.unparse(test)


def test_the_package_says_what_its_stages_are() -> None:
    doc = str(stencilkit.__doc__)
    listed = re.findall(r"^(\w+) +\S", doc.partition("in order:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(stages())


def test_every_module_and_public_thing_has_a_docstring() -> None:
    for path in MODULES:
        assert ast.get_docstring(tree_of(path)), path


def test_suppressions_carry_their_reason() -> None:
    for path in MODULES:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for marker in ("# noqa", "# type: ignore"):
                if marker in line:
                    rest = line.split(marker, 1)[1]
                    assert re.search(r"#\s*\S+", rest), f"{path}:{number} has no reason"
