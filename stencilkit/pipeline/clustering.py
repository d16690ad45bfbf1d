"""From jobs to results on a Dask cluster."""

from stencilkit.pipeline.scheduling import Doer


def doer(address: str) -> Doer:
    """X."""
    raise NotImplementedError
