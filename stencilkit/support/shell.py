"""Commands as a POSIX shell splits them into words, without running any; what would need a shell is refused.

POSIX.1-2024, Shell Command Language, sections 2.2 "Quoting", 2.3 "Token Recognition" and 2.6 "Word Expansions".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)", re.ASCII)
_SEPARATORS: Final = (";", "&&", "||", "\n")
_NEEDS_A_SHELL: Final[Mapping[str, str]] = {
    "`": "a command substitution",
    "|": "a pipe",
    "&": "a command in the background",
    "<": "a redirection",
    ">": "a redirection",
    "(": "a subshell",
    ")": "a subshell",
    "*": "a pattern of file names",
    "?": "a pattern of file names",
    "[": "a pattern of file names",
}


class ShellError(ValueError):
    """A command that only a shell can understand; the message says what is in it."""


def commands(text: str, variables: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Split the text of a shell's -c into simple commands, each a tuple of words.

    `variables` are those that $NAME and ${NAME} may name.

    Raises: ShellError.
    """
    return _Splitter(text, variables).split()


class _Splitter:
    """One text, and how far it has been read."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._found: list[tuple[str, ...]] = []
        self._words: list[str] = []
        # None between words: an empty word is one, where it was quoted.
        self._word: str | None = None
        # Whether a token has begun, which may be a variable that makes no word yet.
        self._begun = False

    def split(self) -> tuple[tuple[str, ...], ...]:
        while self._at < len(self._text):
            self._step()
        self._end_command()
        return tuple(self._found)

    def _step(self) -> None:
        separator = next((text for text in _SEPARATORS if self._text.startswith(text, self._at)), "")
        if separator:
            self._at += len(separator)
            self._end_command()
            return
        character = self._take()
        begun, self._begun = self._begun, True
        match character:
            case " " | "\t":
                self._begun = False
                self._end_word()
            case "'":
                self._add(self._until("'"))
            case '"':
                self._double()
            case "\\":
                self._begun = self._escape() or begun
            case "$":
                self._expand_unquoted()
            case "#" if not begun:
                end = self._text.find("\n", self._at)
                self._at = end if end >= 0 else len(self._text)
            case "~" if not begun:
                raise ShellError("~ stands for a home folder that is not known")
            case _ if character in _NEEDS_A_SHELL:
                raise ShellError(f"{character} makes {_NEEDS_A_SHELL[character]}")
            case _:
                self._add(character)

    def _take(self, otherwise: str = "") -> str:
        if self._at >= len(self._text):
            raise ShellError(otherwise)
        self._at += 1
        return self._text[self._at - 1]

    def _escape(self) -> bool:
        """Take what follows a backslash; return whether it belongs to a word: a newline continues the line."""
        character = self._take("a backslash at the end")
        if character == "\n":
            return False
        self._add(character)
        return True

    def _until(self, quote: str) -> str:
        end = self._text.find(quote, self._at)
        if end < 0:
            raise ShellError(f"{quote} is not closed")
        part, self._at = self._text[self._at : end], end + 1
        return part

    def _double(self) -> None:
        self._add("")
        while (character := self._take('" is not closed')) != '"':
            if character == "\\" and self._text[self._at : self._at + 1] in ("$", "`", '"', "\\", "\n"):
                self._escape()
            elif character == "$":
                self._add(self._variable())
            elif character == "`":
                raise ShellError("` makes a command substitution")
            else:
                self._add(character)

    def _expand_unquoted(self) -> None:
        """Add a variable's value, whose blanks separate words."""
        value = self._variable()
        first, *rest = value.split() or [""]
        if value[:1].isspace():
            self._end_word()
        if first:
            self._add(first)
        for part in rest:
            self._end_word()
            self._add(part)
        if value[-1:].isspace():
            self._end_word()

    def _variable(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            following = self._text[self._at : self._at + 1]
            if following in ("", " ", '"', "/", "."):
                return "$"
            raise ShellError(f"${following} is more than a variable")
        self._at = match.end()
        if self._text.startswith("\\\n", self._at):
            raise ShellError("a line ends in the name of a variable")
        name = match[1] or match[2]
        if name not in self._variables:
            raise ShellError(f"${name} is not known before make runs")
        return self._variables[name]

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _end_word(self) -> None:
        if self._word is not None:
            self._words.append(self._word)
        self._word = None

    def _end_command(self) -> None:
        self._begun = False
        self._end_word()
        if self._words:
            self._found.append(tuple(self._words))
        self._words = []
