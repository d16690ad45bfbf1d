"""Archives from elsewhere: damaged, hostile, or not what they should be."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from stencilkit.errors import BundleError, OutputError, SourceError
from stencilkit.support import archive
from stencilkit.support.archive import Bounds

# The file that the root of a source tree holds.
MARKER = "a"


def member(name: str, content: bytes = b"text", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mtime = 1_000_000
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:xz", **options: object) -> Path:
    with tarfile.open(path, mode, **options) as file:  # type: ignore[call-overload]
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return path


def test_files_come_out_with_times_and_modes(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar.xz", member("Python/configure", b"#!", mode=0o755), member("Python/a", mode=0o644))
    archive.unpack_source(path, tmp_path / "out", MARKER)
    assert (tmp_path / "out/configure").stat().st_mode & 0o111
    assert not (tmp_path / "out/a").stat().st_mode & 0o111
    assert (tmp_path / "out/a").stat().st_mtime == 1_000_000


@pytest.mark.parametrize(
    "name", ["../evil", "Python/../../evil", "/etc/evil", "Python\\evil", "C:evil", "Python/a:b", "..", "Python/.."]
)
def test_unsafe_paths_are_refused(tmp_path: Path, name: str) -> None:
    path = tar(tmp_path / "x.tar.xz", member("Python/fine"), member(name))
    with pytest.raises(SourceError, match="unsafe path"):
        archive.unpack_source(path, tmp_path / "in" / "out", MARKER)
    assert not list(tmp_path.rglob("evil"))


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link out of the folder, and then a file through it."""
    path = tar(
        tmp_path / "x.tar.xz",
        member("Python/a"),
        member("Python/link", b"", type=tarfile.SYMTYPE, linkname=str(tmp_path)),
        member("Python/link/evil"),
        member("Python/hard", b"", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    )
    archive.unpack_source(path, tmp_path / "out", MARKER)
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "out/link").is_symlink()
    assert not (tmp_path / "out/hard").exists()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tar(tmp_path / "x.tar.xz", member("Python/device", b"", type=kind))
    with pytest.raises(SourceError, match="device"):
        archive.unpack_source(path, tmp_path / "out", MARKER)


def test_bounds_hold(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar.xz", *(member(f"Python/{name}") for name in "abcde"))
    for bounds in (Bounds(members=4, size=100), Bounds(members=10, size=19)):
        with pytest.raises(SourceError, match="larger"):
            archive.unpack_source(path, tmp_path / "out", MARKER, bounds)
    archive.unpack_source(path, tmp_path / "out", MARKER, Bounds(members=5, size=20))


def test_a_bomb_is_stopped_by_its_header(tmp_path: Path) -> None:
    bomb = member("Python/zeros", bytes(1 << 22))
    path = tar(tmp_path / "x.tar.xz", bomb)
    with pytest.raises(SourceError, match="larger"):
        archive.unpack_source(path, tmp_path / "out", MARKER, Bounds(members=5, size=1 << 20))
    assert not list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_long_name_is_not_read_into_memory(tmp_path: Path, format_: int) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format_) as file:
        file.addfile(tarfile.TarInfo("Python/first"), io.BytesIO())
        file.addfile(tarfile.TarInfo("Python/" + "x" * 100_000), io.BytesIO())
    (tmp_path / "x.tar").write_bytes(raw.getvalue())
    with pytest.raises(SourceError, match="longer than any name"):
        archive.unpack_source(tmp_path / "x.tar", tmp_path / "out", MARKER)
    with pytest.raises(BundleError, match="longer than any name"):
        archive.read_tar(tmp_path / "x.tar", Bounds(members=5, size=1 << 20), BundleError)


@pytest.mark.parametrize("names", [(), ("Python",), ("loose file",), ("Python/deep/a",), ("one/b", "two/b")])
def test_an_archive_without_a_tree_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tar(tmp_path / "x.tar.xz", *(member(name) for name in names))
    with pytest.raises(SourceError, match="has no source trees"):
        archive.unpack_source(path, tmp_path / "out", MARKER)


def test_two_trees_are_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar.xz", member("Python/a"), member("other/a"))
    with pytest.raises(SourceError, match="2 source trees"):
        archive.unpack_source(path, tmp_path / "out", MARKER)


FOLDER = {"type": tarfile.DIRTYPE}


@pytest.mark.parametrize(
    "members",
    [
        # A release; tar -C Python-3.14.7 -c .; git archive without a prefix; bsdtar on macOS; a packager's extras.
        [member("Python-3.14.7/a"), member("Python-3.14.7/b/c")],
        [member("./", b"", **FOLDER), member("./a"), member("./b", b"", **FOLDER), member("./b/c")],
        [member("pax_global_header", b""), member("a"), member("b/c")],
        [member("._Python-3.14.7"), member("Python-3.14.7/a"), member("Python-3.14.7/b/c")],
        [member("Python-3.14.7/a"), member("Python-3.14.7/b/c"), member("debian/rules")],
        [member("./Python-3.14.7/a"), member("./Python-3.14.7/b/c")],
    ],
    ids=["release", "dot", "git", "macos", "extras", "dot-folder"],
)
def test_a_tree_is_found_where_archives_have_it(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    archive.unpack_source(tar(tmp_path / "x.tar.gz", *members, mode="w:gz"), tmp_path / "in" / "out", MARKER)
    assert (tmp_path / "in/out/a").read_bytes() == (tmp_path / "in/out/b/c").read_bytes() == b"text"
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\3\4", "a zip archive"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"\x04\x22\x4d\x18", "compressed with lz4"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    ],
)
def test_other_archives_are_named(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "x").write_bytes(start + bytes(1000))
    with pytest.raises(SourceError, match=f"it is {what}") as caught:
        archive.unpack_source(tmp_path / "x", tmp_path / "out", MARKER)
    assert "unpack it yourself" in caught.value.fix


