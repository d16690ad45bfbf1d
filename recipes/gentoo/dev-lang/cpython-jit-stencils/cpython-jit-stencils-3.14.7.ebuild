# Copyright 2026 Gentoo Authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

inherit jit-stencils

DESCRIPTION="Prebuilt stencils for the JIT of CPython"
HOMEPAGE="https://www.python.org/ https://peps.python.org/pep-0774/"
# The bundle is what stencilkit pack made where the LLVM is.
SRC_URI="
	https://www.python.org/ftp/python/${PV}/Python-${PV}.tar.xz
	stencils-${PV}.tar.gz
"
S="${WORKDIR}/Python-${PV}"

LICENSE="PSF-2"
SLOT="3.14"
KEYWORDS="~amd64 ~arm64"
IUSE="test"
RESTRICT="fetch !test? ( test )"

src_unpack() {
	unpack "Python-${PV}.tar.xz"
}

src_configure() {
	./configure -q --enable-experimental-jit || die
}

src_compile() {
	:
}

src_test() {
	jit-stencils_verify "${DISTDIR}/stencils-${PV}.tar.gz"
}

src_install() {
	insinto "/usr/share/cpython-jit-stencils/${PV}"
	doins "${DISTDIR}/stencils-${PV}.tar.gz"
}
