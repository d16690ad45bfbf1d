"""Build a CPython on given stencils with every LLVM hidden, and run it.

`making` configures and makes, `running` proves that the JIT is on and runs tests, `timing` runs benchmarks,
`junit` reads and writes reports; `probes` is what runs inside the CPython that is tested.
"""
