"""CPythons that are built on stencils, and run."""
