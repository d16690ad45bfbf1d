# A CPython with the JIT on prebuilt stencils: no LLVM among its inputs.
#
#   pkgs.callPackage ./recipes/nix { python = pkgs.python314; stencilkit = ...; bundle = ./stencils-3.14.7.tar.gz; }
#
# `stencilkit` has its extra identify.
#
# `python` is any derivation of CPython with overrideAttrs. The stencils are verified against the source and the pyconfig.h
# of the very build that takes them; what does not fit is named, and the build stops.
{
  python,
  stencilkit,
  bundle,
}:

python.overrideAttrs (old: {
  configureFlags = (old.configureFlags or [ ]) ++ [ "--enable-experimental-jit" ];
  nativeBuildInputs = (old.nativeBuildInputs or [ ]) ++ [ stencilkit ];
  # Where the makefile deletes stencils between the passes of a PGO build, install says what brings them back.
  postConfigure = (old.postConfigure or "") + ''
    told=$(stencilkit install ${bundle} --cpython . --build-dir .) || { echo "$told"; exit 1; }
    echo "$told"
    makeFlagsArray+=($(echo "$told" | sed -n 's/^  make \(PYTHON_FOR_REGEN=\)/\1/p'))
  '';
  # What make was given is what it took. Not in checkPhase: nixpkgs' CPythons have none.
  postBuild = (old.postBuild or "") + ''
    stencilkit identify \
      --against "$(ls jit_stencils-*.h jit_stencils.h 2>/dev/null | head -n 1)" \
      "$(ls libpython3.*.so.1.0 python 2>/dev/null | head -n 1)"
  '';
})
