"""The x87's numbers of 80 bits: exact, then rounded once, as it does with its control word set to 64 bits and nearest.

Intel SDM, volume 1, 4.2 and 4.8. What is not finite, or overflows, is `OutsideError`: nothing is learnt of it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class OutsideError(Exception):
    """The random state has an address that is not in the memory there is, or a number that is not worked with here."""


class Format(NamedTuple):
    """How many bits exponent and significand have; `explicit` says that the first bit of that is among them."""

    exponent: int
    significand: int
    explicit: bool = False

    @property
    def bias(self) -> int:
        return (1 << self.exponent - 1) - 1


SINGLE, DOUBLE, EXTENDED = Format(8, 24), Format(11, 53), Format(15, 64, explicit=True)


class Number(NamedTuple):
    """A number; zero has a sign too."""

    value: Fraction
    negative: bool


def decoded(bits: int, form: Format) -> Number:
    stored = form.significand - (not form.explicit)
    significand, rest = bits & (1 << stored) - 1, bits >> stored
    exponent, sign = rest & (1 << form.exponent) - 1, rest >> form.exponent
    if exponent == (1 << form.exponent) - 1:
        raise OutsideError
    if form.explicit and bool(exponent) != bool(significand >> stored - 1):
        raise OutsideError  # no number that is computed has such bits
    if exponent and not form.explicit:
        significand |= 1 << stored
    value = Fraction(significand) * Fraction(2) ** (max(exponent, 1) - form.bias - form.significand + 1)
    return Number(-value if sign else value, bool(sign))


def encoded(number: Number, form: Format) -> int:
    value = abs(number.value)
    exponent = 1
    if value:
        # The exponent of the first bit, as a guess that is then put right.
        first = value.numerator.bit_length() - value.denominator.bit_length()
        first -= value < Fraction(2) ** first
        exponent = max(first + form.bias, 1)
    significand = round(value / Fraction(2) ** (exponent - form.bias - form.significand + 1))
    if significand >> form.significand:
        significand, exponent = significand >> 1, exponent + 1
    if exponent >= (1 << form.exponent) - 1:
        raise OutsideError
    if not significand >> form.significand - 1:
        exponent = 0
    stored = form.significand - (not form.explicit)
    bits = exponent << stored | significand & (1 << stored) - 1
    return int(number.negative) << form.exponent + stored | bits


def converted(bits: int, source: Format, target: Format) -> int:
    return encoded(decoded(bits, source), target)


def of_integer(value: int) -> int:
    return encoded(Number(Fraction(value), value < 0), EXTENDED)


def add(one: int, other: int) -> int:
    left, right = decoded(one, EXTENDED), decoded(other, EXTENDED)
    total = left.value + right.value
    return encoded(Number(total, total < 0 if total else left.negative and right.negative), EXTENDED)


def sub(one: int, other: int) -> int:
    return add(one, other ^ 1 << 79)


def mul(one: int, other: int) -> int:
    left, right = decoded(one, EXTENDED), decoded(other, EXTENDED)
    return encoded(Number(left.value * right.value, left.negative != right.negative), EXTENDED)


def div(one: int, other: int) -> int:
    left, right = decoded(one, EXTENDED), decoded(other, EXTENDED)
    if not right.value:
        raise OutsideError
    return encoded(Number(left.value / right.value, left.negative != right.negative), EXTENDED)


def less(one: int, other: int) -> int:
    return int(decoded(one, EXTENDED).value < decoded(other, EXTENDED).value)


def unordered(one: int, other: int) -> int:
    decoded(one, EXTENDED)
    decoded(other, EXTENDED)
    return 0
