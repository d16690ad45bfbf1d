"""Scripts that run inside the CPython that is tested, not inside stencilkit."""
