#!/bin/sh
# Verify the stencils against the source and its pyconfig.h, and package them.
set -eu
./configure -q --enable-experimental-jit
stencilkit install --check stencils.tar.gz --cpython . --build-dir .
mkdir -p "${PREFIX}/share/cpython-jit-stencils"
cp stencils.tar.gz check-binary.sh "${PREFIX}/share/cpython-jit-stencils/"
