"""Installing toolchains; pip is replaced."""

from __future__ import annotations

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

    def run(self, command: list[str], *, env: object, **_: object) -> process.Completed:
        self.commands.append(command)
        self.environments.append(env)
        self.requirements.append(Path(command[command.index("-r") + 1]).read_text())
        if not self.returncode:
            (Path(command[command.index("--target") + 1]) / self.makes).mkdir()
        return process.Completed(
            command=tuple(command), returncode=self.returncode, stdout=b"", stderr=b"ERROR: hashes do not match"
        )


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
        return real(command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "run", slow)
    assert provision.install((19,), PINS, tmp_path) == (tmp_path / "toolchains" / "llvm-19.1.0",)
    assert [path.name for path in (tmp_path / "toolchains").iterdir()] == ["llvm-19.1.0"]
