"""A uop of 3.13 that is compiled alone has no line number: clang refuses every text that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit.model.source import NO_LINES
from stencilkit.support import process
from tests import workbench as wb

MACROS = """\
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define TEXTS_(...) #__VA_ARGS__
#define TEXTS(...) TEXTS_(__VA_ARGS__)
#define SAME(x) x
#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)
#define LEFT_OUT(x)
#define HERE __LINE__
void failed(const char *, int);
#define assert(e) ((e) ? (void)0 : failed(__FILE__, __LINE__))
"""
ASKING = {
    "number": "int f(void) { return __LINE__; }",
    "dead code": "int f(void) { if (0) return __LINE__; return 1; }",
    "assertion": "void f(int a) { assert(a); }",
    "argument": "int x = SAME(SAME(__LINE__));",
    "text": "const char *x = TEXT(__LINE__);",
    "text of several": "const char *x = TEXTS(a, HERE, b);",
    "size of a text": '_Static_assert(sizeof(TEXT(__LINE__)) > 0, "");',
    "joined": "int JOINED(x, HERE);",
    "joined to it": "int x = JOINED(__LI, NE__);",
    "condition": "#if __LINE__ > 3\nint x;\n#endif",
    "builtin": "int f(void) { return __builtin_LINE(); }",
}
OTHERS = {
    "nothing": "int f(void) { return 1; }",
    "its name": "const char *x = TEXT_(__LINE__);",
    "left out": "LEFT_OUT(__LINE__) int x;",
    "whether it is defined": "#ifdef __LINE__\nint x;\n#endif",
    "file": "const char *x = __FILE__;",
}


def compiles(text: str, major: int, folder: Path) -> bool:
    (folder / "x.c").write_text(f"{MACROS}{NO_LINES}{text}\n")
    clang = wb.debian_llvm(major) / "clang"
    done = process.run(
        [clang, "-std=c11", "-Wall", "-Werror", "-Wno-error=unused", "-c", "x.c", "-o", "x.o"], cwd=folder
    )
    return done.returncode == 0


@pytest.mark.parametrize("major", [18, 23])
def test_what_asks_for_a_line_does_not_compile(major: int, tmp_path: Path) -> None:
    taken = [what for what, text in ASKING.items() if compiles(text, major, tmp_path)]
    assert not taken
    refused = [what for what, text in OTHERS.items() if not compiles(text, major, tmp_path)]
    assert not refused
