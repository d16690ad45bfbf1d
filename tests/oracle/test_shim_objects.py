"""The shim's object is the shim and nothing else: what clang makes is accepted, for every target; what hides is not."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from stencilkit import cli, ledger, manifest, objects, targets
from stencilkit.errors import ObjectError
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.target import Target
from stencilkit.pipeline import companions
from tests import samples
from tests import workbench as wb

VERSION = "3.15.0rc1"
LLVMS = (19, 22)
LINUX = (wb.X86, wb.ARM)
# A function of our own that looks like the shim: it calls what it is given, once.
SHIM = "typedef void **code(void *, void *);\nvoid *_PyJIT_Entry(code *c, void *f, void *s) { return *c(f, s); }\n"
# A line of C that hides something in the object -> what the refusal names, for the targets that have such a thing.
HIDDEN: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "code that runs before main": (
        LINUX, '__asm__(".section .init,\\"ax\\",@progbits\\n nop\\n .text");', "section '.init'",
    ),
    "code that runs before main, its flags cleared": (
        LINUX, '__asm__(".section .init,\\"\\",@progbits\\n .byte 0x90\\n .text");', "section '.init'",
    ),
    "a constructor": (
        LINUX, '__attribute__((constructor)) static void c(void) { __asm__("nop"); }', "section '.init_array'",
    ),
    "another function's name, absolute": (
        LINUX, '__asm__(".globl strlen\\n .set strlen, 0x1234");', "symbol 'strlen'",
    ),
    "another function": ((*LINUX, *wb.FOREIGN), "int strlen(void) { return 1; }", ""),
    "a weak function": (LINUX, "__attribute__((weak)) int getenv(void) { return 1; }", "symbol"),
    "a name that is resolved by code": (
        LINUX,
        'static int (*pick(void))(void) { return 0; } int memcpy(void) __attribute__((ifunc("pick")));',
        "the ELF header",
    ),
    "code that may be written": (
        LINUX, '__asm__(".section .wx,\\"awx\\",@progbits\\n nop\\n .text");', "section '.wx'",
    ),
    "data": ((*LINUX, *wb.FOREIGN), "int more = 1;", ""),
    "a call of somebody else": ((*LINUX, *wb.FOREIGN), "void e(void); void (*g(void))(void) { return e; }", ""),
    "an option for the linker": (
        (wb.MAC_ARM, wb.MAC_X86), '__asm__(".linker_option \\"-levil\\"");', "the Mach-O header",
    ),
    "a word to the linker": (
        wb.WINDOWS, '__asm__(".section .drectve,\\"yni\\"\\n .ascii \\"/ENTRY:e\\"\\n .text");', "'.drectve'",
    ),
    "a function that the C library runs first": (
        wb.WINDOWS, '__asm__(".section .CRT$XCU,\\"dr\\"\\n .long 0\\n .text");', "'.CRT$XCU'",
    ),
    "a note": (LINUX, '__asm__(".section .note.more,\\"a\\",@note\\n .long 1\\n .text");', "'.note.more'"),
    "a function that dyld runs first": (
        (wb.MAC_ARM, wb.MAC_X86),
        '__asm__(".section __DATA,__mod_init_func,mod_init_funcs\\n .quad 0\\n .text");',
        "__mod_init_func",
    ),
}  # fmt: skip
ROWS = [
    pytest.param(triple, line, named, id=f"{name}-{triple}")
    for name, (triples, line, named) in HIDDEN.items()
    for triple in triples
]


def target_of(triple: str) -> Target:
    return targets.resolve(targets.load(), triple).target


def compiled(major: int, triple: str, text: str, folder: Path, *more: str) -> bytes:
    """Compile as 3.15's shim is compiled."""
    (folder / "shim.c").write_text(text)
    words = [f"--target={triple}", "-Os", "-std=c11", "-fasynchronous-unwind-tables", "-fno-stack-protector"]
    words += ["-fno-omit-frame-pointer"] if triple in LINUX else []
    words += ["-mno-incremental-linker-compatible"] if triple in wb.WINDOWS else []
    command: list[str | Path] = [wb.debian_llvm(major) / "clang", *words, *more, "-w", "-c", "shim.c", "-o", "shim.o"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "shim.o").read_bytes()


