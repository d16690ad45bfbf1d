"""Optional packages: imported where they are used, and named where they are missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from stencilkit.errors import UsageError


@contextlib.contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Import what an extra of stencilkit's brings; `purpose` is for the message.

    Raises: UsageError where a package of it is missing.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"{purpose} needs the Python package {missing.name}, which is not installed",
            fix=f"pip install 'stencilkit[{extra}]', or the distribution's package of it",
        ) from None
