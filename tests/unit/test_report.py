"""Pages of results: everything is linked, nothing is half said, and what a result says never becomes markup."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import pytest

from stencilkit import cli, report, results
from stencilkit.errors import OutputError, ResultError
from stencilkit.model.comparison import Row
from stencilkit.model.manifest import Deviation
from stencilkit.model.qualification import Check, Result
from stencilkit.pipeline import reporting
from stencilkit.report import _plots
from tests import answers
from tests.results import cell, checks, differing, matrix, result

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "../../../etc/passwd",
    "{{ 7 * 7 }}{% raw %}",
    "</title><script>",
    "$\\frac{1}{2",
    "javascript:alert(1)",
    "a\u202eb\u200f",
    "\x00\x1b[31m",
]


class Seen(HTMLParser):
    """The elements, attributes, links and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.named += [
            name
            for key, value in attrs
            if key in ("aria-labelledby", "aria-describedby")
            for name in (value or "").split()
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: bytes) -> Seen:
    seen = Seen()
    seen.feed(page.decode())
    return seen


def rendered(found: Iterable[Result]) -> dict[str, bytes]:
    pages = list(report.render(list(found), results.summary, results.differing))
    site = dict(pages)
    assert len(site) == len(pages), "two pages have one name"
    for name, content in site.items():
        if name.endswith(".json"):
            answers.check(json.loads(content))
    return site


@pytest.fixture(scope="module")
def site() -> dict[str, bytes]:
    return rendered(matrix())


def html(site: dict[str, bytes]) -> dict[str, Seen]:
    return {name: read(page) for name, page in site.items() if name.endswith(".html")}


def test_every_link_leads_somewhere_and_every_page_is_linked(site: dict[str, bytes]) -> None:
    reached = set()
    for name, seen in html(site).items():
        folder = PurePosixPath(name).parent
        for link in seen.links:
            if link.startswith("#"):
                assert link[1:] in seen.ids, f"{name}: {link}"
            elif not link.startswith("data:"):
                parts: list[str] = []
                for part in (folder / link).parts:
                    parts = parts[:-1] if part == ".." else [*parts, part]
                assert "/".join(parts) in site, f"{name}: {link}"
                reached.add("/".join(parts))
    assert reached | {"index.html"} == site.keys()


def test_names_that_pages_use_are_there_once(site: dict[str, bytes]) -> None:
    for name, seen in html(site).items():
        assert len(set(seen.ids)) == len(seen.ids), name
        assert set(seen.named) <= set(seen.ids), name


def test_the_heat_map_has_words_for_every_verdict(site: dict[str, bytes]) -> None:
    text = " ".join(html(site)["index.html"].text.split())
    for words in (
        "qualified",
        "with notes",
        "not qualified",
        "not finished",
        "upstream\u2019s LLVM",
        "274 of 286 the same",
    ):
        assert words in text
    assert "CPython 3.14.1, LLVM 23.1.4, x86_64-unknown-linux-gnu, release : as the ledger says" in text.replace(
        "release:", "release :"
    )


def test_what_differs_has_a_page_with_both_listings_and_the_proof(site: dict[str, bytes]) -> None:
    (name, *_) = [name for name in site if re.fullmatch(r"stencils/_UOP_4_0-[0-9a-f]{12}\.html", name)]
    text = html(site)[name].text
    for words in (
        "movabs rcx, 0",
        "instruction->operand0",
        "mov ecx, 1",
        "not proved: limit",
        "42 \u2192 40 bytes",
        "- _Py_Dealloc",
    ):
        assert words in text
    # It is the same in both CPythons, so it has one page.
    assert text.count("CPython 3.14.0, LLVM 23.1.4") == text.count("CPython 3.14.1, LLVM 23.1.4") == 1


