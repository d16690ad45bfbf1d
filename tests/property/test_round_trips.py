"""What is written is read back as it was: headers of every CPython, manifests, versions."""

from __future__ import annotations

import functools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilkit import dialects, emit, manifest, reader
from stencilkit.errors import HeaderError, ManifestError
from stencilkit.model.header import HeaderFormat
from stencilkit.model.manifest import Deviation, FlagRecord, Manifest, Provenance, StencilRecord, VariantRecord
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup, StencilSet
from stencilkit.model.version import LlvmVersion, MajorRange, PythonVersion
from stencilkit.support import escape
from tests import samples

FORMS = dialects.header_forms()
LINE1 = "0" * 64
NAMES = st.from_regex(re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,12}", re.ASCII), fullmatch=True)
OFFSETS = st.integers(0, 2**31)
ADDENDS = st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1))
SPECIAL = {"patch_got_symbol", "patch_aarch64_trampoline", "patch_x86_64_trampoline"}


def readable_values(form: HeaderFormat) -> list[HoleValue]:
    """List the values that a header tells apart: of several with one expression, the first is meant."""
    first: dict[str, HoleValue] = {}
    for value, expression in form.values.items():
        first.setdefault(expression, value)
    return [value for value in first.values() if value is not HoleValue.GOT]


def patches(form: HeaderFormat, symbols: list[str]) -> st.SearchStrategy[Patch]:
    functions = sorted(form.functions - SPECIAL)
    address = st.builds(
        Patch,
        func=st.sampled_from(functions),
        offsets=st.one_of(st.tuples(OFFSETS), st.tuples(OFFSETS, OFFSETS)),
        value=st.sampled_from([*readable_values(form), HoleValue.ZERO]),
        symbol=st.one_of(st.none(), NAMES),
        addend=ADDENDS,
    )
    kinds = [address]
    if symbols and "trampoline" in form.masks:
        trampolines = sorted(form.functions & {"patch_aarch64_trampoline", "patch_x86_64_trampoline"})
        kinds.append(
            st.builds(
                Patch,
                func=st.sampled_from(trampolines),
                offsets=st.tuples(OFFSETS),
                form=st.just(PatchForm.TRAMPOLINE),
                symbol=st.sampled_from(symbols),
            )
        )
    if symbols and "got" in form.masks:
        kinds.append(
            st.builds(
                Patch,
                func=st.sampled_from(functions),
                offsets=st.one_of(st.tuples(OFFSETS), st.tuples(OFFSETS, OFFSETS)),
                form=st.just(PatchForm.GOT_SLOT),
                symbol=st.sampled_from(symbols),
                addend=st.sampled_from([0, -4]),
            )
        )
        kinds.append(st.just(Patch(func="", offsets=(0,), form=PatchForm.VOID)))
    return st.one_of(kinds)


def fills(form: HeaderFormat, symbols: list[str]) -> st.SearchStrategy[Patch]:
    if not symbols or "got" not in form.masks:
        return st.nothing()
    return st.builds(
        Patch,
        func=st.just("patch_got_symbol"),
        offsets=st.just(()),
        form=st.just(PatchForm.GOT_FILL),
        value=st.just(HoleValue.GOT),
        symbol=st.sampled_from(symbols),
    )


def placed(drawn: list[Patch]) -> tuple[Patch, ...]:
    """Give blank lines the offset that a reader gives them: the one of the line before."""
    found: list[Patch] = []
    for patch in drawn:
        before = found[-1].offsets[-1:] if found else ()
        found.append(replace(patch, offsets=before or (0,)) if patch.form is PatchForm.VOID else patch)
    return tuple(found)


