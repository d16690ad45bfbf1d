# Copyright 2026 Gentoo Authors
# Distributed under the terms of the GNU General Public License v2

# @ECLASS: jit-stencils.eclass
# @MAINTAINER:
# Python <python@gentoo.org>
# @SUPPORTED_EAPIS: 8
# @BLURB: prebuilt stencils for CPython's JIT, verified, without any LLVM
# @DESCRIPTION:
# dev-lang/python with USE=jit needs one exact LLVM slot at build time. With stencils that stencilkit has packed it needs
# none: call jit-stencils_install between econf and emake "${JIT_STENCILS_MAKE[@]}". eautoreconf may change pyconfig.h; what no
# stencil can see does not matter, and the rest is refused by name.

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_JIT_STENCILS_ECLASS} ]]; then
_JIT_STENCILS_ECLASS=1

BDEPEND="dev-util/stencilkit"

# @ECLASS_VARIABLE: STENCILKIT
# @USER_VARIABLE
# @DESCRIPTION:
# The program.
: "${STENCILKIT:=stencilkit}"

# @FUNCTION: jit-stencils_verify
# @USAGE: <bundle> [<build-dir>]
# @DESCRIPTION:
# Die unless the stencils are nothing but stencils, are what their manifest says, and were made from what the tree in ${S} and
# the build folder's pyconfig.h are. Changes nothing.
jit-stencils_verify() {
	debug-print-function "${FUNCNAME[0]}" "$@"
	"${STENCILKIT}" install --check --witness "${1:?}" --cpython "${S}" --build-dir "${2:-${S}}" ||
		die "the stencils in ${1##*/} do not fit this CPython"
}

# @ECLASS_VARIABLE: JIT_STENCILS_MAKE
# @OUTPUT_VARIABLE
# @DESCRIPTION:
# Arguments for emake that jit-stencils_install found to be needed, an array: some releases' makefiles delete the stencils between the
# two passes of a PGO build (python/cpython#141808), and one argument brings them back. Empty for the others.
JIT_STENCILS_MAKE=()

# @FUNCTION: jit-stencils_install
# @USAGE: <bundle> [<build-dir>]
# @DESCRIPTION:
# Verify, and place the stencils where emake takes them: emake "${JIT_STENCILS_MAKE[@]}"
jit-stencils_install() {
	debug-print-function "${FUNCNAME[0]}" "$@"
	local told
	told=$("${STENCILKIT}" install "${1:?}" --cpython "${S}" --build-dir "${2:-${S}}") ||
		die "the stencils in ${1##*/} do not fit this CPython: ${told}"
	echo "${told}"
	mapfile -t JIT_STENCILS_MAKE < <(sed -n 's/^  make \(PYTHON_FOR_REGEN=\)/\1/p' <<< "${told}")
}

# @FUNCTION: jit-stencils_binary
# @USAGE: [<build-dir>]
# @DESCRIPTION:
# For src_test: die unless python, or libpython, has the stencils that are in the build folder. It needs stencilkit[identify].
jit-stencils_binary() {
	debug-print-function "${FUNCNAME[0]}" "$@"
	local build=${1:-${S}} header program
	header=$(ls "${build}"/jit_stencils-*.h "${build}"/jit_stencils.h 2>/dev/null | head -n 1)
	program=$(ls "${build}"/libpython3.*.so.1.0 "${build}"/python 2>/dev/null | head -n 1)
	[[ ${header} && ${program} ]] || die "no stencils, or no python, in ${build}"
	"${STENCILKIT}" identify --against "${header}" "${program}" || die "make took other stencils than those in ${build}"
}

fi
