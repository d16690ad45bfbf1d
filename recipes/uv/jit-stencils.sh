#!/bin/sh
# For python-build-standalone's cpython-unix/build-cpython.sh, in the source folder that it configures and makes:
#
#   jit-stencils.sh install BUNDLE   between configure and make: stencils that were built once, for all hosts
#   jit-stencils.sh audit            after make, where clang made them: they go out to every user of uv, and nothing else
#                                    looks at them
#   jit-stencils.sh binary           after make: python, or libpython, has the stencils that are here
#
# Standard output of install has arguments for make, mostly none: makefiles of some releases delete the stencils between
# the passes of a PGO build (python/cpython#141808).
#
#   jit=$(jit-stencils.sh install "${ROOT}/stencils.tar.gz")
#   make -j "${NUM_CPUS}" ${jit}
#
# All end with 1 if the stencils are refused, and say what is wrong and where.
set -eu

: "${STENCILKIT:=stencilkit}"

case "${1:-}" in
install)
    told=$("$STENCILKIT" install "${2:?which bundle?}" --cpython . --build-dir .) || { echo "$told" >&2; exit 1; }
    echo "$told" >&2
    echo "$told" | sed -n 's/^  make \(PYTHON_FOR_REGEN=\)/\1/p'
    ;;
audit)
    # 3.13 has one header; from 3.14 on, jit_stencils.h only includes the others.
    set -- jit_stencils-*.h
    [ -e "$1" ] || set -- jit_stencils.h
    exec "$STENCILKIT" audit "$@"
    ;;
binary)
    header=$(ls jit_stencils-*.h jit_stencils.h 2>/dev/null | head -n 1)
    program=$(ls libpython3.*.so.1.0 python 2>/dev/null | head -n 1)
    [ "$header" ] && [ "$program" ] || { echo "jit-stencils.sh: no stencils, or no python, in $PWD" >&2; exit 2; }
    exec "$STENCILKIT" identify --against "$header" "$program"
    ;;
*)
    echo "usage: jit-stencils.sh install BUNDLE | audit | binary" >&2
    exit 2
    ;;
esac
