"""Build and verify the copy-and-patch stencils of CPython's JIT, with any supported LLVM.

The stages, in order:

targets     targets.toml: triples, flags with reasons, LLVM ranges
pins        pins.toml: what may be downloaded, with hashes
fetch       a CPython version -> its release tarball, unpacked
novelty     an unknown CPython -> how its generator differs from a known one
source      a folder -> a CPython tree with a JIT, and its uops
toolchain   find, identify and choose LLVM toolchains
provision   install LLVM toolchains from PyPI
headers     where the C library's headers come from
buildfolder a folder where configure ran -> what make would do there about the JIT
configure   a tree and a target -> pyconfig.h
cc1         flags -> what clang's driver passes to its compiler
compiler    uops -> objects, LLVM IR or assembly: batched, parallel
asmopt      assembly -> assembly, as CPython 3.15 wants it
merge       many assembly texts -> one, and its object -> many
objects     bytes -> ObjectFile
holes       relocations -> holes, by table
dialects    everything that differs per CPython
unwind      the shim's frame table -> constants for unwinders
emit        stencils -> header text
generator   the tree's own Tools/jit/build.py, run with any LLVM
reader      header text -> stencils, by a strict grammar
disassemble code -> listings, with the patches beside
witness     what stencils have compiled in of structures -> C that asks another compiler for the same
manifest    what went in, what came out, every digest
verify      what was read and recorded -> checks and a verdict
compare     two sets of stencils -> what differs, stencil by stencil
prove       two stencils that differ -> a proof that they do the same
references  a CPython source tree -> the names that its uops can reach
audit       stencils -> what a careful packager would object to
ledger      the digests that builds are expected to have
results     qualified cells <-> files in a folder
report      results -> pages for people
attest      signed statements about stencils: made, verified, counted
sbom        manifests -> bills of materials, CycloneDX's and SPDX's
signatures  what is enough to find stencils in a program, for the ledger
packages    packages -> the programs in them
programs    bytes -> a linked program
identify    programs and signatures -> which build their stencils come from
artifact    output folders, and bundles of them
jittest     a CPython built on given stencils, and its tests
"""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
