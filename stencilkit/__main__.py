"""`python -m stencilkit`."""

from __future__ import annotations

from stencilkit.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