def test_every_table_is_there_as_json(site: dict[str, bytes]) -> None:
    for name, page in site.items():
        if name.endswith(".html") and name != "index.html":
            assert name.replace(".html", ".json") in site
        assert page.endswith(b"\n"), name
    cells = json.loads(site["site.json"])["cells"]
    assert len(cells) == 40
    assert {row["verdict"] for row in cells} == {"qualified", "qualified, with notes", "not qualified", "not finished"}
    assert all(row["page"] in site for row in cells)
    assert len(json.loads(site["plots.json"])["plots"]) == 3
    assert {json.loads(page)["kind"] for name, page in site.items() if name.endswith(".json")} == {
        "report",
        "report-plots",
        "report-cell",
        "report-stencil",
    }


def hostile(text: str, **place: str) -> Result:
    """A result that says a text wherever it can."""
    item = differing(text, proof=text, why=text, holes=(text,), symbols=(text,), data=(text,))
    item = replace(item, rows=(Row(text, f"x  ; {text}", same=False),))
    return result(
        cell=cell(llvm=text, target=text, **place),
        vendor=text,
        reference=text,
        checks=(Check(name="built", outcome="failed", figure=text, reason=text), *checks()[1:]),
        deviations=(Deviation(what=text, why=text, cost=text),),
        differing=(item,),
        seconds={text: 1.0, "built": 2.0},
        speed={text: 1.5},
    )