@st.composite
def stencil_sets(draw: st.DrawFn, form: HeaderFormat) -> StencilSet:
    symbols = draw(st.lists(NAMES, max_size=40, unique=True)) if form.masks else []
    bodies = st.binary(max_size=20).map(lambda body: body + bytes(len(body) % 3))
    code = st.builds(Stencil, body=bodies, patches=st.lists(patches(form, symbols), max_size=5).map(placed))
    plain = patches(form, symbols).filter(lambda patch: patch.form is not PatchForm.VOID)
    data = st.builds(
        Stencil, body=bodies, patches=st.lists(st.one_of(plain, fills(form, symbols)), max_size=4).map(tuple)
    )
    names = draw(st.lists(NAMES.filter(lambda name: name != form.entry), min_size=1, max_size=4, unique=True))
    if form.entry:
        names.append(form.entry)
    groups = tuple(StencilGroup(name=name, code=draw(code), data=draw(data)) for name in names)
    return StencilSet(groups=groups, entry=form.entry, symbols=tuple(symbols))


def render(stencils: StencilSet, form: HeaderFormat) -> str:
    return emit.render_header(stencils, form, line1=LINE1, line2="ours")


@functools.cache
def sample(series: str) -> str:
    """A header with one patch of every form."""
    form = dialects.dialect_for(series).HEADER
    functions = sorted(form.functions - SPECIAL)
    symbols = ["_PyFoo", "PyBar"] if form.masks else []
    code = [Patch(func=functions[0], offsets=(8 * index,), value=value, symbol="_Py", addend=-index)
            for index, value in enumerate(readable_values(form))]  # fmt: skip
    data: list[Patch] = []
    if symbols:
        code.append(Patch(func="patch_aarch64_trampoline", offsets=(1,), form=PatchForm.TRAMPOLINE, symbol="PyBar"))
    if "got" in form.masks:
        code.append(Patch(func=functions[1], offsets=(2, 3), form=PatchForm.GOT_SLOT, symbol="_PyFoo", addend=-4))
        data.append(Patch(func="patch_got_symbol", offsets=(), form=PatchForm.GOT_FILL, symbol="PyBar"))
    group = StencilGroup(
        name="_NOP",
        code=Stencil(body=bytes(range(20)), patches=tuple(code)),
        data=Stencil(body=b"\1" * 9, patches=tuple(data)),
    )
    entry = (replace(group, name=form.entry),) if form.entry else ()
    return render(StencilSet(groups=(group, *entry), entry=form.entry, symbols=tuple(symbols)), form)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.series)
@settings(max_examples=35, deadline=None)
@given(data=st.data())
def test_a_header_is_read_as_it_was_written(form: HeaderFormat, data: st.DataObject) -> None:
    stencils = data.draw(stencil_sets(form))
    text = render(stencils, form)
    read = reader.read(text, FORMS, "a.h")
    assert (read.format, read.line1, read.line2, read.comments) == (form, LINE1, "ours", 0)
    assert read.stencils == stencils
    assert render(read.stencils, read.format) == text


@pytest.mark.parametrize("series", dialects.KNOWN)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_header_is_refused_with_its_line_or_means_something(series: str, data: st.DataObject) -> None:
    """What the reader makes of it can be rendered, and means the same then: that is what `verify` builds on."""
    text = sample(series)
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.sampled_from(["", "0", "1", "x", "-", " ", "\n", "/", "{", ",", "_", "\x00", "é", "\uff19"]))
    length = data.draw(st.sampled_from([0, 1, 1, 1, 5, 60]))
    changed = text[:at] + new + text[at + length :]
    try:
        read = reader.read(changed, FORMS, "a.h")
    except HeaderError as error:
        assert re.fullmatch(r"a\.h, line \d+", error.where)
        assert int(error.where.rpartition(" ")[2]) <= changed.count("\n") + 1
        return
    again = emit.render_header(read.stencils, read.format, line1=read.line1, line2=read.line2)
    assert replace(read, comments=0) == reader.read(again, FORMS, "b.h")


