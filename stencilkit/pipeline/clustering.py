"""From jobs to results on a Dask cluster."""

from stencilkit.errors import UsageError
from stencilkit.pipeline.scheduling import Doer


def doer(address: str) -> Doer:
    """X."""
    raise UsageError(f"--scheduler {address}: this stencilkit cannot use a cluster", fix="leave it out")
