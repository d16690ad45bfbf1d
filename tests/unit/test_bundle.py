"""What `pack` writes, and what is refused of what somebody else wrote; no bundle here is larger than a few kB."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import artifact, manifest
from stencilkit.errors import BundleError, RefusedError
from stencilkit.model.artifact import Artifact
from stencilkit.pipeline import bundling
from tests import samples

STEM = f"Tools/jit/stencils/{samples.TRIPLE}"


@pytest.fixture
def one(tmp_path: Path) -> Artifact:
    samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree"))
    (item,) = bundling.open_all(tmp_path / "out")
    return item


def other(item: Artifact, **changes: str) -> Artifact:
    """Make an artifact by another LLVM, for another triple, flavour or CPython."""
    llvm = changes.pop("llvm", item.manifest.toolchain.version)
    tool = replace(item.manifest.toolchain, version=llvm)
    files = item.manifest.files
    if triple := changes.get("triple"):
        changes["spelling"] = triple
        files = tuple(replace(file, name=file.name.replace(samples.TRIPLE, triple)) for file in files)
    described = replace(item.manifest, toolchain=tool, files=files, **changes)  # type: ignore[arg-type]  # names of its fields
    return replace(item, manifest=described, manifest_text=manifest.render(described).encode())


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()


def test_what_is_packed_comes_back(one: Artifact, tmp_path: Path) -> None:
    path = write(tmp_path / "b.tar.gz", bundling.pack([one], compress=True))
    (back,) = bundling.open_all(path)
    assert back.contents == one.contents
    assert back.manifest == one.manifest
    assert back.manifest_text == one.manifest_text
    assert back.files == one.files


def test_the_same_folders_give_the_same_bytes_in_any_order(one: Artifact) -> None:
    many = [one, other(one, llvm="20.1.2"), other(one, flavour="debug")]
    data = bundling.pack(many, compress=True)
    assert data == bundling.pack(many[::-1], compress=True)
    for member in members(data):
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert (member.mtime, member.mode, member.type) == (0, 0o644, tarfile.REGTYPE)
    names = [member.name for member in members(data)]
    assert names == sorted(names)
    assert data[4:8] == bytes(4), "gzip's time"


def test_what_lies_where_pep_774_looks_is_upstreams_llvm(one: Artifact, tmp_path: Path) -> None:
    many = [other(one, llvm="18.1.8"), one, other(one, llvm="21.1.0"), other(one, flavour="debug", llvm="20.1.2")]
    path = write(tmp_path / "b.tar", bundling.pack(many, compress=False))
    names = {member.name for member in members(path.read_bytes())}
    root = "Tools/jit/stencils"
    assert {f"{STEM}.h", f"{root}/llvm-18.1.8/{samples.TRIPLE}.h", f"{root}/llvm-21.1.0/{samples.TRIPLE}.h"} <= names
    assert f"{root}/debug/{samples.TRIPLE}.h" in names
    assert {f"{root}/SHA256SUMS", f"{root}/BUILDINFO"} <= names
    opened = bundling.open_all(path)
    assert sorted(item.title for item in opened) == sorted(item.title for item in many)
    release = artifact.choose(opened, version="3.14.7", triple=samples.TRIPLE, flavour="release")
    assert bundling.preferred(release).manifest.toolchain.version == "19.1.7"
    chosen = artifact.choose(opened, version="3.14.7", triple=samples.TRIPLE, flavour="release", llvm="21")
    assert [item.manifest.toolchain.version for item in chosen] == ["21.1.0"]


def test_manifests_of_other_targets_need_not_be_read(one: Artifact, tmp_path: Path) -> None:
    far = other(one, triple="aarch64-unknown-linux-gnu")
    path = write(tmp_path / "b.tar", bundling.pack([one, far], compress=False))
    assert [item.manifest.triple for item in bundling.open_all(path, [samples.TRIPLE])] == [samples.TRIPLE]
    # The other one is these very stencils under another name, which is seen where it is read.
    for triples in (["i686-pc-windows-msvc"], []):
        with pytest.raises(RefusedError, match=r"jit_stencils\.h is not what stencilkit writes"):
            bundling.open_all(path, triples)


def test_several_llvms_without_upstreams_must_be_named(one: Artifact) -> None:
    with pytest.raises(BundleError, match=r"several LLVMs' stencils: 20.1.2, 21.1.0"):
        bundling.preferred([other(one, llvm="20.1.2"), other(one, llvm="21.1.0")])


def test_a_version_is_not_a_prefix(one: Artifact) -> None:
    for llvm in ("1", "19.1.70", "9"):
        with pytest.raises(BundleError, match=r"next|there are no release stencils"):
            artifact.choose([one], version="3.14.7", triple=samples.TRIPLE, flavour="release", llvm=llvm)


def test_two_of_the_same_are_refused(one: Artifact) -> None:
    with pytest.raises(BundleError, match=r"there are two of CPython 3\.14\.7"):
        bundling.pack([one, one], compress=False)


def test_two_cpythons_are_refused(one: Artifact) -> None:
    with pytest.raises(BundleError, match=r"these are for 3.14.7, 3.14.8"):
        bundling.pack([one, other(one, cpython="3.14.8")], compress=False)


def test_buildinfo_names_compiler_and_checksums(one: Artifact) -> None:
    text = artifact.lay_out([one], [one], "stencilkit 0")[artifact.BUILDINFO].decode()
    assert "Source: cpython\nVersion: 3.14.7\n" in text
    assert one.manifest.content_digest in text
    assert f" clang (= 19.1.7), Sample clang, sha256:{one.manifest.toolchain.program}\n" in text
    assert f"{STEM}.h\n" in text


def test_fedoras_names(one: Artifact) -> None:
    both = [one, other(one, flavour="debug")]
    assert sorted(artifact.fedora_names(both)) == [
        "Python-3.14.7-x86_64-debug-jit_stencils.h",
        "Python-3.14.7-x86_64-optimized-jit_stencils.h",
    ]
    with pytest.raises(BundleError, match="have the same name"):
        artifact.fedora_names([one, other(one, llvm="20.1.2")])


def test_a_folder_with_a_changed_file_is_refused(tmp_path: Path) -> None:
    header = samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree"))
    header.write_text(header.read_text() + "\n")
    with pytest.raises(BundleError, match=r"jit_stencils-.*\.h is not what its manifest says"):
        bundling.open_all(tmp_path / "out")
    header.unlink()
    with pytest.raises(BundleError, match=r"jit_stencils-.*\.h is missing"):
        bundling.open_all(tmp_path / "out")
    with pytest.raises(BundleError, match="has no output folder"):
        bundling.open_all(tmp_path / "tree")


# --- hostile bundles ---------------------------------------------------------------------------------------------


def entries(item: Artifact) -> dict[str, bytes]:
    return artifact.lay_out([item], [item], "stencilkit 0")


def summed(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Write SHA256SUMS anew, as somebody would who changes a bundle on purpose."""
    rest = {name: data for name, data in contents.items() if name != artifact.SUMS}
    sums = "".join(f"{samples.digest(data)}  {name}\n" for name, data in sorted(rest.items()))
    return {**rest, artifact.SUMS: sums.encode()}


