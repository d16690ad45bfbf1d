"""What a path has found of a reference's tag is known of the address that code makes of it."""

from __future__ import annotations

import pytest

from stencilkit.prove import facts, tags, terms
from stencilkit.prove.assumptions import BEHIND_SYMBOLS
from stencilkit.prove.facts import Facts
from stencilkit.prove.terms import Term

X, Y = terms.sym("x"), terms.sym("y")
LOW = terms.extract(X, 0, 1)


def untagged(reference: Term) -> Term:
    return terms.bitwise("and", reference, terms.const(-2))


def flag(address: Term) -> Term:
    return terms.extract(terms.word("memory", terms.offset(address, 8)), 3, 1)


def clear(bits: Term) -> Term:
    return terms.eq(bits, terms.const(0, bits.width))


@pytest.mark.parametrize(
    "fact",
    [
        terms.invert(LOW),
        clear(terms.extract(X, 0, 2)),
        clear(terms.scale(terms.extract(X, 0, 3), 2)),
        clear(terms.scale(terms.extract(X, 0, 2), -1)),
    ],
)
def test_a_clear_tag_is_taken_off_wherever_the_reference_is(fact: Term) -> None:
    known = Facts().plus(fact, flag(X))
    assert tags.decided(known, flag(untagged(X))) is True
    assert tags.decided(known, terms.invert(flag(untagged(X)))) is False
    assert tags.decided(Facts().plus(fact, flag(untagged(X))), flag(X)) is True


@pytest.mark.parametrize(
    "fact",
    [
        LOW,
        terms.extract(X, 1, 1),
        terms.invert(terms.extract(X, 1, 1)),
        terms.invert(clear(terms.extract(X, 0, 2))),
        terms.eq(terms.extract(X, 0, 2), terms.const(2, 2)),
        terms.invert(terms.extract(Y, 0, 1)),
    ],
)
def test_a_tag_that_is_not_known_to_be_clear_is_left(fact: Term) -> None:
    assert tags.decided(Facts().plus(fact, flag(X)), flag(untagged(X))) is None


def test_a_reference_behind_another_one_is_found_with_both_tags_taken_off() -> None:
    inner = terms.word("memory", X)
    through = terms.word("memory", untagged(X))
    known = Facts().plus(terms.invert(LOW), terms.invert(terms.extract(inner, 0, 1)), flag(inner))
    assert tags.decided(known, flag(untagged(through))) is True
    assert tags.decided(Facts().plus(*known.rows[1:]), flag(untagged(through))) is None


def test_what_is_not_known_stays_open() -> None:
    assert tags.decided(Facts().plus(terms.invert(LOW)), flag(X)) is None
    assert tags.decided(Facts(), flag(X)) is None


@pytest.mark.parametrize("alignment", [1, 8])
def test_a_place_within_a_symbol_is_not_null(alignment: int) -> None:
    symbol = terms.multiple("&_PyRuntime", 64, alignment)
    place = terms.add(terms.offset(symbol, 0x76B8), terms.scale(terms.zext(terms.sym("oparg", 16), 64), 32))
    assert facts.is_null([symbol], clear(place)) is False
    assert facts.is_null([symbol], terms.invert(clear(place))) is True


def test_what_may_be_before_a_symbol_or_far_behind_it_may_be_null() -> None:
    symbol = terms.sym("&symbol")
    far = terms.zext(terms.sym("number", 32), 64)
    for place in (
        terms.offset(symbol, -1),
        terms.offset(symbol, BEHIND_SYMBOLS),
        terms.add(symbol, far),
        terms.add(symbol, X),
        terms.sub(symbol, terms.zext(terms.sym("oparg", 16), 64)),
        terms.scale(symbol, 2),
        X,
    ):
        assert facts.is_null([symbol], clear(place)) is None
    assert facts.is_null([], clear(terms.offset(symbol, 1))) is None
    assert facts.is_null([symbol], flag(X)) is None


def test_a_symbol_of_thirty_two_bits_may_be_at_the_end_of_memory() -> None:
    symbol = terms.sym("_symbol", 32)
    assert facts.is_null([symbol], clear(terms.offset(symbol, 8))) is None
