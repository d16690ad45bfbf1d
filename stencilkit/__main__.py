"""`python -m stencilkit`."""

from __future__ import annotations

from stencilkit.cli import run

if __name__ == "__main__":
    run()
