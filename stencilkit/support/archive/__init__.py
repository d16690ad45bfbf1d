"""Unpack archives from elsewhere, bounded in size and count, never outside the folder that was named; write tars.

_bounded    tarfile with bounds on what it reads before anyone is asked
_sources    a tarball -> a source tree on disk
_members    a tar -> the bytes of its files, and back
"""

from __future__ import annotations

from stencilkit.support.archive._bounded import Bounds, check_name
from stencilkit.support.archive._members import is_tar, read_tar, write_tar
from stencilkit.support.archive._sources import unpack_source

__all__ = ["Bounds", "check_name", "is_tar", "read_tar", "unpack_source", "write_tar"]