def tarred(contents: dict[str, bytes], *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info, data in more:
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def zeros(item: Artifact) -> bytes:
    """Claim 10 GB of zeros, and start to deliver them."""
    info = tarfile.TarInfo(f"{STEM}.zeros")
    info.size = 10 << 30
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20) + tarred(entries(item))


def bomb(item: Artifact) -> bytes:
    """Compress zeros that follow the end of the archive: 600 MB in 600 kB."""
    whole = io.BytesIO()
    with gzip.GzipFile(fileobj=whole, mode="wb", compresslevel=1) as out:
        out.write(tarred(entries(item)))
        for _ in range(600):
            out.write(bytes(1 << 20))
    return whole.getvalue()


def damaged_sum(item: Artifact) -> bytes:
    contents = entries(item)
    contents[f"{STEM}.h"] = contents[f"{STEM}.h"].replace(b"0x90,", b"0x91,", 1)
    return tarred(contents)


def damaged_manifest_sum(item: Artifact) -> bytes:
    contents = entries(item)
    contents[f"{STEM}.h"] = contents[f"{STEM}.h"].replace(b"0x90,", b"0x91,", 1)
    return tarred(summed(contents))


def moved(item: Artifact) -> bytes:
    """Put release stencils where debug ones belong."""
    return tarred(
        summed({name.replace("stencils/x86", "stencils/debug/x86"): data for name, data in entries(item).items()})
    )


