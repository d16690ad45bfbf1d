"""The book of a file's bytes: each belongs to one thing, none is left over, and a record is compared whole."""

from __future__ import annotations

import pytest

from stencilkit import objects, targets
from stencilkit.errors import ObjectError
from stencilkit.objects import bookkeeping
from stencilkit.objects.bookkeeping import Account, Names


def book(data: bytes, *parts: tuple[int, int]) -> Account:
    made = Account(data)
    for start, size in parts:
        made.take(start, size, f"part {start}")
    return made


def test_every_byte_belongs_to_one_thing() -> None:
    book(b"abcd\0\0\0efgh", (7, 4), (0, 4)).close(4)
    book(b"abcd", (0, 4), (4, 0)).close(1)


@pytest.mark.parametrize(
    ("data", "parts", "what"),
    [
        (b"abcdef", [(0, 4), (3, 3)], "part 3 is on top of part 0"),
        (b"abcdef", [(0, 4)], "2 bytes after part 0"),
        (b"abcdef", [(2, 4)], "2 bytes between the start and part 2"),
        (b"ab\0\0\0\0ef", [(0, 2), (6, 2)], "4 bytes between part 0 and part 6"),
        (b"ab\0xef", [(0, 2), (4, 2)], "2 bytes between part 0 and part 4"),
        (b"ab\0\0ef", [(0, 2), (3, 0), (4, 2)], "1 bytes between part 0 and part 3"),
        (b"abcdef", [(0, 6), (2, 0)], "part 2 is on top of part 0"),
    ],
)
def test_what_is_left_over_or_shared_is_refused(data: bytes, parts: list[tuple[int, int]], what: str) -> None:
    with pytest.raises(ObjectError, match=what):
        book(data, *parts).close(4)


def test_a_part_outside_the_file_is_refused() -> None:
    with pytest.raises(ObjectError, match="more is outside the file"):
        Account(b"abc").take(2, 2, "more")


def test_a_record_is_compared_whole() -> None:
    made = Account(b"abcdef")
    made.expect(0, b"abc", "the first")
    with pytest.raises(ObjectError, match="the second has 6566 at 0x1, not 7878"):
        made.expect(3, b"dxx", "the second")


def test_every_byte_of_the_names_is_used_by_one() -> None:
    names = Names(b"\0.rela.text\0main\0", start=1)
    assert [names.at(at) for at in (1, 6, 12)] == [".rela.text", ".text", "main"]
    names.close()


@pytest.mark.parametrize(
    ("table", "offsets", "padding"),
    [
        (b"\0main\0evil\0", (1,), 1),
        (b"\0evil\0main\0", (6,), 1),
        (b"\0main\0\0", (1,), 1),
        (b"\0main\0\0\0\0\0\0\0\0\0", (1,), 8),
        (b"\0main\0\0x\0", (1,), 8),
        (b"xmain\0", (1,), 1),
        (b"\0main", (1,), 1),
        (b"\0main\0", (9,), 1),
        (b"\0main\0", (0,), 1),
    ],
)
def test_other_bytes_among_the_names_are_refused(table: bytes, offsets: tuple[int, ...], padding: int) -> None:
    def read() -> None:
        names = Names(table, start=1, padding=padding)
        for offset in offsets:
            names.at(offset)
        names.close()

    with pytest.raises(ObjectError, match="name"):
        read()


def test_names_may_be_padded_where_the_format_does_that() -> None:
    names = Names(b"\0main\0\0\0", start=1, padding=8)
    assert names.at(1) == "main"
    names.close()


@pytest.mark.parametrize(
    "text", [b"", b"gcc 14", b"clang version 19", b"clang version 19.1.7\nevil", b"\xff clang version 1.2.3"]
)
def test_only_clang_makes_stencils(text: bytes) -> None:
    with pytest.raises(ObjectError, match="its compiler is named"):
        bookkeeping.producer(text)


@pytest.mark.parametrize("triple", [target.triple for target in targets.load().targets])
@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"\xff" * 4096, bytes(range(256)) * 8])
def test_what_is_not_an_object_is_refused(triple: str, data: bytes) -> None:
    with pytest.raises(ObjectError):
        objects.account(data, targets.resolve(targets.load(), triple).target)
