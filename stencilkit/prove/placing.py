"""How a row of the fact `objects-do-not-overlap` says where an object is, and when that is so."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Which one of several items: by the oparg, `shift` bits of which are left out, or by a number in memory.

    The number has so many `bits`, and is at the `field` of the object of the row `of`. An item has the size of the
    type `step`, or is a word.
    """

    step: str = ""
    shift: int = 0
    of: str = ""
    field: str = ""
    bits: int = 0
    signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a row is true: where the `field` of the object of the row `of` is a number of so many `bits`.

    Or where it is the address of a `symbol`.
    """

    of: str
    field: str
    number: int = 0
    bits: int = 0
    symbol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """An object of CPython that an optional fact is about: how its address is found, and how much of it counts.

    One of these has the address: the `argument` of a stencil, a `hole`, a `symbol`, the word at a `field` of the object
    of the row `behind`, whose low bits are TAGS if it is `tagged`, or a result that `call`, a C function, has written
    to where its argument of the number `out` points, if what it returned is positive. If the object is `new`, that
    function has returned its address, or null. An object that is `within` that of another row begins where that does,
    and is there where that is. The argument `stack_pointer` is above the values on the evaluation stack: `items`, and
    as many as the uop's oparg says if they are `counted`, are the object. Of what begins at the field `item`, the one
    of the number `index` is it, or the first.

    The object begins where its type's field `start` is, if there is one; or the argument is the address of its field
    `before`, and it begins in front of that. `size` is the size of the type, or how far a field is from the type's
    start, of prototypes.toml; an item without one is a word. Behind that are as many words as the field `words` of the
    object of the row `owner` says, an int, which is not negative.

    `uops` and `series` are those in which the object is there, all if none are given, those stencils of the uop whose
    name ends with `suffix`, and only `where` that condition is true at entry. Two rows of one `kind` may be one object.
    """

    name: str
    kind: str
    source: str
    start: str = ""
    before: str = ""
    size: str = ""
    argument: str = ""
    hole: str = ""
    symbol: str = ""
    call: str = ""
    out: int = 0
    new: bool = False
    items: int = 0
    counted: bool = True
    within: str = ""
    item: str = ""
    index: Index | None = None
    behind: str = ""
    field: str = ""
    owner: str = ""
    words: str = ""
    tagged: bool = False
    uops: re.Pattern[str] | None = None
    series: tuple[str, ...] = ()
    suffix: str = ""
    where: Condition | None = None
