"""Words of a shell command: those that sh makes of it, or a refusal."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stencilkit.support import shell

VARIABLES = {"HOME": "/home/me", "TWO": " a  b ", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b  c", ("a", "b", "c")),
        ("a \"b c\" 'd e' f\\ g", ("a", "b c", "d e", "f g")),
        ('--x="-DY=\\"z\\" -I$HOME/i"', ('--x=-DY="z" -I/home/me/i',)),
        ("--x='-I$HOME'", ("--x=-I$HOME",)),
        ("a \"\" '' $EMPTY b", ("a", "", "", "b")),
        ("a${HOME}b$TWO.c", ("a/home/meb", "a", "b", ".c")),
        ('"$TWO"', (" a  b ",)),
        ("a \\\nb", ("a", "b")),
        ("a#b # c", ("a#b",)),
        ('"a\\b" a$ "$"', ("a\\b", "a$", "$")),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert shell.commands(text, VARIABLES) == (words,)


def test_commands() -> None:
    assert shell.commands("a b; c && d || e\nf;", {}) == (("a", "b"), ("c",), ("d",), ("e",), ("f",))
    assert shell.commands(" # nothing\n;", {}) == ()
    assert shell.commands("# nothing\na", {}) == (("a",),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a `b`", "command substitution"),
        ('a "`b`"', "command substitution"),
        ("a $(b)", "more than a variable"),
        ("a ${B:-c}", "more than a variable"),
        ("a $1", "more than a variable"),
        ("a $NOBODY", r"\$NOBODY is not known before make runs"),
        ("a | b", "a pipe"),
        ("a >b", "a redirection"),
        ("a &", "in the background"),
        ("(a)", "a subshell"),
        ("a *.c", "a pattern"),
        ("~/a", "a home folder"),
        ("a 'b", "is not closed"),
        ('a "b', "is not closed"),
        ("a \\", "a backslash at the end"),
    ],
)
def test_what_needs_a_shell_is_refused(text: str, why: str) -> None:
    with pytest.raises(shell.ShellError, match=why):
        shell.commands(text, VARIABLES)


@pytest.mark.process
@given(st.lists(st.sampled_from([*" \"'\\$ab=-/#", "$HOME", "${TWO}", "$EMPTY", "\\\n"]), max_size=12).map("".join))
def test_as_sh_does(text: str) -> None:
    """Whatever is not refused is what sh makes of it."""
    try:
        found = shell.commands(f"show {text}", VARIABLES)
    except shell.ShellError:
        return
    if len(found) > 1:
        return
    script = f"show() {{ test $# = 0 || printf '%s\\0' \"$@\"; }}\nshow {text}"
    done = subprocess.run(["/bin/sh", "-c", script], env=VARIABLES, capture_output=True, text=True, check=True)
    assert [list(words) for words in found] == [["show", *done.stdout.split("\0")[:-1]]]
