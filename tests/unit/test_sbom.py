"""Bills of materials: what is in them, that the ecosystem's validators take them, and that they are always the same."""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.json import json_parser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from stencilkit import manifest, sbom
from stencilkit.cli import main
from stencilkit.errors import ExitCode, UsageError
from stencilkit.pipeline import bundling
from tests import samples

FORMS = ("cyclonedx", "spdx")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree"))
    return tmp_path / "out"


@pytest.fixture
def bundle(tmp_path: Path, built: Path) -> Path:
    path = tmp_path / "stencils.tar"
    path.write_bytes(bundling.pack(bundling.open_all(built), compress=False))
    return path


def written(source: Path, form: str) -> bytes:
    path = source.parent / f"bill.{form}.json"
    assert main(["sbom", str(source), "--format", form, "-o", str(path)]) == ExitCode.OK
    return path.read_bytes()


@pytest.mark.parametrize("epoch", ["", "1750000000"])
@pytest.mark.parametrize("what", ["built", "bundle"])
def test_cyclonedx_s_validator_takes_it(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, what: str, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    text = written(request.getfixturevalue(what), "cyclonedx").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    broken = text.replace('"type": "file"', '"type": "unheard-of"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


@pytest.mark.parametrize("epoch", ["", "1750000000"])
@pytest.mark.parametrize("what", ["built", "bundle"])
def test_spdx_s_validator_takes_it(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    path = tmp_path / "bill.spdx.json"
    path.write_bytes(written(request.getfixturevalue(what), "spdx"))
    assert validate_full_spdx_document(json_parser.parse_from_file(str(path))) == []
    document = json.loads(path.read_text())
    document["documentNamespace"] = "nowhere"
    path.write_text(json.dumps(document))
    assert validate_full_spdx_document(json_parser.parse_from_file(str(path))) != []


@pytest.mark.parametrize("form", FORMS)
def test_the_same_bundle_gives_the_same_bytes(bundle: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(bundle, form)
    assert written(bundle, form) == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    assert written(bundle, form) != first
    assert b"2025-06-15T15:06:40" in written(bundle, form)


@pytest.mark.parametrize("form", FORMS)
def test_other_content_has_another_serial_number(tmp_path: Path, form: str, built: Path, bundle: Path) -> None:
    def serial(source: Path) -> Any:
        document = json.loads(written(source, form))
        return document.get("serialNumber") or document["documentNamespace"]

    assert serial(built) != serial(bundle)
    if form == "cyclonedx":
        assert uuid.UUID(serial(built)).version == 5


def test_licences_are_those_of_what_it_was_made_from(built: Path) -> None:
    items = {item.name: item for item in sbom.bill("x", "", bundling.open_all(built)).items}
    assert items["CPython"].licence == "PSF-2.0"
    assert items["clang"].licence == "Apache-2.0 WITH LLVM-exception"
    assert items["C library's headers"].licence == ""
    (stencils,) = (item for item in items.values() if item.part == "stencils")
    assert stencils.licence == "PSF-2.0"
    names = {file.name.rpartition("/")[2]: file.sha256 for file in stencils.files}
    assert names == {path.name: samples.digest(path.read_bytes()) for path in built.glob("*.h")}


def test_what_cpython_s_licence_covers_is_marked_as_shipped(built: Path) -> None:
    found = {item["name"]: item for item in json.loads(written(built, "cyclonedx"))["components"]}
    assert {name for name, item in found.items() if item["scope"] == "excluded"} == {
        "clang",
        "stencilkit",
        "C library's headers",
    }


def test_what_is_not_what_its_manifest_says_has_no_bill(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = built / "jit_stencils.h"
    header.write_bytes(header.read_bytes() + b"#error\n")
    assert main(["sbom", str(built)]) in (ExitCode.DIFFERENT, ExitCode.TROUBLE)
    assert capsys.readouterr().out == "" or "bomFormat" not in capsys.readouterr().out


@pytest.mark.parametrize(("form", "package"), [("cyclonedx", "cyclonedx"), ("spdx", "spdx_tools")])
def test_without_the_extra_the_message_says_so(
    monkeypatch: pytest.MonkeyPatch, built: Path, form: sbom.Form, package: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(("stencilkit.sbom._", package))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sbom, f"_{form}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs the Python package {package}") as caught:
        sbom.render(sbom.bill("x", "", bundling.open_all(built)), form)
    assert "stencilkit[sbom]" in caught.value.fix


def test_what_pack_was_told_to_accept_has_a_bill(built: Path) -> None:
    """Whether mingw's headers are good enough was asked when it was packed; a bill says what is there."""
    (item,) = bundling.open_all(built)
    place = Path(item.where)
    place = place if place.is_dir() else place.parent
    (place / "manifest.toml").write_text(manifest.render(replace(item.manifest, headers="mingw")))
    assert main(["sbom", str(built)]) == ExitCode.OK