# What a manifest may hold: one line, which no terminal obeys.
TEXTS = st.text(st.characters().filter(lambda one: one != "\n" and not escape.CONTROL.match(one)), max_size=20)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS),
    command=st.lists(TEXTS, max_size=4),
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    sizes=st.lists(st.integers(0, 2**40), min_size=12, max_size=12),
)
def test_a_manifest_is_read_as_it_was_written(
    texts: tuple[str, ...], command: list[str], names: list[str], sizes: list[int], manifest_sample: Manifest
) -> None:
    stencils = tuple(
        StencilRecord(
            name=name, content=samples.digest(name.encode()), code=sizes[index], data=sizes[4 + index],
            holes=sizes[8 + index],
        )
        for index, name in enumerate(sorted(names))
    )  # fmt: skip
    described = replace(
        manifest_sample,
        cflags=texts[0],
        stencils=stencils,
        content_digest=manifest.content_digest(stencils, {}),
        deviations=(Deviation(what=texts[1], why=texts[2], cost=texts[3]),),
        variants=(VariantRecord(name=texts[2], why=texts[0]),),
        flags=(FlagRecord(flag=texts[3], why=texts[0]),),
        provenance=Provenance(stencilkit=texts[1], host=texts[2], time="", command=tuple(command)),
    )
    assert manifest.parse(manifest.render(described), "manifest.toml") == described


@pytest.fixture(scope="module")
def manifest_sample(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    opened = samples.tree(tmp_path_factory.mktemp("tree"))
    return samples.describe(opened, samples.FILES, samples.stencils(), LINE1)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_manifest_is_refused(data: st.DataObject, manifest_sample: Manifest) -> None:
    text = manifest.render(manifest_sample)
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.sampled_from(["", "0", "x", '"', "\n", "=", "[", "\\", "\x00", "é"]))
    changed = text[:at] + new + text[at + data.draw(st.sampled_from([0, 1, 7])) :]
    if changed == text:
        return
    with pytest.raises(ManifestError) as caught:
        manifest.parse(changed, "manifest.toml")
    assert caught.value.where.startswith("manifest.toml")


NUMBERS = st.integers(0, 999)


@given(major=NUMBERS, minor=NUMBERS, micro=NUMBERS, pre=st.sampled_from(["", "a", "b", "rc"]), serial=NUMBERS)
def test_python_versions_are_read_as_they_are_written(
    major: int, minor: int, micro: int, pre: str, serial: int
) -> None:
    text = f"{major}.{minor}.{micro}" + (f"{pre}{serial}" if pre else "")
    version = PythonVersion.parse(text)
    assert version is not None
    assert (str(version), version.series) == (text, f"{major}.{minor}")


@given(parts=st.tuples(NUMBERS, NUMBERS, NUMBERS), others=st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_llvm_versions_are_ordered_as_numbers(parts: tuple[int, int, int], others: tuple[int, int, int]) -> None:
    one, other = (LlvmVersion.parse(".".join(map(str, numbers))) for numbers in (parts, others))
    assert one is not None
    assert other is not None
    assert (one < other) == (parts < others)


@given(first=st.integers(0, 900), count=st.integers(0, 50), probe=st.integers(0, 1100))
def test_ranges_hold_their_ends_and_what_is_between(first: int, count: int, probe: int) -> None:
    held = MajorRange.parse(f"{first}..{first + count}")
    assert held is not None
    assert (probe in held) == (first <= probe <= first + count) == (probe in list(held))
    assert MajorRange.parse(str(held)) == held
    assert count == 0 or MajorRange.parse(f"{first + count}..{first}") is None


@settings(max_examples=300)
@given(text=st.text(alphabet="0123456789.rcab+ -~\n", max_size=12))
def test_odd_versions_are_no_versions(text: str) -> None:
    """Whatever is taken for a version is one, and is spelled with the same characters."""
    for kind in (PythonVersion, LlvmVersion, MajorRange):
        found = kind.parse(text)
        if found is not None:
            assert kind.parse(str(found)) == found
            assert set(str(found)) <= set(text)
