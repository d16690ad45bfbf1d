"""The normal form of terms: whatever is made from symbols is worth what the operations say."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from stencilkit.prove import memory, solving, terms
from stencilkit.prove.memory import Memory
from stencilkit.prove.solver import Solver
from stencilkit.prove.terms import Term

WIDTHS = (1, 8, 16, 32, 64)
SYMBOLS = ("a", "b", "c")
NUMBERS = st.one_of(
    st.sampled_from((0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 1 << 31, (1 << 64) - 1)),
    st.integers(0, (1 << 64) - 1),
)


class Given:
    def __init__(self, values: dict[str, int]) -> None:
        self.values = values

    def symbol(self, name: str) -> int:
        return self.values[name.partition(":")[0]]

    def word(self, name: str, address: int) -> int:
        # Memory whose byte at an address follows from it.
        return int.from_bytes(bytes((address + number) * 37 >> 3 & 0xFF for number in range(8)), "little")

    def function(self, name: str, values: list[int]) -> int:
        assert name.startswith("mul")
        return values[0] * values[1]


Both = tuple[Term, "object"]


def mask(width: int) -> int:
    return (1 << width) - 1


def signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> width - 1 & 1 else value


def leaf(draw: st.DrawFn, width: int, values: dict[str, int]) -> tuple[Term, int]:
    if draw(st.booleans()):
        value = draw(NUMBERS) & mask(width)
        return terms.const(value, width), value
    name = draw(st.sampled_from(SYMBOLS))
    return terms.extract(terms.sym(name), 0, width), values[name] & mask(width)


def build(draw: st.DrawFn, width: int, depth: int, values: dict[str, int]) -> tuple[Term, int]:  # noqa: C901, PLR0911, PLR0912
    """Draw an expression; return it as a term, and its value worked out here."""
    if depth == 0:
        return leaf(draw, width, values)
    kind = draw(st.sampled_from(("two", "two", "two", "shift", "wide", "narrow", "ite", "compare", "number", "invert")))

    def sub(size: int = width) -> tuple[Term, int]:
        return build(draw, size, depth - 1, values)

    if kind == "two":
        (one, x), (other, y) = sub(), sub()
        name = draw(st.sampled_from(("add", "sub", "mul", "and", "or", "xor")))
        if name in ("and", "or", "xor"):
            return terms.bitwise(name, one, other), {"and": x & y, "or": x | y, "xor": x ^ y}[name]
        return getattr(terms, name)(one, other), {"add": x + y, "sub": x - y, "mul": x * y}[name] & mask(width)
    if kind == "invert":
        one, x = sub()
        return terms.invert(one), x ^ mask(width)
    if kind == "number":
        one, x = sub()
        number = draw(NUMBERS) & mask(width)
        name = draw(st.sampled_from(("and", "or", "xor")))
        value = {"and": x & number, "or": x | number, "xor": x ^ number}[name]
        return terms.bitwise(name, one, terms.const(number, width)), value
    if kind == "shift":
        one, x = sub()
        by = draw(st.integers(0, width + 1))
        count = terms.const(by, width)
        by &= mask(width)
        name = draw(st.sampled_from(("shl", "lshr", "ashr")))
        value = {"shl": x << by, "lshr": x >> by, "ashr": signed(x, width) >> by}[name] & mask(width)
        return terms.shift(name, one, count), value
    if kind == "wide" and width > 1:
        small = draw(st.sampled_from([size for size in WIDTHS if size < width]))
        one, x = sub(small)
        if draw(st.booleans()):
            return terms.zext(one, width), x
        return terms.sext(one, width), signed(x, small) & mask(width)
    if kind == "narrow" and width < 64:
        large = draw(st.sampled_from([size for size in WIDTHS if size > width]))
        one, x = sub(large)
        low = draw(st.integers(0, large - width))
        return terms.extract(one, low, width), x >> low & mask(width)
    if kind == "ite":
        (truth, t), (one, x), (other, y) = sub(1), sub(), sub()
        return terms.ite(truth, one, other), x if t else y
    if kind == "compare" and width == 1:
        size = draw(st.sampled_from(WIDTHS))
        (one, x), (other, y) = sub(size), sub(size)
        name = draw(st.sampled_from(("eq", "less", "below")))
        if name == "eq":
            return terms.eq(one, other), int(x == y)
        if name == "below":
            return terms.less(one, other, is_signed=False), int(x < y)
        return terms.less(one, other, is_signed=True), int(signed(x, size) < signed(y, size))
    return leaf(draw, width, values)


@st.composite
def expressions(draw: st.DrawFn) -> tuple[Term, int, dict[str, int]]:
    values = {name: draw(NUMBERS) for name in SYMBOLS}
    width = draw(st.sampled_from(WIDTHS))
    term, value = build(draw, width, draw(st.integers(1, 4)), values)
    return term, value, values


@settings(max_examples=1500, deadline=None)
@given(expressions())
def test_a_term_is_worth_what_its_operations_say(drawn: tuple[Term, int, dict[str, int]]) -> None:
    term, value, values = drawn
    assert terms.evaluate(term, Given(values), {}) == value, term


def test_multiples_of_choices_have_one_form() -> None:
    """8 * (csel 0, 1), widened from 32 bits or not, csel 0, 8 and 8 - 8 * cset: clang 19 and 22 on aarch64."""
    truth, base = terms.eq(terms.sym("a"), terms.const(0)), terms.sym("b")
    narrow = terms.ite(truth, terms.const(0, 32), terms.const(1, 32))
    wide = terms.ite(truth, terms.const(0), terms.const(8))
    bit = terms.zext(truth, 64)
    forms = [terms.scale(terms.zext(narrow, 64), 8), wide, terms.sub(terms.const(8), terms.scale(bit, 8))]
    assert len({terms.add(base, form) for form in forms}) == 1
    signed_bit = terms.scale(terms.sext(narrow, 64), 8)
    assert terms.add(base, signed_bit) is terms.add(base, wide)
    assert terms.add(base, terms.scale(bit, 8)) is not terms.add(base, wide)


@settings(max_examples=1000, deadline=None)
@given(
    st.integers(0, 4),
    st.booleans(),
    st.integers(0, 20),
    NUMBERS,
    st.integers(0, 63),
    st.fixed_dictionaries(dict.fromkeys(SYMBOLS, NUMBERS)),
)
def test_what_is_in_the_low_bits_of_an_address_is_worth_what_its_operations_say(
    zeros: int, chosen: bool, tag: int, number: int, low: int, values: dict[str, int]
) -> None:
    a, b, c = (terms.sym(name) for name in SYMBOLS)
    base, base_value = terms.scale(a, 1 << zeros), values["a"] << zeros
    if chosen:
        truth = terms.eq(b, c)
        base = terms.ite(truth, base, terms.scale(b, 1 << zeros))
        base_value = base_value if values["b"] == values["c"] else values["b"] << zeros
    bits = terms.zext(terms.extract(c, 0, 1), 64)
    small, value = terms.bitwise("or", terms.const(tag), bits), tag | values["c"] & 1
    whole, worth = terms.bitwise("or", base, small, terms.const(number & 7)), base_value | value | number & 7
    width = 64 - low
    rows = [
        (whole, worth),
        (terms.extract(whole, low, width), worth >> low & mask(width)),
        (terms.extract(terms.add(base, small), low, width), (base_value + value & mask(64)) >> low),
        (terms.eq(base, terms.scale(c, 8)), int(base_value & mask(64) == values["c"] << 3 & mask(64))),
        (terms.less(whole, terms.const(1 << low), is_signed=False), int(worth & mask(64) < 1 << low)),
        (terms.eq(terms.bitwise("xor", a, b), terms.const(0)), int(values["a"] == values["b"])),
    ]
    for term, expected in rows:
        assert terms.evaluate(term, Given(values), {}) == expected & mask(term.width), term


def test_a_tag_has_one_form_however_it_is_put_into_an_address() -> None:
    """Or 1 and add 1, by clang 19 and 23: where bits are zero, they are the same."""
    one, other = (terms.scale(terms.zext(terms.sym(name, 61), 64), 8) for name in ("a", "b"))
    tag = terms.zext(terms.sym("bit", 1), 64)
    for base in (one, terms.ite(terms.sym("c", 1), one, other), terms.offset(one, 0x7610)):
        for number in (terms.const(1), tag, terms.const(7)):
            assert terms.bitwise("or", base, number) is terms.add(base, number)
            assert terms.extract(terms.add(base, number), 3, 61) is terms.extract(base, 3, 61)
        assert terms.bitwise("or", base, terms.const(8)) is not terms.offset(base, 8)
    free = terms.sym("a")
    assert terms.bitwise("or", free, terms.const(1)) is not terms.offset(free, 1)
    assert terms.bitwise("or", terms.scale(free, 2), terms.const(3)) is not terms.offset(terms.scale(free, 2), 3)


def test_what_is_equal_but_for_a_tag_has_one_form() -> None:
    """(a & ~1) == (b & ~1) and (a ^ b) < 2: clang 19 and 23, of references to objects."""
    a, b = terms.sym("a"), terms.sym("b")
    masked = [terms.bitwise("and", one, terms.const(-2)) for one in (a, b)]
    assert terms.eq(*masked) is terms.less(terms.bitwise("xor", a, b), terms.const(2), is_signed=False)
    assert terms.eq(*masked) is not terms.eq(a, b)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from((8, 16, 31)),
    st.lists(st.tuples(st.sampled_from(SYMBOLS), st.one_of(st.integers(-4, 4), NUMBERS)), min_size=1, max_size=3),
    st.one_of(st.integers(-4, 4), NUMBERS),
    st.fixed_dictionaries(dict.fromkeys(SYMBOLS, NUMBERS)),
)
def test_a_wide_sum_is_worth_what_the_narrow_one_is(
    size: int, rows: list[tuple[str, int]], number: int, values: dict[str, int]
) -> None:
    narrow = [(terms.zext(terms.extract(terms.sym(name), 0, size), 32), factor) for name, factor in rows]
    one = terms.add(terms.const(number, 32), *(terms.scale(term, factor) for term, factor in narrow))
    whole = number + sum(factor * (values[name] & mask(size)) for name, factor in rows)
    assert terms.evaluate(terms.sext(one, 64), Given(values), {}) == signed(whole & mask(32), 32) & mask(64)
    assert terms.evaluate(terms.zext(one, 64), Given(values), {}) == whole & mask(32)
    for other in (number, number - 1, whole, whole + 1):
        for left, right in itertools.permutations((one, terms.const(other, 32))):
            below = terms.evaluate(left, Given(values), {}) < terms.evaluate(right, Given(values), {})
            assert terms.evaluate(terms.less(left, right, is_signed=False), Given(values), {}) == below
    inverted, value = terms.invert(narrow[0][0]), ~(values[rows[0][0]] & mask(size)) & mask(64)
    assert terms.evaluate(terms.sext(inverted, 64), Given(values), {}) == value


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SYMBOLS), st.sampled_from((1, -1, 2, -8))), min_size=2, max_size=3),
    st.lists(st.tuples(st.booleans(), st.integers(-9, 9), st.integers(1, 20)), min_size=1, max_size=4),
    st.fixed_dictionaries(dict.fromkeys(SYMBOLS, st.integers(0, 255))),
)
def test_what_is_solved_is_true_whenever_the_rows_are(
    parts: list[tuple[str, int]], bounds: list[tuple[bool, int, int]], values: dict[str, int]
) -> None:
    """Whatever sums are compared with, of values that make all rows true; so rows are compared with where these are."""
    total = terms.add(*(terms.scale(terms.sym(name, 8), factor) for name, factor in parts))
    worth = terms.evaluate(total, Given(values), {})
    rows = [
        terms.less(terms.offset(total, more - worth), terms.const(most, 8), is_signed=False) for _, more, most in bounds
    ]
    rows = [row if holds else terms.invert(row) for row, (holds, _, _) in zip(rows, bounds, strict=True)]
    rows.append(terms.eq(terms.sub(terms.sym("a", 8), terms.sym("b", 8)), terms.const(values["a"] - values["b"], 8)))
    if all(terms.evaluate(row, Given(values), {}) for row in rows):
        assert all(terms.evaluate(row, Given(values), {}) for row in solving.solved(rows))


def test_what_is_below_a_number_has_one_form_where_it_cannot_wrap() -> None:
    """-2 - oparg, and ~oparg, of 32 bits or 64: clang on aarch64 finds values on the stack by them."""
    oparg = terms.sym("oparg", 16)
    narrow, wide = terms.zext(oparg, 32), terms.zext(oparg, 64)
    for least in (0, -2, -0x7FFF0001):
        assert terms.sext(terms.sub(terms.const(least, 32), narrow), 64) is terms.sub(terms.const(least), wide)
    assert terms.sext(terms.invert(narrow), 64) is terms.sub(terms.const(-1), wide)
    for below in (terms.sub(terms.const(-0x7FFF0002, 32), narrow), terms.scale(narrow, 0x8001), terms.sym("a", 32)):
        assert terms.sext(below, 64).op == "sext"
    assert terms.sext(terms.add(narrow, terms.const(0x7FFF0000, 32)), 64).op == "sum"
    assert terms.sext(terms.add(narrow, terms.const(0x7FFF0001, 32)), 64).op == "sext"


def test_a_multiple_that_cannot_wrap_has_one_form_in_any_width() -> None:
    """8 * oparg, of 32 bits or 64: LLVM 18 and 23 find values on the stack by it."""
    oparg = terms.sym("oparg", 16)
    narrow, wide = terms.zext(oparg, 32), terms.zext(oparg, 64)
    assert terms.zext(terms.scale(narrow, 8), 64) is terms.scale(wide, 8)
    most = terms.const(0xFFFF_FFFF - 8 * 0xFFFF, 32)
    assert terms.zext(terms.add(terms.scale(narrow, 8), most), 64).op == "sum"
    for wraps in (terms.offset(terms.add(terms.scale(narrow, 8), most), 1), terms.scale(narrow, -1)):
        assert terms.zext(wraps, 64).op == "concat"
    assert terms.zext(terms.offset(terms.sym("a", 32), 1), 64).op == "concat"


@st.composite
def truths(draw: st.DrawFn) -> list[Term]:
    """Draw conditions that some values make true."""
    values = {name: draw(NUMBERS) for name in SYMBOLS}
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.sampled_from(WIDTHS))
        (one, x), (other, y) = (build(draw, width, 3, values) for _ in range(2))
        less = terms.less(one, other, is_signed=False)
        rows.append(terms.eq(one, terms.const(x, width)) if x == y else less if x < y else terms.invert(less))
    return rows


@settings(max_examples=300, deadline=None)
@given(truths(), st.booleans())
def test_a_cheap_question_never_rules_out_what_is_true(rows: list[Term], sums: bool) -> None:
    assert not Solver(10_000_000, 1_000_000).impossible(rows, sums=sums)


ACCESSES = st.lists(
    st.tuples(st.sampled_from(SYMBOLS), st.integers(-20, 20), st.sampled_from((1, 2, 4, 8, 16)), NUMBERS),
    min_size=1,
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(
    ACCESSES, st.tuples(st.sampled_from(SYMBOLS), st.integers(-20, 20), st.sampled_from((1, 2, 4, 8, 16))), st.data()
)
def test_memory_is_worth_what_was_written(
    writes: list[tuple[str, int, int, int]], read: tuple[str, int, int], data: st.DataObject
) -> None:
    values = {name: 0x1000 + data.draw(st.integers(0, 24)) for name in SYMBOLS}
    held = Memory("memory")
    truth = {address: address * 37 >> 3 & 0xFF for address in range(0xF00, 0x1100)}
    for name, offset, size, number in writes:
        value = number & mask(8 * size)
        held = held.write(terms.offset(terms.sym(name), offset), terms.const(value, 8 * size))
        for index, byte in enumerate(value.to_bytes(size, "little")):
            truth[values[name] + offset + index] = byte
    name, offset, size = read
    address = values[name] + offset
    expected = int.from_bytes(bytes(truth[address + index] for index in range(size)), "little")
    assert terms.evaluate(held.read(terms.offset(terms.sym(name), offset), size), Given(values), {}) == expected
    anywhere = memory.byte_at(held, terms.sym("c"))
    assert terms.evaluate(anywhere, Given(values), {}) == truth[values["c"]]
