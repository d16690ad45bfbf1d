#!/bin/sh
# check-binary.sh BUILD-DIR: after make, fails unless python, or libpython, has the stencils that are in BUILD-DIR: what make
# was given is what it took. Needs stencilkit with its extra identify.
set -eu
cd "${1:?where was make run?}"
header=$(ls jit_stencils-*.h jit_stencils.h 2>/dev/null | head -n 1)
program=$(ls libpython3.*.so.1.0 python 2>/dev/null | head -n 1)
[ "${header}" ] && [ "${program}" ] || { echo "no stencils, or no python, in ${PWD}" >&2; exit 2; }
exec "${STENCILKIT:-stencilkit}" identify --against "${header}" "${program}"
