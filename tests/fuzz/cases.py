"""One case: bytes to a reader, which answers in time, or says in a typed error why not."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stencilkit.errors import StencilkitError
from tests.fuzz.mutations import mutate
from tests.fuzz.readers import READERS

CORPUS: Final = Path(__file__).parent / "corpus"
# Of the processor's time: the machine may be busy with other things.
SECONDS: Final = 5.0


class TooSlowError(BaseException):
    """A reader that an `except Exception` must not save."""


def run(name: str, data: bytes) -> bool:
    """Run a case; return whether it was read, and not refused. Everything but StencilkitError is the caller's."""
    with _in_time():
        try:
            READERS[name].run(data)
        except StencilkitError as error:
            error.as_text().encode("utf-8", "surrogatepass")
            return False
    return True


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def corpus(name: str) -> list[Path]:
    """List the inputs that were faults once."""
    return sorted((CORPUS / name).glob("*")) if (CORPUS / name).is_dir() else []


def seeds(name: str) -> list[bytes]:
    return [*READERS[name].seeds, *(path.read_bytes() for path in corpus(name))]


def generate(name: str, seed: int) -> Iterator[bytes]:
    """Make inputs without end, the same for the same seed; half of them with digests that fit."""
    rand = random.Random(f"{name} {seed}")
    known = seeds(name)
    one = READERS[name]
    while True:
        data = mutate(rand.choice(known), known, one.tokens, rand)
        yield one.repair(data) if rand.random() < 0.5 else data