@pytest.mark.parametrize("plotted", [True, False])
def test_what_a_result_says_never_becomes_markup(*, plotted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All texts in the plots of one CPython; and each text as a CPython's name, whose plots would take seconds."""
    plain = rendered(
        [result(cell=cell(llvm=llvm), checks=checks(built="failed"), speed={llvm: 1}) for llvm in ("20.1.2", "21.1.0")]
    )
    if plotted:
        found = [hostile(text) for text in HOSTILE]
    else:
        monkeypatch.setattr(_plots, "draw", lambda *_: "<svg></svg>")
        found = [hostile(text, cpython=text) for text in HOSTILE]
    site = rendered(found)
    known = {
        name: set().union(*(getattr(seen, name) for seen in html(plain).values())) for name in ("tags", "attributes")
    }
    for name, seen in html(site).items():
        assert seen.tags <= known["tags"] | {"code"}, name
        assert seen.attributes <= known["attributes"], name
        assert not [link for link in seen.links if link.lower().startswith("javascript")]
        assert "\x1b" not in site[name].decode()
        assert "\u202e" not in site[name].decode()
    for name in site:
        assert re.fullmatch(r"(?:(?:cells|stencils)/)?[A-Za-z0-9_][A-Za-z0-9._-]*", name), name
    assert ("alert(1)" in html(site)["index.html"].text) or not plotted


def test_speeds_are_compared_within_a_cell() -> None:
    """Not with what another cell measured, when the machine did something else."""
    pinned = result(cell=cell(llvm="19.1.7"), reference="19.1.7", pinned=True, speed={"19.1.7": 3.4})
    other = result(reference="19.1.7", speed={"22.1.8": 1.2, "19.1.7": 1.5})
    plots = json.loads(rendered([pinned, other])["plots.json"])["plots"]
    (speed,) = [plot for plot in plots if plot["title"].startswith("Speed")]
    assert [round(value) for value in speed["lines"][f"{cell().target}, release"]] == [100, 80]


def test_names_that_only_look_alike_have_pages_of_their_own() -> None:
    site = rendered([result(cell=cell(llvm="a b")), result(cell=cell(llvm="a/b")), result(cell=cell(llvm="a_b"))])
    assert len([name for name in site if name.startswith("cells/") and name.endswith(".html")]) == 3


def test_the_order_of_results_changes_nothing() -> None:
    found = list(matrix(cpythons=1, per=2))
    assert rendered(found) == rendered(reversed(found))


def test_a_report_is_replaced_whole_and_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "site"
    count = reporting.write([result()], out)
    assert count == len([path for path in out.rglob("*") if path.is_file()])
    (out / "old.html").write_text("")
    reporting.write([result()], out)
    assert not (out / "old.html").exists()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def broken(*_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "render", broken)
    with pytest.raises(OutputError, match="No space left"):
        reporting.write([result()], out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    with monkeypatch.context() as patched:
        rename = Path.rename

        def interrupted(path: Path, to: Path) -> Path:
            if path.name == "site" and path.parent != tmp_path:
                raise KeyboardInterrupt
            return rename(path, to)

        patched.setattr(Path, "rename", interrupted)
        monkeypatch.setattr(report, "render", lambda *_: iter([("index.html", b"new")]))
        with pytest.raises(KeyboardInterrupt):
            reporting.write([result()], out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="is not a report"):
        reporting.write([result()], tmp_path / "mine")


def test_a_report_keeps_out_of_results_and_goes_where_a_link_leads(tmp_path: Path) -> None:
    made = folder(tmp_path / "qualified", result())
    for place in (made, made / "site", made / "3.14.7" / "site"):
        with pytest.raises(OutputError, match="is in a folder of results"):
            reporting.write([result()], place)
    assert reporting.gather([made]) == (result(),)
    (tmp_path / "www").mkdir()
    (tmp_path / "link").symlink_to("www")
    reporting.write([result()], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "www" / "index.html").is_file()


def test_what_is_neither_results_nor_a_ledger_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "there are neither results nor a ledger in this folder" in capsys.readouterr().err


def folder(path: Path, *found: Result) -> Path:
    with results.claimed(path, "0", resume=False):
        for item in found:
            results.write(path, item)
    return path


def test_results_of_another_version_are_shown_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "old", result(stencilkit="0.0.9"), result(cell=cell(llvm="20.1.2")))
    assert cli.main(["report", str(tmp_path / "old"), "--out", str(tmp_path / "site")]) == 0
    assert "note: stencilkit 0.0.9 made some of these results; this is " in capsys.readouterr().err
    pages = [path.read_text() for path in (tmp_path / "site" / "cells").glob("*.html")]
    assert sum("<dt>Asked by</dt><dd>stencilkit 0.0.9</dd>" in page for page in pages) == 1
    folder(tmp_path / "new", result())
    assert cli.main(["report", str(tmp_path / "new")]) == 0
    assert "note" not in capsys.readouterr().err


def test_results_of_many_machines_are_one_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "all" / "one", result())
    folder(tmp_path / "all" / "two", result(cell=cell(llvm="20.1.2"), checks=checks(ledger="failed")))
    assert cli.main(["report", str(tmp_path / "all"), "--out", str(tmp_path / "site"), "--format", "json"]) == 0
    assert [row["verdict"] for row in json.loads(capsys.readouterr().out)["cells"]] == ["qualified", "not qualified"]
    page = (tmp_path / "site" / "index.html").read_text()
    assert page.count('role="cell" class="no"') == 1
    folder(tmp_path / "all" / "three", result())
    with pytest.raises(ResultError, match=r"two results of CPython 3\.14\.7, LLVM 22\.1\.8"):
        reporting.gather([tmp_path / "all"])
    (tmp_path / "all" / "one" / cell().place).write_text("{")
    assert cli.main(["report", str(tmp_path / "all")]) == 2
    assert "not JSON that can be read" in capsys.readouterr().err


@pytest.mark.matrix
def test_500_cells_take_ten_seconds_and_25_megabytes(tmp_path: Path) -> None:
    found = list(matrix(cpythons=25, per=12))
    # Of the processor: it is what a machine takes that does nothing else meanwhile.
    started = time.process_time()
    reporting.write(found, tmp_path / "site")
    seconds = time.process_time() - started
    size = sum(path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file())
    print(f"{len(found)} cells: {seconds:.1f} s, {size / 1e6:.1f} MB")
    assert len(found) == 500
    assert seconds < 10
    assert size < 25e6