def without(item: Artifact, name: str) -> dict[str, bytes]:
    return {key: data for key, data in entries(item).items() if key != name}


HOSTILE: dict[str, tuple[Callable[[Artifact], bytes], str]] = {
    "no archive": (lambda _: b"x" * 5000, "it is not a tar archive, or it is damaged"),
    "nothing": (lambda _: b"", "cannot read the archive: empty file"),
    "cut short": (lambda item: tarred(entries(item))[:-2000][:6000], "cannot read the archive|cut short"),
    "cut gzip": (lambda item: gzip.compress(tarred(entries(item)))[:-40], "cannot read the archive"),
    "damaged gzip": (lambda item: gzip.compress(tarred(entries(item)))[:-8] + bytes(8), "cannot read the archive"),
    "a path out": (lambda item: tarred(entries(item), entry("../evil")), r"unsafe path: '../evil'"),
    "a path out, deep": (lambda item: tarred(entries(item), entry("Tools/../../evil")), "unsafe path"),
    "an absolute path": (lambda item: tarred(entries(item), entry("/etc/evil")), "unsafe path"),
    "a drive": (lambda item: tarred(entries(item), entry("C:evil")), "unsafe path"),
    "a backslash": (lambda item: tarred(entries(item), entry("..\\evil")), "unsafe path"),
    "a symbolic link": (lambda item: tarred(entries(item), entry("a", tarfile.SYMTYPE, "/etc")), "has a link: 'a'"),
    "a hard link": (lambda item: tarred(entries(item), entry("a", tarfile.LNKTYPE, f"{STEM}.h")), "has a link"),
    "a device": (lambda item: tarred(entries(item), entry("a", tarfile.CHRTYPE)), "has a special file: 'a'"),
    "a pipe": (lambda item: tarred(entries(item), entry("a", tarfile.FIFOTYPE)), "has a special file: 'a'"),
    "a name twice": (lambda item: tarred(entries(item), entry(f"{STEM}.h")), r"has '.*\.h' twice"),
    "a name twice, spelt otherwise": (
        lambda item: tarred(entries(item), entry(f"./{STEM}.h".replace("jit/", "jit//"))),
        r"has '.*\.h' twice",
    ),
    "10 GB of zeros": (zeros, "more than 1000 files or 512 MiB"),
    "zeros after the end": (bomb, "larger than 512 MiB"),
    "many files": (
        lambda item: tarred(entries(item), *(entry(f"a{number}") for number in range(1000))),
        "more than 1000 files",
    ),
    "a wrong digest": (damaged_sum, r"\.h is not what SHA256SUMS says"),
    "a wrong digest, summed again": (damaged_manifest_sum, r"\.h is not what its manifest says"),
    "no digests": (lambda item: tarred(without(item, artifact.SUMS)), "no .*SHA256SUMS, so it is not a bundle"),
    "a missing file": (lambda item: tarred(without(item, f"{STEM}.dispatcher.h")), "dispatcher.h is missing"),
    "a missing file, summed again": (
        lambda item: tarred(summed(without(item, f"{STEM}.dispatcher.h"))),
        "dispatcher.h is missing",
    ),
    "a file more": (lambda item: tarred({**entries(item), "evil.h": b""}), "evil.h is not in SHA256SUMS"),
    "a file more, summed": (
        lambda item: tarred(summed({**entries(item), "Include/evil.h": b""})),
        "Include/evil.h belongs to no stencils",
    ),
    "sums that say a name twice": (
        lambda item: tarred({**entries(item), artifact.SUMS: entries(item)[artifact.SUMS] * 2}),
        "SHA256SUMS has the line",
    ),
    "sums that are noise": (lambda item: tarred({**entries(item), artifact.SUMS: b"\xff\n"}), "SHA256SUMS has"),
    "another flavour's place": (moved, "are those of CPython 3.14.7, .*, release"),
    "nothing but sums": (lambda _: tarred(summed({})), "the bundle is empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bundles_are_refused(one: Artifact, tmp_path: Path, name: str) -> None:
    make, message = HOSTILE[name]
    path = write(tmp_path / "b.tar.gz", make(one))
    before = snapshot(tmp_path)
    with pytest.raises(BundleError, match=message):
        bundling.open_all(path)
    assert list(snapshot(tmp_path)) == list(before)


def snapshot(folder: Path) -> Iterator[str]:
    yield from sorted(str(path) for path in folder.rglob("*"))
