"""What tests of shims share, whatever their format is."""

from __future__ import annotations

import pytest

from stencilkit import objects
from stencilkit.errors import ObjectError
from stencilkit.model.target import Target


def assert_more_than_the_shim(data: bytes, target: Target, what: str) -> None:
    """An object is refused that has something more or other, which is named."""
    with pytest.raises(ObjectError, match="the object is more than the shim: ") as caught:
        objects.account(data, target)
    assert what in caught.value.what
    assert "CFLAGS_JIT" in caught.value.fix
