"""pyconfig.h from a tree's own configure, here a small one of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from stencilkit import configure, targets
from stencilkit.errors import ConfigureError
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour
from stencilkit.pipeline import knowing
from stencilkit.support.progress import SILENT, Progress
from tests import fakes

pytestmark = pytest.mark.process

TABLE = targets.load()
X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
# Like the real one, it expands what it is given without quotes.
SCRIPT = """\
#!/bin/sh
for word; do
    case "$word" in
    CC=*) CC=${word#CC=};;
    PYTHON_FOR_REGEN=*) PYTHON=${word#*=};;
    --with-build-python=*) BUILD=${word#*=};;
    --srcdir=*) srcdir=${word#*=};;
    --with-pydebug) debug=yes;;
    --host=aarch64*) host=yes;;
    esac
    echo "$word" >>words
done
test -f $srcdir/configure || exit 3
$CC --version >/dev/null && $PYTHON -c 'import sys' || exit 4
echo "$$" >>"$COUNT"
{
    echo "#define SIZEOF_VOID_P 8"
    test -n "$host" || echo "#define HAVE_GCC_ASM_FOR_X64 1"
    test -z "$debug" || echo "#define Py_DEBUG 1"
    test -z "$BUILD" || echo "#define SEEN \\"$($BUILD)\\""
    echo "/* $(tr '\\n' ' ' <words) */"
} >pyconfig.h
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceTree:
    """A tree and programs, all below folders with spaces in their names, as homes on macOS have."""
    home = tmp_path / "a home"
    root = fakes.tree(home / "my tree")
    (root / "configure").write_text(SCRIPT.replace("$COUNT", str(home / "count")))
    (root / "configure").chmod(0o755)
    (root / "pyconfig.h.in").write_text("")
    for name in ("gcc", "aarch64-linux-gnu-gcc"):
        fakes.program(home / "my bin" / name, f"echo '{name} (Debian) 12.2.0'")
    (home / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(home / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PATH", f"{home / 'my bin'}:/usr/bin:/bin")
    monkeypatch.setattr("stencilkit.support.environ.native", lambda: "x86_64-linux-gnu")
    return knowing.tree(root)


def run(
    tree: SourceTree, tmp_path: Path, triple: str = X86, flavour: Flavour = "release", progress: Progress = SILENT
) -> PyConfig:
    request = targets.resolve(TABLE, triple)
    return configure.configured(tree, request, flavour, [], tmp_path / "my cache", progress=progress)


def words(config: PyConfig) -> Sequence[str]:
    return config.content.decode().rpartition("/* ")[2].split()[:-1]


def test_spaces_in_every_path(tree: SourceTree, tmp_path: Path) -> None:
    assert run(tree, tmp_path).macros["SIZEOF_VOID_P"] == "8"
    assert run(tree, tmp_path, ARM).macros["SEEN"] == '"3.14"'


def test_it_runs_once_per_tree_target_flavour_and_compiler(tree: SourceTree, tmp_path: Path) -> None:
    told = fakes.Told()
    for _ in range(2):
        for triple in (X86, ARM):
            run(tree, tmp_path, triple, progress=told)
    run(tree, tmp_path, flavour="debug")
    count = tmp_path / "a home" / "count"
    assert len(count.read_text().split()) == 3
    assert [line.partition(";")[0] for line in told.lines] == [
        f"running configure of CPython 3.14.7 for {triple} (release)" for triple in (X86, ARM)
    ]
    fakes.program(tmp_path / "a home" / "my bin" / "gcc", "echo 'gcc (Debian) 14.1.0'")
    run(tree, tmp_path)
    assert len(count.read_text().split()) == 4


def test_what_was_configured_is_found_again_without_configure(tree: SourceTree, tmp_path: Path) -> None:
    cache = tmp_path / "my cache"

    def made(triple: str, flavour: Flavour = "release") -> Path | None:
        return configure.made(tree, targets.resolve(TABLE, triple), flavour, [], cache)

    assert made(X86) is None
    config = run(tree, tmp_path)
    assert made(X86) == config.folder
    assert made(X86, "debug") is None
    assert made(ARM) is None
    # Another compiler would have configured something else.
    fakes.program(tmp_path / "a home" / "my bin" / "gcc", "echo 'gcc (Debian) 14.1.0'")
    assert made(X86) is None
    (tmp_path / "a home" / "my bin" / "aarch64-linux-gnu-gcc").unlink()
    assert made("aarch64-apple-darwin") is None


def test_a_cross_build_is_told_what_it_cannot_find_out(tree: SourceTree, tmp_path: Path) -> None:
    assert not [word for word in words(run(tree, tmp_path)) if word.startswith(("--host", "--build", "ac_cv"))]
    assert {"--host=aarch64-linux-gnu", "--build=x86_64-linux-gnu", "ac_cv_file__dev_ptmx=yes"} <= {
        *words(run(tree, tmp_path, ARM))
    }


def test_what_was_configured_with_other_answers_is_not_found_again(
    tree: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, cache = targets.resolve(TABLE, ARM), tmp_path / "my cache"
    config = run(tree, tmp_path, ARM)
    assert configure.made(tree, request, "release", [], cache) == config.folder
    monkeypatch.setattr("stencilkit.model.target._CROSS_ANSWERS", ("ac_cv_computed_gotos=no",))
    assert configure.made(tree, request, "release", [], cache) is None


def test_a_configure_that_fails(tree: SourceTree, tmp_path: Path) -> None:
    (tree.root / "configure").write_text(
        "#!/bin/sh\necho checking for zlib... no\necho 'configure: error: no' >&2\nexit 1"
    )
    with pytest.raises(ConfigureError, match=r"configure of CPython 3\.14\.7 .* failed") as caught:
        run(tree, tmp_path)
    assert caught.value.details == "checking for zlib... no\nconfigure: error: no"
    assert "--pyconfig-dir" in caught.value.fix
    assert not list((tmp_path / "my cache").rglob("pyconfig.h"))


def test_debians_musl_gcc_is_asked_for_the_platform_of_its_headers(tree: SourceTree, tmp_path: Path) -> None:
    """It is gcc, and names the machine's own; CPython's configure stops there."""
    script = (tree.root / "configure").read_text().replace("test -f", "echo `$CC --print-multiarch` >>words\ntest -f")
    (tree.root / "configure").write_text(script)
    for name in ("gcc", "x86_64-linux-musl-gcc"):
        fakes.program(tmp_path / "a home/my bin" / name, '[ "$*" = --print-multiarch ] && echo x86_64-linux-gnu || :')
    assert "x86_64-linux-gnu" in words(run(tree, tmp_path))
    musl = words(run(tree, tmp_path, "x86_64-unknown-linux-musl"))
    assert "x86_64-linux-musl" in musl
    assert "x86_64-linux-gnu" not in musl


def test_a_machine_without_a_compiler_for_the_target(
    tree: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "a home" / "my bin"))
    (tmp_path / "a home" / "my bin" / "aarch64-linux-gnu-gcc").unlink()
    with pytest.raises(ConfigureError, match=f"no C compiler for {ARM}") as caught:
        run(tree, tmp_path, ARM)
    assert "stencilkit toolchains install" in caught.value.fix


DEBIAN = """\
#if defined(__linux__)
# if defined(__x86_64__) && defined(__LP64__)
#  include <x86_64-linux-gnu/python3.14/pyconfig.h>
# elif defined(__aarch64__) && defined(__AARCH64EL__)
#  include <aarch64-linux-gnu/python3.14/pyconfig.h>
# endif
#endif
"""
FEDORA = """\
#include <bits/wordsize.h>
#if __WORDSIZE == 64
#include "pyconfig-64.h"
#endif
"""


@pytest.mark.parametrize(
    ("wrapper", "real", "fix"),
    [
        (DEBIAN, "aarch64-linux-gnu/python3.14/pyconfig.h", "--pyconfig-dir HERE/aarch64-linux-gnu/python3.14"),
        (FEDORA, "python3.14/pyconfig-64.h", "copy the one that is meant, as pyconfig.h"),
    ],
)
def test_a_pyconfig_that_only_chooses_names_the_folder_that_is_meant(
    wrapper: str, real: str, fix: str, tmp_path: Path
) -> None:
    for name, text in {"python3.14/pyconfig.h": wrapper, real: "#define SIZEOF_VOID_P 8\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigureError, match="only chooses among others") as caught:
        configure.read(tmp_path / "python3.14")
    assert caught.value.details == str(tmp_path / real)
    assert caught.value.fix.replace(str(tmp_path), "HERE").startswith(fix)


LINUX, BSD = "#define HAVE_EPOLL_CREATE1 1\n", "#define HAVE_KQUEUE 1\n"


@pytest.mark.parametrize(
    ("triple", "other", "own"),
    [
        ("x86_64-unknown-freebsd", LINUX, BSD),
        ("x86_64-apple-darwin", LINUX, BSD),
        ("aarch64-apple-darwin", LINUX, BSD),
        ("x86_64-unknown-linux-gnu", BSD, LINUX),
        ("aarch64-unknown-linux-gnu", BSD, LINUX),
        ("x86_64-unknown-linux-musl", BSD, LINUX),
    ],
)
def test_a_pyconfig_of_another_system_is_refused(triple: str, other: str, own: str, tmp_path: Path) -> None:
    """It has the same architecture and the same pointers."""
    request = knowing.target(triple)
    both = "#define SIZEOF_VOID_P 8\n" + "".join(f"#define {name} 1\n" for name in request.target.own_macros)
    (tmp_path / "pyconfig.h").write_text(both + own)
    configure.given(tmp_path, request, "release")
    (tmp_path / "pyconfig.h").write_text(both + other)
    with pytest.raises(ConfigureError, match=f"so it is not for {triple}"):
        configure.given(tmp_path, request, "release")


@pytest.mark.parametrize("size", ["\N{SUPERSCRIPT TWO}", "9" * 5000, "sizeof(void *)"])
def test_a_size_that_is_not_a_number_decides_nothing(size: str, tmp_path: Path) -> None:
    request = knowing.target("x86_64-unknown-linux-gnu")
    own = "".join(f"#define {name} 1\n" for name in request.target.own_macros)
    (tmp_path / "pyconfig.h").write_text(f"#define SIZEOF_VOID_P {size}\n{own}{LINUX}", "utf-8")
    assert configure.given(tmp_path, request, "release").macros["SIZEOF_VOID_P"] == size
    (tmp_path / "pyconfig.h").write_text(f"#define SIZEOF_VOID_P 4\n{own}{LINUX}")
    with pytest.raises(ConfigureError, match="4-byte pointers"):
        configure.given(tmp_path, request, "release")


def test_windows_is_not_configured_but_taken_from_the_tree(tree: SourceTree, tmp_path: Path) -> None:
    windows = "x86_64-pc-windows-msvc"
    with pytest.raises(ConfigureError, match=r"CPython 3\.14\.\d+ has no PC/pyconfig\.h") as caught:
        run(tree, tmp_path, windows)
    assert "or give --pyconfig-dir" in caught.value.fix
    (tree.root / "PC").mkdir(exist_ok=True)
    (tree.root / "PC" / "pyconfig.h").write_text("#define MS_WIN64\n")
    assert run(tree, tmp_path, windows).content == b"#define MS_WIN64\n"
