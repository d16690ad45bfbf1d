"""Numbers of things, and names of hashes, in sentences."""

from __future__ import annotations


def counted(number: float, noun: str, verb: str = "") -> str:
    """Return "1 file" or "2 files", and with a verb "1 file differs" or "2 files differ"; both are regular."""
    nouns, verbs = (noun, f"{verb}s") if number == 1 else (f"{noun}s", verb)
    # Only times are not whole: 1.0 is 1, and of 0.25 all is shown.
    shown = int(number) if number == int(number) else number
    return f"{shown} {nouns} {verbs}" if verb else f"{shown} {nouns}"


def of_hash(name: str) -> str:
    """Return how people write hashlib's name of a hash: "SHA-256"."""
    return name.replace("sha", "SHA-")
