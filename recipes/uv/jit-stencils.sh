#!/bin/sh
# For python-build-standalone's cpython-unix/build-cpython.sh, in the source folder that it configures and makes:
#
#   jit-stencils.sh install BUNDLE   between configure and make: stencils that were built once, for all hosts
#   jit-stencils.sh audit            after make, where clang made them: they go out to every user of uv, and nothing else
#                                    looks at them
#
# Both end with 1 if the stencils are refused, with what is wrong and where on standard output.
set -eu

: "${STENCILKIT:=stencilkit}"

case "${1:-}" in
install)
    exec "$STENCILKIT" install "${2:?which bundle?}" --cpython . --build-dir .
    ;;
audit)
    # 3.13 has one header; from 3.14 on, jit_stencils.h only includes the others.
    set -- jit_stencils-*.h
    [ -e "$1" ] || set -- jit_stencils.h
    exec "$STENCILKIT" audit "$@"
    ;;
*)
    echo "usage: jit-stencils.sh install BUNDLE | audit" >&2
    exit 2
    ;;
esac
