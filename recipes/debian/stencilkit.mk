# For debian/rules of a CPython. Nothing here needs an LLVM; what does not fit is named, and the build stops.
#
#   JIT_STENCILS                      the bundle that `stencilkit pack` made
#   $(call jit_stencils_verify,DIR)   DIR is where configure was run; places nothing
#   $(call jit_stencils_install,DIR)  between configure and make
#   $(call jit_stencils_make,DIR)     arguments for this make, mostly none: makefiles of some releases delete the
#                                     stencils between the passes of a PGO build (python/cpython#141808)
#   $(call jit_stencils_binary,DIR)   after make: python, or libpython, has the stencils that are in DIR
#
#     $(call jit_stencils_install,$(buildd_static))
#     $(MAKE) -C $(buildd_static) $(call jit_stencils_make,$(buildd_static)) ...

STENCILKIT ?= stencilkit

jit_stencils_verify = $(STENCILKIT) install --check --witness $(JIT_STENCILS) --cpython $(CURDIR) --build-dir $(1)
jit_stencils_install = $(STENCILKIT) install $(JIT_STENCILS) --cpython $(CURDIR) --build-dir $(1) > $(1)/jit-stencils.log || \
	{ cat $(1)/jit-stencils.log; exit 1; }; cat $(1)/jit-stencils.log
# The shell reads it when its line is run, not make when it reads the recipe:
jit_stencils_make = $$(sed -n 's/^  make \(PYTHON_FOR_REGEN=\)/\1/p' $(1)/jit-stencils.log)
jit_stencils_binary = header=$$(ls $(1)/jit_stencils-*.h $(1)/jit_stencils.h 2>/dev/null | head -n 1); \
	program=$$(ls $(1)/libpython3.*.so.1.0 $(1)/python 2>/dev/null | head -n 1); \
	test "$$header" && test "$$program" || { echo "no stencils, or no python, in $(1)" >&2; exit 2; }; \
	$(STENCILKIT) identify --against "$$header" "$$program"
