"""Every command, given what cannot be what it wants: one block that names it and a next step; never a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from stencilkit import cli
from stencilkit.errors import ExitCode

# They hand what follows to another program (regen), take no path, or would ask the network.
LEFT_OUT = {"regen", "completion", "fetch", "toolchains install"}


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*words, name))
        elif found is not None:
            yield " ".join((*words, name)), found


COMMANDS = {
    name: command
    for name, command in commands(cli.group)
    if name not in LEFT_OUT and any(isinstance(parameter, click.Argument) for parameter in command.params)
}
OBJECTS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: path,
    "an empty file": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 64),
    "a schema": lambda path: path.write_text("schema = 1\n"),
    "JSON": lambda path: path.write_text("{}"),
    "an empty folder": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "a huge file": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 5 << 30),
    "the start of a gzip": lambda path: path.write_bytes(b"\x1f\x8b" + bytes(100)),
    "the start of a package": lambda path: path.write_bytes(b"\xed\xab\xee\xdb" + bytes(200)),
    "the start of an ELF file": lambda path: path.write_bytes(b"\x7fELF\2\1\1" + bytes(300)),
}


def required(command: click.Command, value: Path, out: Path) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.required:
            yield from (parameter.opts[0], str(out if "out" in parameter.opts[0] else value))
    yield "--"
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield from [str(value)] * max(parameter.nargs, 1)


# identify reads what may be a program in a process of its own.
PARAMETERS = [pytest.param(name, marks=[pytest.mark.process] if name == "identify" else []) for name in COMMANDS]


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_cannot_be_meant_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("STENCILKIT_CACHE", "STENCILKIT_DATA"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.chdir(tmp_path)
    for number, (what, make) in enumerate(OBJECTS.items()):
        value = tmp_path / f"value-{number}"
        make(value)
        before = sorted(tmp_path.rglob("*"))
        code = cli.main([*name.split(), *required(COMMANDS[name], value, tmp_path / "made.tar")])
        printed = capsys.readouterr()
        assert code in (ExitCode.OK, ExitCode.DIFFERENT, ExitCode.TROUBLE), (what, printed.err)
        assert "Traceback" not in printed.err, what
        if code == ExitCode.TROUBLE:
            assert printed.err.startswith("stencilkit: error: "), what
            assert printed.err.count("  next:  ") == 1, (what, printed.err)
            assert sorted(tmp_path.rglob("*")) == before, what
