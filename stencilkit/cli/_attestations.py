"""The options of signed statements: whose word counts, and with what to sign."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from stencilkit.cli import _options, _render
from stencilkit.errors import UsageError
from stencilkit.model.attestation import Attestations, Demand, Signer, Statement
from stencilkit.support import environ, files

PASSPHRASE: Final = "STENCILKIT_KEY_PASSPHRASE"  # noqa: S105  # the name of a variable
TOKEN: Final = "SIGSTORE_ID_TOKEN"  # noqa: S105  # the name of a variable

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says of attestations: which, whose, and how many must say the same."""

    attestation: tuple[Path, ...]
    attestations: tuple[Path, ...]
    key: tuple[Path, ...]
    identity: tuple[str, ...]
    issuer: tuple[str, ...]
    threshold: int | None
    trusted_root: Path | None

    def gather(self, policy: Demand | None = None) -> Attestations | None:
        """Read what was named; None where nothing was. `policy` says whose word counts, in place of the options.

        Raises: UsageError for options that do not go together; AttestationError.
        """
        if policy is not None and (self.key or self.identity or self.threshold is not None):
            raise UsageError(
                "the policy says whose attestations count", fix="leave --key, --identity and --threshold out"
            )
        if not self.attestation and not self.attestations:
            if self.key or self.identity or self.threshold is not None:
                raise UsageError("signers are named, and nothing that they signed", fix="add --attestation FILE")
            return None
        from stencilkit import attest
        from stencilkit.pipeline import attesting

        signers, threshold = (policy.signers, policy.threshold) if policy else (self._signers(), self.threshold)
        demand = attesting.demand(signers, threshold)
        return attest.gather(attesting.files_of(self.attestation, self.attestations), demand, self.trusted_root)

    def _signers(self) -> list[Signer]:
        if len(self.identity) != len(self.issuer):
            raise UsageError("each --identity needs its --issuer", fix="give as many of one as of the other")
        people = zip(self.identity, self.issuer, strict=True)
        from stencilkit import attest

        found = [attest.key_signer(path) for path in self.key]
        found += [Signer(name=identity, identity=identity, issuer=issuer) for identity, issuer in people]
        if not found:
            raise UsageError(
                "a signature counts only if it is known whose it is", fix="add --key, or --identity and --issuer"
            )
        return found


_ASKED: Final = (
    click.option(
        "--attestation",
        type=_options.EXISTING_FILE,
        multiple=True,
        help="Signed statement about these stencils. Repeatable.",
    ),
    click.option(
        "--attestations", type=_options.EXISTING_FOLDER, multiple=True, help="Folder of signed statements. Repeatable."
    ),
    click.option(
        "--key", type=_options.EXISTING_FILE, multiple=True, help="Public key (PEM) whose signature counts. Repeatable."
    ),
    click.option(
        "--identity", metavar="IDENTITY", multiple=True, help="Sigstore identity whose signature counts. Repeatable."
    ),
    click.option("--issuer", metavar="URL", multiple=True, help="OIDC issuer of the identity. Once per --identity."),
    click.option(
        "--threshold",
        type=click.IntRange(min=1),
        metavar="N",
        help="How many of these builders must agree. [default: all]",
    ),
    _options.shared("--trusted-root"),
)


def asked_options(command: Command) -> Command:
    """Add the options that say whose attestations count; the command gets them as one argument, `asked`."""

    @functools.wraps(command)
    def collected(**values: Any) -> Any:  # noqa: ANN401  # click's interface
        asked = Asked(**{name: values.pop(name) for name in Asked.__dataclass_fields__})
        return command(asked=asked, **values)

    return functools.reduce(lambda inner, option: option(inner), reversed(_ASKED), collected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """What the command line says of signing: with which key or identity, and who the builder is."""

    sign_key: Path | None
    sigstore: bool
    trust_config: Path | None
    builder: str | None

    @property
    def wanted(self) -> bool:
        """Return whether anything is to be signed."""
        return self.sign_key is not None or self.sigstore

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises: UsageError.
        """
        if self.wanted and (self.sign_key is not None) == self.sigstore:
            raise UsageError("--sign-key and --sigstore are two ways to sign", fix="leave one of them out")
        if self.trust_config and not self.sigstore:
            raise UsageError("--trust-config is for --sigstore", fix="leave it out, or add --sigstore")
        if self.wanted and ":" not in (self.builder or ""):
            raise UsageError(
                "a statement says who built: --builder must be a URI",
                fix="add --builder with a page about your builds, such as https://example.org/builders/python",
            )

    @property
    def suffix(self) -> str:
        """Name the end of the file's name: a DSSE envelope's, or a sigstore bundle's."""
        from stencilkit import attest

        return attest.SUFFIXES[self.sigstore]

    def sign(self, statement: Statement) -> bytes:
        """Sign a statement.

        Raises: AttestationError.
        """
        from stencilkit import attest

        if self.sign_key is not None:
            return attest.sign_with_key(statement, self.sign_key, environ.variable(PASSPHRASE))
        return attest.sign_with_identity(statement, environ.variable(TOKEN), self.trust_config)

    def write(self, path: Path, statement: Statement) -> None:
        """Sign a statement and write what comes of it.

        Raises: AttestationError, OutputError.
        """
        files.write(path, self.sign(statement))
        _render.say(f"wrote {path}", err=True)


_SIGNING: Final = (
    click.option(
        "--sign-key", type=_options.ANY_PATH, help=f"Private key (PEM) to sign with; {PASSPHRASE} unlocks it."
    ),
    click.option("--sigstore", is_flag=True, help="Sign with this CI job's identity. Needs the network."),
    click.option(
        "--trust-config", type=_options.EXISTING_FILE, help="ClientTrustConfig of a sigstore other than the public one."
    ),
    click.option("--builder", metavar="URI", help="Name of the builder in the statement."),
)


def signing_options(command: Command) -> Command:
    """Add the options that say how to sign; the command gets them as one argument, `signing`."""

    @functools.wraps(command)
    def collected(**values: Any) -> Any:  # noqa: ANN401  # click's interface
        signing = Signing(**{name: values.pop(name) for name in Signing.__dataclass_fields__})
        signing.check()
        return command(signing=signing, **values)

    return functools.reduce(lambda inner, option: option(inner), reversed(_SIGNING), collected)
