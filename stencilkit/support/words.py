"""Numbers of things in sentences."""

from __future__ import annotations


def counted(number: int, noun: str, verb: str = "") -> str:
    """Return "1 file" or "2 files", and with a verb "1 file differs" or "2 files differ"; both are regular."""
    nouns, verbs = (noun, f"{verb}s") if number == 1 else (f"{noun}s", verb)
    return f"{number} {nouns} {verbs}" if verb else f"{number} {nouns}"
