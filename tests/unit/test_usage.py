"""Options that do not go together, or lack another one: each is refused at once, and the way out is named."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from stencilkit.cli import main
from tests import samples

# The words of a command, what is wrong with them, and what to do instead. {out} is an output folder, {policy} a policy
# that names signers, {file} any file.
CASES: dict[str, tuple[str, str]] = {
    "attest {file} --built {out} -o {file}": ("an attestation is signed", "add --sign-key FILE, or --sigstore"),
    "audit {out} --growth 5": ("--growth needs --against", "name the stencils that these replace"),
    "audit {out} --against {out} --growth nan": ("--growth nan is not a percentage", "give one like 2 or 0.5"),
    "build --cpython {tree} --trusted-root {file}": ("--trusted-root is for --verify-source", "add --verify-source"),
    "identify": ("nothing was named", "name a program, a package or a folder, or a process with --pid"),
    "pack nowhere": (
        "nowhere does not exist where: OUT-DIR...",
        "check the path; relative ones start",
    ),
    "inspect nowhere": ("nowhere does not exist where: BUNDLE", "check the path"),
    "verify {out} --ledger nowhere": ("nowhere does not exist where: --ledger", "check the path"),
    "verify {out} --ledger {file}": ("{file} is not a folder where: --ledger", "name a folder"),
    "verify {out} --key {out}": ("{out} is a folder where: --key", "name a file"),
    "compare {out}/jit_stencils.h {out}": (
        "it is the dispatcher: it has no stencils, and includes jit_stencils-x86_64-unknown-linux-gnu.h",
        "give jit_stencils-x86_64-unknown-linux-gnu.h, which is beside it, or the folder",
    ),
    "pack {out} -o x.tar.gz --ledger {out}": ("--ledger is for the signed statement", "leave it out, or add --attest"),
    "pack {out} -o x.tar.gz --attest": ("--attest goes together with", "give --attest with --sign-key FILE"),
    "pack {out} -o x.tar.gz --attest --sign-key {file} --sigstore": ("are two ways to sign", "leave one of them out"),
    "pack {out} -o x.tar.gz --attest --trust-config {file}": ("--trust-config is for --sigstore", "or add --sigstore"),
    "audit ''": ("Invalid value for 'PATH...': the path is empty", "stencilkit audit --help"),
    "build --cpython ''": ("--cpython is empty", "leave it out for the current folder, or name a source"),
    "compare {out}": ("compare takes 2 to 6 paths, not 1", "name headers or output folders"),
    "identify --against '' {file}": ("Invalid value for '--against': the path is empty", "stencilkit identify --help"),
    "prove": ("prove takes two or more paths, or --self and one", "name headers or output folders"),
    "prove --self": ("--self takes one path", "name headers or output folders"),
    "prove {out}": ("prove takes two or more paths, or --self and one", "name headers or output folders"),
    "prove {out} {out} --self": ("--self takes one path", "name headers or output folders"),
    "prove {out} {out} --update": ("--update writes to a ledger", "give --ledger DIR"),
    "show _NO_SUCH {out}": ("has no stencil _NO_SUCH", "its manifest.toml lists them"),
    "show _POP_TOPP {out}": ("has no stencil _POP_TOPP", "_POP_TOP"),
    "verify {out} --attestation {file}": ("a signature counts only if it is known whose it is", "add --key, or"),
    "verify {out} --attestation {file} --identity a@b": ("each --identity needs its --issuer", "as many of one as of"),
    "verify {out} --key {file}": ("signers are named, and nothing that they signed", "add --attestation FILE"),
    "verify {out} --attestation {file} --policy {policy} --threshold 1": (
        *("the policy says whose attestations count", "leave --key, --identity and --threshold out"),
    ),
    "verify {out} --rebuild": ("--rebuild needs --cpython", "name the source to build from"),
    "verify {out} --witness": ("--witness needs --cpython", "with --pyconfig-dir its build folder"),
    "verify {out} --pyconfig-dir {out}": ("--pyconfig-dir needs --cpython", "the source that it was configured from"),
    "verify {out} --llvm 19": ("--llvm is for --rebuild", "leave it out, or add --rebuild and --cpython"),
    "qualify --cpython {tree} --target all --target 'x86*-gun'": (
        "--target 'x86*-gun' matches no target",
        "stencilkit targets lists the triples",
    ),
    "qualify --cpython {tree} --llvm ''": ("'' is not a version of LLVM", "write 19, 19..21"),
    "qualify --cpython {tree} --timeout nan": ("nan is not a time in seconds", "stencilkit qualify --help"),
    "qualify --cpython {tree} --timeout inf": ("inf is not in the range", "stencilkit qualify --help"),
    "regen": ("regen needs a command line of Tools/jit/build.py", "stencilkit regen --how"),
    "toolchains remove 99": (
        "LLVM 99 was not installed by stencilkit",
        "stencilkit toolchains lists what is installed",
    ),
    "compare {out}/manifest.toml {out}": ("manifest.toml is a manifest, not a header", "give its folder: {out}"),
    "verify {out}/manifest.toml": ("manifest.toml is a manifest, not a header", "give its folder: {out}"),
    "verify nowhere": ("nowhere does not exist", "check the path"),
    "verify {out} {out} --manifest {file}": ("--manifest is for one header", "verify them one by one"),
}
POLICY = """\
schema = 1
require = ["canonical", "attested"]
[attestations]
threshold = 1
[[attestations.signer]]
name = "somebody"
identity = "a@b"
issuer = "https://example.org"
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    here = tmp_path_factory.mktemp("usage")
    tree = samples.tree(here / "tree")
    (here / "policy.toml").write_text(POLICY)
    (here / "file").write_text("")
    out = samples.folder(here / "out", tree).parent
    return {"tree": str(tree.root), "out": str(out), "policy": str(here / "policy.toml"), "file": str(here / "file")}


@pytest.mark.parametrize("words", CASES)
def test_what_does_not_go_together_is_refused(
    words: str,
    places: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    what, fix = (text.format(**places) for text in CASES[words])
    monkeypatch.chdir(tmp_path)
    assert main([word.format(**places) for word in shlex.split(words)]) == 2
    out, err = capsys.readouterr()
    said = " ".join(err.split())
    assert out == ""
    assert what in said
    assert fix in said.partition(" next: ")[2]
    assert said.count("stencilkit: error: ") == 1
    assert not list(tmp_path.iterdir())