@pytest.mark.parametrize("suffix", ["xz", "gz", "bz2"])
def test_every_truncation_is_an_error(tmp_path: Path, suffix: str) -> None:
    whole = tar(tmp_path / "whole", member("Python/a", bytes(range(256)) * 64), mode=f"w:{suffix}").read_bytes()
    path = tmp_path / "part"
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError):
            archive.unpack_source(path, tmp_path / f"out{size}", MARKER)


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress, bz2.compress, bytes])
def test_damage_anywhere_is_a_typed_error_or_harmless(tmp_path: Path, compress: object) -> None:
    plain = tar(tmp_path / "plain", member("Python/a", b"some text " * 50), mode="w:").read_bytes()
    whole = compress(plain)  # type: ignore[operator]
    path = tmp_path / "damaged"
    for position in range(0, len(whole), max(1, len(whole) // 60)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        out = tmp_path / f"out{position}"
        try:
            archive.unpack_source(path, out, MARKER)
        except SourceError as error:
            assert error.where
        else:
            assert all(file.is_relative_to(out) for file in out.rglob("*"))


@pytest.mark.parametrize("time", [1e300, float("inf"), float("nan")])
def test_absurd_times_are_refused(tmp_path: Path, time: float) -> None:
    path = tar(tmp_path / "x.tar.xz", member("Python/a", pax_headers={"mtime": str(time)}), format=tarfile.PAX_FORMAT)
    with pytest.raises(SourceError, match="cannot unpack"):
        archive.unpack_source(path, tmp_path / "out", MARKER)


def test_a_file_where_a_folder_must_be_is_damage(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar.xz", member("Python/a"), member("Python/a/b"))
    with pytest.raises(SourceError, match="cannot unpack"):
        archive.unpack_source(path, tmp_path / "out", MARKER)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_closed_place_is_not_blamed_on_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tar(tmp_path / "x.tar.xz", member("Python/a"))

    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("shutil.copyfileobj", refuse)
    with pytest.raises(OutputError, match="no"):
        archive.unpack_source(path, tmp_path / "out", MARKER)


def packed(*members: tuple[tarfile.TarInfo, bytes], **options: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as file:  # type: ignore[call-overload]
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def with_size(value: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Write another size into the first header of a tar, and its checksum (POSIX ustar)."""
    data = bytearray(packed(member("a")))
    data[124:136], data[156:157], data[148:156] = value, kind, b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


# The first member decides what an archive is; what follows it is hostile.
HONEST = packed(member("Python/a"))[:1024]
NEGATIVE = HONEST + with_size(b"\xff" * 12)
SPARSE = HONEST + with_size(b"00000000004\0", tarfile.GNUTYPE_SPARSE)
# A long name that is described by a long name, and so on: tarfile calls itself for each.
CHAIN = (
    HONEST
    + b"".join(with_size(b"%011o\0" % 4, tarfile.GNUTYPE_LONGNAME)[:1024] for _ in range(9))
    + packed(member("a"))
)
BAD = {
    "a negative size": (NEGATIVE, "a negative size"),
    "a sparse file": (SPARSE, "sparse"),
    "a chain of headers": (CHAIN, "more headers than members"),
}


@pytest.mark.parametrize("what", BAD)
def test_headers_that_no_honest_archive_has_are_refused(what: str, tmp_path: Path) -> None:
    data, message = BAD[what]
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message):
        archive.unpack_source(path, tmp_path / "out", MARKER)
    with pytest.raises(BundleError, match=message):
        archive.read_tar(path, Bounds(members=9, size=9000), BundleError)
    assert sorted(tmp_path.iterdir()) == [path] or not (tmp_path / "out").exists()


def test_a_source_archive_that_goes_on_behind_its_end_is_refused(tmp_path: Path) -> None:
    """What is behind the end marker is read, because the compressor's checksum is there; but not without bound."""
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(packed(member("Python/a")) + bytes(20 << 20)))
    with pytest.raises(SourceError, match="larger than any CPython source"):
        archive.unpack_source(path, tmp_path / "out", MARKER, Bounds(members=9, size=1 << 20))


def test_a_source_archive_without_an_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(packed(member("Python/a"))[:1024])
    with pytest.raises(SourceError, match="no end marker"):
        archive.unpack_source(path, tmp_path / "out", MARKER)


def test_folders_are_no_files_of_a_bundle_and_are_counted(tmp_path: Path) -> None:
    folders = [member(f"d{number}", b"", type=tarfile.DIRTYPE) for number in range(20)]
    path = tmp_path / "x.tar.xz"
    path.write_bytes(lzma.compress(packed(folders[0], member("d0/a"))))
    assert archive.read_tar(path, Bounds(members=9, size=9000), BundleError) == {"d0/a": b"text"}
    path.write_bytes(lzma.compress(packed(*folders)))
    with pytest.raises(BundleError, match="more folders than files"):
        archive.read_tar(path, Bounds(members=9, size=9000), BundleError)


def test_a_bundle_ends_where_its_files_end(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    whole = packed(member("a"))
    for data in (whole + b"more", whole[:1024]):
        path.write_bytes(data)
        with pytest.raises(BundleError, match="does not end where its files do"):
            archive.read_tar(path, Bounds(members=9, size=9000), BundleError)
