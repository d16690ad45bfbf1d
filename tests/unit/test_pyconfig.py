"""Which words files have, and so which macros of pyconfig.h a stencil can see."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stencilkit.model import pyconfig


@given(st.lists(st.binary(max_size=40) | st.text("aZ09_ #\n\t", max_size=40).map(str.encode), max_size=3))
def test_words_are_those_that_an_expression_finds(texts: list[bytes]) -> None:
    found = {word.decode() for text in texts for word in re.findall(rb"[A-Za-z_]\w*", text)}
    assert pyconfig.words(texts) == found


def test_a_macro_is_visible_by_a_word_that_a_number_ends_in() -> None:
    seen = pyconfig.words([b"x = 1U_LONG;"])
    assert pyconfig.visible("#define U_LONG 1\n#define OTHER 2\n", seen).macros == {"U_LONG": "1"}
