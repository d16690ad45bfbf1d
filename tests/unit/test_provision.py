"""Installing and removing toolchains; pip and uv are replaced."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from stencilkit import provision
from stencilkit.errors import FetchError, UsageError
from stencilkit.model.pins import Pins, WheelPin
from stencilkit.model.version import LlvmVersion
from stencilkit.support import process

PINS = Pins(
    sources=(),
    wheels=tuple(
        WheelPin(version=LlvmVersion(major, 1, 0), package=f"ziglang=={major}", sha256=("ab" * 32, "cd" * 32))
        for major in (19, 20)
    ),
)


class Pip:
    def __init__(self) -> None:
        self.requirements: list[str] = []
        self.commands: list[list[str]] = []
        self.environments: list[object] = []
        self.makes = "ziglang"
        self.returncode = 0
        self.prints = b"ERROR: hashes do not match"

    def run(self, command: list[str], *, env: object, **_: object) -> process.Completed:
        self.commands.append(command)
        self.environments.append(env)
        self.requirements.append(Path(command[command.index("-r") + 1]).read_text())
        if not self.returncode:
            (Path(command[command.index("--target") + 1]) / self.makes).mkdir()
        return process.Completed(command=tuple(command), returncode=self.returncode, stdout=b"", stderr=self.prints)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    found = Pip()
    monkeypatch.setattr(process, "run", found.run)
    return found


def test_wheels_are_installed_by_hash(tmp_path: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.invalid/simple")
    folders = provision.install((19, 20), PINS, tmp_path)
    assert [folder.name for folder in folders] == ["llvm-19.1.0", "llvm-20.1.0"]
    assert pip.requirements[0] == f"ziglang==19 --hash=sha256:{'ab' * 32} --hash=sha256:{'cd' * 32}\n"
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(pip.commands[0])
    assert pip.environments[0]["PIP_INDEX_URL"] == "https://mirror.invalid/simple"  # type: ignore[index]


def test_what_is_there_is_left_alone(tmp_path: Path, pip: Pip) -> None:
    provision.install((19,), PINS, tmp_path)
    provision.install((19,), PINS, tmp_path)
    assert len(pip.commands) == 1


def test_an_unknown_version_stops_everything_before_it_starts(tmp_path: Path, pip: Pip) -> None:
    with pytest.raises(UsageError, match="no LLVM 21") as caught:
        provision.install((19, 21), PINS, tmp_path)
    assert "19, 20" in caught.value.fix
    assert not pip.commands


@pytest.mark.parametrize(("returncode", "makes"), [(1, "ziglang"), (0, "something_else")])
def test_a_failure_leaves_nothing(tmp_path: Path, pip: Pip, returncode: int, makes: str) -> None:
    pip.returncode, pip.makes = returncode, makes
    with pytest.raises(FetchError):
        provision.install((19,), PINS, tmp_path)
    assert not list((tmp_path / "toolchains").iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path, pip: Pip) -> None:
    (tmp_path / "toolchains").write_text("a file")
    with pytest.raises(FetchError, match=r"cannot install LLVM 19\.1\.0") as caught:
        provision.install((19,), PINS, tmp_path)
    assert "STENCILKIT_DATA" in caught.value.fix


def test_two_at_once_end_with_one_toolchain(tmp_path: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pip.run

    def slow(command: list[str], **options: object) -> process.Completed:
        (tmp_path / "toolchains" / "llvm-19.1.0" / "ziglang").mkdir(parents=True)
        return real(command, **options)

    monkeypatch.setattr(process, "run", slow)
    assert provision.install((19,), PINS, tmp_path) == (tmp_path / "toolchains" / "llvm-19.1.0",)
    assert [path.name for path in (tmp_path / "toolchains").iterdir()] == ["llvm-19.1.0"]


def without_pip(monkeypatch: pytest.MonkeyPatch, uv: str | None) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda name: uv if name == "uv" else None)
    monkeypatch.delenv("UV", raising=False)


def test_uv_serves_where_there_is_no_pip(tmp_path: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pip(monkeypatch, "/usr/bin/uv")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mirror.invalid/simple")
    provision.install((19,), PINS, tmp_path)
    assert pip.commands[0][:3] == ["/usr/bin/uv", "pip", "install"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(pip.commands[0])
    assert pip.environments[0]["UV_DEFAULT_INDEX"] == "https://mirror.invalid/simple"  # type: ignore[index]


def test_without_an_installer_the_message_names_the_ways(
    tmp_path: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pip(monkeypatch, None)
    with pytest.raises(FetchError, match="neither pip nor uv") as caught:
        provision.install((19,), PINS, tmp_path)
    assert "pipx inject" in caught.value.fix
    assert not list((tmp_path / "toolchains").iterdir())


def test_a_full_disk_is_one_line(tmp_path: Path, pip: Pip) -> None:
    pip.returncode = 1
    pip.prints = b"Traceback:\n" + b"  frame\n" * 100_000 + b"OSError: [Errno 28] No space left on device\n"
    with pytest.raises(FetchError, match="no room for ziglang==19") as caught:
        provision.install((19,), PINS, tmp_path)
    assert not caught.value.details
    assert "STENCILKIT_DATA" in caught.value.fix


def test_of_what_an_installer_prints_the_reasons_are_shown(tmp_path: Path, pip: Pip) -> None:
    pip.returncode = 1
    pip.prints = b"  frame\n" * 1000 + b"ERROR: no matching distribution\n" + b"  frame\n" * 1000
    with pytest.raises(FetchError) as caught:
        provision.install((19,), PINS, tmp_path)
    assert caught.value.details == "ERROR: no matching distribution"


def test_without_a_reason_the_last_lines_are_shown(tmp_path: Path, pip: Pip) -> None:
    pip.returncode = 1
    pip.prints = b"".join(b"line %d\n" % number for number in range(100))
    with pytest.raises(FetchError) as caught:
        provision.install((19,), PINS, tmp_path)
    assert caught.value.details.splitlines() == [f"line {number}" for number in range(94, 100)]


def test_removing_takes_what_was_installed_and_nothing_else(tmp_path: Path, pip: Pip) -> None:
    first, second = provision.install((19, 20), PINS, tmp_path)
    assert provision.remove((19,), PINS, tmp_path) == (first,)
    assert not first.exists()
    assert second.is_dir()
    with pytest.raises(UsageError, match=r"llvm-19\.1\.0 is not installed"):
        provision.remove((20, 19), PINS, tmp_path)
    assert second.is_dir(), "all are looked at before the first is removed"


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), PermissionError(errno.EPERM, os.strerror(errno.EPERM))])
def test_what_is_removed_in_part_is_never_taken_for_a_toolchain(
    tmp_path: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    (folder,) = provision.install((19,), PINS, tmp_path)
    calls: list[Path] = []
    real = shutil.rmtree

    def stops(path: Path, *, ignore_errors: bool = False) -> None:
        calls.append(Path(path))
        if len(calls) == 1:
            raise problem
        real(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", stops)
    with pytest.raises((KeyboardInterrupt, FetchError)) as caught:
        provision.remove((19,), PINS, tmp_path)
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []
    if isinstance(caught.value, FetchError):
        assert "Operation not permitted" in caught.value.what
        assert caught.value.where == str(folder)
        assert "by hand" in caught.value.fix
    monkeypatch.undo()
    monkeypatch.setattr(process, "run", pip.run)
    assert provision.install((19,), PINS, tmp_path) == (folder,)
    assert (folder / "ziglang").is_dir(), "it can be installed again"


def test_something_else_in_the_place_of_a_toolchain_is_named(tmp_path: Path, pip: Pip) -> None:
    place = tmp_path / "toolchains" / "llvm-19.1.0"
    place.mkdir(parents=True)
    (place / "notes").write_text("mine")
    with pytest.raises(FetchError, match=r"cannot install LLVM 19\.1\.0") as caught:
        provision.install((19,), PINS, tmp_path)
    assert caught.value.where == str(place)
    assert caught.value.fix == "remove what is in its place, which is not a toolchain"
    assert (place / "notes").read_text() == "mine"
