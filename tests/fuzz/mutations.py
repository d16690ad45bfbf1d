"""Seeded mutations that know a little of structure: numbers, lines, tokens and parts of other inputs, not only bits."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

_NUMBER: Final = re.compile(rb"-?[0-9]+")
_NUMBERS: Final = (b"0", b"-1", b"4294967296", b"18446744073709551616", b"9" * 40, b"9" * 5000, b"", b"-")
_ODD: Final = b"\0\t\n\v\r\x1b \"'\\\x7f\x85\xff"
_LARGEST: Final = 1 << 17


def mutate(data: bytes, seeds: Sequence[bytes], tokens: Sequence[bytes], rand: random.Random) -> bytes:
    """Change an input in one to four places."""
    for _ in range(rand.choice((1, 1, 1, 2, 2, 3, 4))):
        data = rand.choice(_MUTATIONS)(data, seeds, tokens, rand)
    return data[:_LARGEST]


def _place(data: bytes, rand: random.Random) -> tuple[int, int]:
    start = rand.randint(0, len(data))
    return start, min(len(data), start + rand.choice((1, 2, 4, 8, 30, 200)))


def _flip(data: bytes, _seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    if not data:
        return b"\0"
    at = rand.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rand.randrange(8)]) + data[at + 1 :]


def _byte(data: bytes, _seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    at = rand.randint(0, len(data))
    return data[:at] + bytes([rand.choice((*_ODD, rand.randrange(256)))]) + data[at + rand.randint(0, 1) :]


def _delete(data: bytes, _seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    start, end = _place(data, rand)
    return data[:start] + data[end:]


def _repeat(data: bytes, _seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    start, end = _place(data, rand)
    return data[:end] + data[start:end] * rand.choice((1, 2, 50)) + data[end:]


def _cut(data: bytes, _seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    return data[: rand.randint(0, len(data))]


def _token(data: bytes, _seeds: Sequence[bytes], tokens: Sequence[bytes], rand: random.Random) -> bytes:
    start, end = _place(data, rand)
    return data[:start] + rand.choice(tokens or _NUMBERS) + data[rand.choice((start, end)) :]


def _number(data: bytes, _seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    match = rand.choice(found)
    return data[: match.start()] + rand.choice(_NUMBERS) + data[match.end() :]


def _lines(data: bytes, _seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    lines = data.split(b"\n")
    one, other = rand.randrange(len(lines)), rand.randrange(len(lines))
    what = rand.randrange(3)
    if what == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif what == 1:
        lines.insert(one, lines[other])
    else:
        del lines[one]
    return b"\n".join(lines)


def _splice(data: bytes, seeds: Sequence[bytes], _tokens: Sequence[bytes], rand: random.Random) -> bytes:
    other = rand.choice(seeds)
    start, end = _place(other, rand)
    at = rand.randint(0, len(data))
    return data[:at] + other[start : end + rand.randint(0, 400)] + data[at:]


_MUTATIONS: Final[tuple[Callable[[bytes, Sequence[bytes], Sequence[bytes], random.Random], bytes], ...]] = (
    *(_flip, _byte, _delete, _repeat, _cut, _token, _token, _number, _lines, _splice),
)
