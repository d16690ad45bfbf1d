# Copyright 2026 Gentoo Authors
# Distributed under the terms of the GNU General Public License v2

# Not built on Gentoo: stencilkit's tests give it to pkgcheck, with stand-ins for the eclass and the packages.
EAPI=8

DISTUTILS_USE_PEP517=hatchling
PYTHON_COMPAT=( python3_{11..14} )

inherit distutils-r1

DESCRIPTION="Build and verify the stencils of CPython's JIT with any supported LLVM"
HOMEPAGE="https://example.org/stencilkit"
SRC_URI="https://example.org/stencilkit/${P}.tar.gz"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="~amd64 ~arm64"

RDEPEND="
	>=dev-libs/capstone-5.0.1[python,${PYTHON_USEDEP}]
	>=dev-python/click-8.1[${PYTHON_USEDEP}]
	>=dev-python/jinja2-3.1[${PYTHON_USEDEP}]
	>=dev-python/pyelftools-0.32[${PYTHON_USEDEP}]
	>=dev-python/rich-13[${PYTHON_USEDEP}]
	>=dev-python/tomli-w-1.0[${PYTHON_USEDEP}]
"
BDEPEND="
	test? (
		>=dev-python/hypothesis-6.100[${PYTHON_USEDEP}]
	)
"

distutils_enable_tests pytest

python_test() {
	epytest -m "not network and not oracle and not jit" tests/{unit,golden,property,cli}
}
