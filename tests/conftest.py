"""The rules that all tests obey: unit, golden and property tests start no programs and open no sockets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import Any

import pytest
from hypothesis import settings

from stencilkit import cli
from stencilkit.cli import _render
from stencilkit.errors import ExitCode, StencilkitError
from tests import answers

# The same examples every time: a run in CI that fails must fail again. More of others: --hypothesis-seed=N with
# --hypothesis-profile=default.
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

PROCESS_MARKERS = {"process", "network", "oracle", "jit"}
NETWORK_MARKERS = {"network", "oracle", "jit"}


# The folders whose files take minutes come first, so that the workers of `make test` end together.
LONG = ("recipes", "jit", "oracle", "cli")


def folder_of(item: pytest.Item) -> str:
    return item.path.relative_to(item.config.rootpath / "tests").parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (*LONG, folder_of(item)).index(folder_of(item)))  # stable
    for item in items:
        folder = folder_of(item)
        if folder in ("oracle", "jit"):
            item.add_marker(folder)
        if folder in ("cli", "browser"):
            item.add_marker("process")


@pytest.fixture(autouse=True, scope="session")
def _measured_here_only() -> None:
    """Leave the commands that tests start unmeasured; pytest-xdist's workers have started by now."""
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare every answer in JSON that a test makes a command give with its schema."""
    real = _render.print_json

    def checked(kind: str, content: dict[str, Any]) -> None:
        # As it arrives at a reader: tuples are lists there.
        answers.check(json.loads(json.dumps({"schema": _render.SCHEMA, "kind": kind, **content})))
        real(kind, content)

    monkeypatch.setattr(_render, "print_json", checked)


@pytest.fixture(autouse=True)
def _next_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """See that every error that a test makes a command report has a next step."""
    real = cli._trouble

    def checked(error: StencilkitError) -> ExitCode:
        assert error.fix, f"no next step: {error.as_text()}"
        return real(error)

    monkeypatch.setattr(cli, "_trouble", checked)


@pytest.fixture(autouse=True)
def _guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid processes and sockets to tests that are not marked for them."""
    markers = {marker.name for marker in request.node.iter_markers()}

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError(f"{request.node.nodeid} is not marked for this")

    if not markers & PROCESS_MARKERS:
        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    if not markers & NETWORK_MARKERS:
        monkeypatch.setattr(socket.socket, "connect", refuse)
