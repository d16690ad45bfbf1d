"""The published shapes of --format json: there is one for every answer, and it says what commands print.

Whether an answer has its shape is asked wherever any test sees one (tests/answers.py).
"""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from stencilkit import cli
from stencilkit.cli import _schemas
from tests import answers, scripts

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "schemas"


def printed() -> Iterator[str]:
    """List the kinds of answers that the commands print."""
    for path in sorted(Path(cli.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "print_json":
                assert isinstance(node.args[0], ast.Constant), path
                yield str(node.args[0].value)


def test_every_answer_has_a_schema_and_every_schema_an_answer() -> None:
    assert sorted(printed()) == sorted(_schemas.ANSWERS), "a row in stencilkit/cli/_schemas, then: make schemas"


def test_a_kind_means_one_shape() -> None:
    tables = [family.ANSWERS for family in _schemas._FAMILIES] + [_schemas.FILES]
    kinds = [kind for table in tables for kind in table]
    assert sorted(kinds) == sorted({*_schemas.ANSWERS, *_schemas.FILES})


def test_every_command_with_json_prints_an_answer() -> None:
    """A command that offers --format json prints through print_json, or something that a standard describes."""
    for name in cli._COMMANDS:
        command = importlib.import_module(f"stencilkit.cli.{name}").command
        for one in (command, *getattr(command, "commands", {}).values()):
            choices = [option.type.choices for option in one.params if option.name == "form"]
            if choices and "json" in choices[0]:
                described = [row.commands for row in _schemas.ANSWERS.values()]
                assert any(words.split()[0] == name for row in described for words in row), name


def test_what_is_published_is_what_the_table_says() -> None:
    module = scripts.script("docs/json_schemas.py")
    pages: dict[Path, str] = module.pages()
    assert sorted(pages) == sorted(PUBLISHED.iterdir()), "run: make schemas"
    assert [path.name for path, text in pages.items() if path.read_text("utf-8") != text] == [], "run: make schemas"


@pytest.mark.parametrize("kind", [*_schemas.ANSWERS, *_schemas.FILES])
def test_published_schemas_are_schemas(kind: str) -> None:
    document = json.loads((PUBLISHED / f"{kind}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(document)
    assert f"`{kind}`" in (ROOT / "docs" / "json.md").read_text("utf-8")


def test_an_answer_of_another_shape_is_found() -> None:
    good: dict[str, Any] = {"schema": 1, "kind": "source", "version": "3.14.7", "folder": "/a"}
    answers.check(good)
    for bad in ({"version": 3}, {"more": ""}, {"schema": 2}):
        with pytest.raises(AssertionError, match="not what its schema says"):
            answers.check({**good, **bad})
    with pytest.raises(AssertionError, match="not what its schema says"):
        answers.check({name: value for name, value in good.items() if name != "folder"})
    # Others' programs read on where a later stencilkit says more.
    Draft202012Validator(_schemas.document("source")).validate({**good, "more": ""})
    with pytest.raises(ValidationError):
        Draft202012Validator(_schemas.document("source")).validate({**good, "version": 3})
