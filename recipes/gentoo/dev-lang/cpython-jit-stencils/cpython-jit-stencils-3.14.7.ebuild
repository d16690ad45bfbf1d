# Copyright 2026 Gentoo Authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

inherit jit-stencils

DESCRIPTION="Prebuilt stencils for the JIT of CPython"
HOMEPAGE="https://www.python.org/ https://peps.python.org/pep-0774/"
SRC_URI="
	fetch+https://www.python.org/ftp/python/${PV}/Python-${PV}.tar.xz
	${P}.tar.gz
"
S="${WORKDIR}/Python-${PV}"

LICENSE="PSF-2"
SLOT="3.14"
KEYWORDS="~amd64 ~arm64"
# What is to be tested is tested before anything is installed, with or without FEATURES=test.
RESTRICT="fetch test"

pkg_nofetch() {
	einfo "${P}.tar.gz is made where the LLVM is:"
	einfo "  stencilkit build --cpython ${PV} --target all --out out"
	einfo "  stencilkit pack out -o ${P}.tar.gz"
	einfo "Check it against the Manifest's digests of whoever made it, and put it into your DISTDIR."
}

src_unpack() {
	unpack "Python-${PV}.tar.xz"
}

src_configure() {
	econf --enable-experimental-jit
}

src_compile() {
	jit-stencils_verify "${DISTDIR}/${P}.tar.gz"
}

src_install() {
	insinto "/usr/share/cpython-jit-stencils/${PV}"
	doins "${DISTDIR}/${P}.tar.gz"
}
