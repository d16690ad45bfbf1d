"""Every file below what was given is verified, ignored for a reason, or refused: nothing is passed over."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from stencilkit import cli
from stencilkit.errors import ManifestError, UsageError
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.pipeline import surveying
from stencilkit.support import limits
from tests import samples

HEADER = f"jit_stencils-{samples.TRIPLE}.h"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder above one output folder."""
    samples.folder(tmp_path / "all" / "out", samples.tree(tmp_path / "tree"))
    return tmp_path / "all"


def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = cli.main(["verify", "--consistent", str(folder)])
    return code, capsys.readouterr().out


def test_a_whole_folder_is_covered(folder: Path) -> None:
    found = surveying.survey(folder)
    assert (found.subjects, found.covered, found.ignored, found.refused) == ((folder / "out",), 3, {}, {})
    assert surveying.survey(folder / "out" / HEADER).subjects == (folder / "out" / HEADER,)


def test_a_second_header_is_verified_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is beside a manifest that does not name it."""
    other = folder / "out" / "jit_stencils-aarch64-unknown-linux-gnu.h"
    shutil.copy(folder / "out" / HEADER, other)
    code, out = verify(folder, capsys)
    assert code == 1
    assert f"{other}: refused" in out


@pytest.mark.parametrize("name", ["jit_shim-x.o", "jit_unwind_info.h", "manifest-x.toml", "more/jit_shim-y.o"])
def test_what_no_manifest_names_is_refused(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "out" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    code, out = verify(folder, capsys)
    assert code == 1
    assert path.name.replace("manifest-", "jit_stencils-").replace(".toml", ".h") in out


def test_a_folder_with_too_many_files_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a home folder."""
    monkeypatch.setattr(limits, "FOUND", 4)
    assert surveying.survey(folder).covered == 3
    (folder / "log").write_text("")
    with pytest.raises(UsageError, match="more than 4 files are below the folder"):
        surveying.survey(folder)


def test_a_link_to_a_folder_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.folder(tmp_path / "elsewhere", samples.tree(tmp_path / "tree2"))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    code, out = verify(folder, capsys)
    assert code == 1
    assert f"{folder / 'link'}: a link to a folder, which is not followed" in out
    with pytest.raises(ManifestError, match=r"below .*, 1 file belongs to no stencils"):
        surveying.demand(folder)
    assert cli.main(["pack", str(folder), "-o", str(tmp_path / "b.tar")]) == 2
    assert cli.main(["audit", str(folder)]) == 2
    assert not (tmp_path / "b.tar").exists()


def test_a_folder_that_links_to_itself_ends(folder: Path) -> None:
    (folder / "again").symlink_to(folder)
    assert list(surveying.survey(folder).refused) == [folder / "again"]


def test_what_is_not_a_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "out" / "jit_stencils-fifo.h")
    (folder / "out" / "jit_shim-gone.o").symlink_to("nowhere")
    assert list(surveying.survey(folder).refused.values()) == ["a link to nothing", "not a file"]


def test_other_files_are_ignored_and_mentioned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        (folder / f"notes-{number}.txt").write_text("")
    code, out = verify(folder, capsys)
    assert code == 0
    assert f"other files below {folder}: accepted" in out
    assert "note    manifest   ignored: no CPython's build takes it" in out
    assert (out.count("notes-"), "and 2 more" in out) == (8, True)


def test_several_headers_without_a_manifest_are_each_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(folder / "out" / HEADER, folder / "out" / "jit_stencils-aarch64-unknown-linux-gnu.h")
    (folder / "out" / MANIFEST_NAME).unlink()
    code, out = verify(folder, capsys)
    assert (code, out.count("not checked: there is no manifest")) == (1, 2)
    assert f"{folder / 'out' / 'jit_stencils.h'}: no manifest names it" in out


def test_a_folder_too_large_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FOUND", 3)
    assert cli.main(["verify", str(folder)]) == 2


@pytest.mark.parametrize(
    ("words", "code", "scope"),
    [((), 1, "consistent"), (("--consistent",), 0, "consistent"), (("--ledger", "{ledger}"), 0, "compared")],
)
def test_what_was_compared_with_nothing_is_a_yes_only_if_asked(
    words: tuple[str, ...], code: int, scope: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples.ledger(tmp_path / "ledger", folder / "out")
    words = tuple(word.format(ledger=tmp_path / "ledger") for word in words)
    assert cli.main(["verify", str(folder), *words, "--format", "json"]) == code
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert (verdict["accepted"], verdict["scope"]) == (code == 0, scope)
    failed = [check["what"] for check in verdict["checks"] if check["status"] == "failed"]
    assert failed == ([] if code == 0 else ["consistent; not compared with anything that others made"])


@pytest.mark.parametrize("command", ["inspect", "pack", "show", "compare", "audit", "test"])
def test_no_command_takes_what_verify_refuses(
    command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Manifest and seal are made good again, as who hides something would."""
    header, manifest = folder / "out" / HEADER, folder / "out" / MANIFEST_NAME
    before = header.read_bytes()
    header.write_bytes(before + b"#error evil\n")
    text = manifest.read_text().replace(samples.digest(before), samples.digest(header.read_bytes()))
    body = text[: text.rindex("seal = ")]
    manifest.write_text(f'{body}seal = "{samples.digest(body.encode())}"\n')
    out = str(folder / "out")
    words = {
        "pack": [out, "-o", str(tmp_path / "b.tar")],
        "show": ["_NOP", out],
        "compare": [out, out],
        "test": [out, "--cpython", str(tmp_path / "tree"), "--target", samples.TRIPLE],
    }
    assert cli.main([command, *words.get(command, [out])]) == 2
    captured = capsys.readouterr()
    assert "#error evil" in captured.err
    assert captured.out == ""
