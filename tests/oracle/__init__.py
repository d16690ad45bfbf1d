"""What is compared with CPython's own generator, or with LLVM's tools."""
