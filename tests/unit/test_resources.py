"""What of stencilkit's own code counts in a digest."""

from __future__ import annotations

import hashlib

import pytest

from stencilkit.support import resources

MODULE = '''\
"""What it is about."""

from typing import Final

LIMIT: Final = 8
"""How far it goes."""
NAMES: Final = ("one", "two")


def shown(number: int, *more: int) -> str:
    """Write a number."""
    # The width is that of the longest.
    width = LIMIT * 2
    if more:
        return f"{number!r:>{width * 2}}" f" {more[0]:#x}{{}}" + '"'
    return "" if number is None else {"a": [], **{}}["a"] or str(not number)
'''
LAID_OUT = '''\
# Another comment.
from typing import Final
LIMIT: Final = (8)
NAMES: Final = (
    "one",
    'two',  # the second
)
def shown(
    number: int,
    *more: int,
) -> str:
    """Say
    more.
    """
    width = LIMIT*2

    if more:
        return (
            f'{number!r:>{width * 2}}'
            f" {more[0]:#x}{{}}"
            + "\\""
        )
    return "" if number is None else {"a": [], **{}}["a"] or str(not number)
'''


def test_comments_docstrings_and_layout_are_no_logic() -> None:
    assert resources.logic(MODULE) == resources.logic(LAID_OUT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT * 2", "LIMIT * 3"),
        ("LIMIT * 2", "LIMIT + 2"),
        ('("one", "two")', '("two", "one")'),
        ('("one", "two")', '"onetwo"'),
        ("!r:>", "!s:>"),
        (":>{", ":<{"),
        ("is None", "is not None"),
        ('"" if', '" " if'),
        ("*more: int", "*more: str"),
        ("    if more:\n        return f", "    if more:\n        pass\n    return f"),
    ],
)
def test_everything_else_is(old: str, new: str) -> None:
    changed = MODULE.replace(old, new, 1)
    assert changed != MODULE
    assert resources.logic(changed) != resources.logic(MODULE)


def test_every_python_writes_the_same() -> None:
    digest = hashlib.sha256(resources.logic(MODULE).encode()).hexdigest()
    assert digest == "1487409221cdd96f267b76c3beb10fbf1982937460859047ce63fb87c277c36f"