@pytest.mark.parametrize("major", LLVMS)
@pytest.mark.parametrize("triple", [*LINUX, *wb.FOREIGN])
def test_what_clang_makes_is_accepted(major: int, triple: str, tmp_path: Path) -> None:
    linked = objects.account(compiled(major, triple, SHIM, tmp_path), target_of(triple))
    # On Windows, since LLVM 21; on macOS, never.
    names_itself = triple in LINUX or (triple in wb.WINDOWS and major > 20)
    assert (f"clang version {major}." in linked.producer) is names_itself
    assert linked.varying == ()


@pytest.mark.parametrize(
    ("triple", "flag", "varying"),
    [
        (wb.X86, "-fcf-protection=full", ("property 0x3",)),
        (wb.X86, "-O2", ("alignment .text 16",)),
        (wb.MAC_ARM, "-mmacosx-version-min=12.3", ("macos 12.3.0",)),
    ],
)
def test_what_flags_change_is_part_of_the_content(
    triple: str, flag: str, varying: tuple[str, ...], tmp_path: Path
) -> None:
    target = target_of(triple)
    plain, flagged = (compiled(22, triple, SHIM, tmp_path, *more) for more in ((), (flag,)))
    assert objects.account(flagged, target).varying == varying
    assert companions.derive(target, plain).digests["shim"] != companions.derive(target, flagged).digests["shim"]


@pytest.mark.parametrize(("triple", "line", "named"), ROWS)
def test_what_hides_in_it_is_refused(triple: str, line: str, named: str, tmp_path: Path) -> None:
    data = compiled(22, triple, f"{SHIM}{line}\n", tmp_path)
    with pytest.raises(ObjectError, match="is more than the shim") as caught:
        objects.account(data, target_of(triple))
    assert named in caught.value.what


@pytest.mark.parametrize("triple", [*LINUX, *wb.FOREIGN])
@pytest.mark.parametrize("more", [b"\0", b"\0" * 64, b"more"])
def test_what_follows_it_is_refused(triple: str, more: bytes, tmp_path: Path) -> None:
    data = compiled(22, triple, SHIM, tmp_path)
    with pytest.raises(ObjectError):
        objects.account(data + more, target_of(triple))


def test_debug_information_is_refused_with_the_flag_to_leave_out(tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match=r"section '\.debug_") as caught:
        objects.account(compiled(22, wb.X86, SHIM, tmp_path, "-g"), target_of(wb.X86))
    assert "CFLAGS_JIT" in caught.value.fix


def test_it_is_refused_even_if_manifest_and_ledger_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything but the shim's own code used to be passed over, whatever make would have linked."""
    tree = wb.small_tree(VERSION, tmp_path / "tree", uops=3)
    folder = wb.built(VERSION, 21, tmp_path / "out", "--pyconfig-dir", wb.pyconfig(VERSION), source_tree=tree)
    path = folder / MANIFEST_NAME
    described = manifest.parse(path.read_text(), "manifest")
    ledger.write(tmp_path / "ledger", Entry.of(described), 21)
    verify = ["verify", str(folder), "--ledger", str(tmp_path / "ledger")]
    assert cli.main(verify) == 0
    shim = folder / described.file("shim").name
    before = shim.read_bytes()
    hidden, named = HIDDEN["code that runs before main"][1:]
    shim.write_bytes(compiled(21, wb.X86, f"{SHIM}{hidden}\n", tmp_path))
    text = path.read_text().replace(samples.digest(before), samples.digest(shim.read_bytes()))
    body = text[: text.rindex("seal = ")]
    path.write_text(f'{body}seal = "{samples.digest(body.encode())}"\n')
    capsys.readouterr()
    assert cli.main(verify) == 1
    assert f"the object is more than the shim: {named}" in capsys.readouterr().out
