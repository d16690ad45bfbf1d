# For debian/rules of a CPython: include this file, and let the build depend on jit-stencils-install.
#
#   JIT_STENCILS  the bundle that `stencilkit pack` made (an orig-jit component, or a file of a build dependency)
#   JIT_BUILD_DIR where configure was run
#
# Nothing here needs an LLVM. What does not fit is named, and the build stops.

STENCILKIT ?= stencilkit
JIT_BUILD_DIR ?= $(CURDIR)

# In override_dh_auto_test, or after configure:
jit-stencils-verify:
	$(STENCILKIT) install --check $(JIT_STENCILS) --cpython $(CURDIR) --build-dir $(JIT_BUILD_DIR)

# Between configure and make:
jit-stencils-install:
	$(STENCILKIT) install $(JIT_STENCILS) --cpython $(CURDIR) --build-dir $(JIT_BUILD_DIR)

.PHONY: jit-stencils-verify jit-stencils-install
