# A CPython with the JIT on prebuilt stencils: no LLVM among its inputs.
#
#   pkgs.callPackage ./recipes/nix { python = pkgs.python314; stencilkit = ...; bundle = ./stencils-3.14.7.tar.gz; }
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
  postConfigure = (old.postConfigure or "") + ''
    stencilkit install ${bundle} --cpython . --build-dir .
  '';
})
