"""What --format json prints, and what files in JSON contain, compared with the published schemas."""

from __future__ import annotations

import functools
import json
from typing import Any

from jsonschema import Draft202012Validator

from stencilkit.cli import _schemas


@functools.cache
def validator(kind: str) -> Draft202012Validator:
    """Return what checks an answer; a field that its schema does not describe is a mistake here."""
    known = {**_schemas.ANSWERS, **_schemas.FILES}
    assert kind in known, f"{kind} has no row in stencilkit/cli/_schemas; after adding it: make schemas"
    return Draft202012Validator(_schemas.closed(_schemas.document(kind)))


def check(answer: dict[str, Any]) -> None:
    """Fail where an answer has another shape than its schema says."""
    problems = [f"{error.json_path}: {error.message[:300]}" for error in validator(answer["kind"]).iter_errors(answer)]
    assert not problems, f"an answer of kind {answer['kind']} is not what its schema says: {problems}"


def check_text(text: str) -> None:
    """Do the same for the output of a command, where it is such an answer."""
    if text.startswith('{\n  "schema"'):
        check(json.loads(text))
