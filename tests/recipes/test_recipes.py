"""The recipes for distributions, run with the distributions' own tools: verify decides in each build.

rpmbuild, dpkg-buildpackage and nix-build are Debian's, portage, pkgcheck and rattler-build PyPI's. Each is run with
stencils that fit, and with ones that do not.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from stencilkit import __version__
from stencilkit.jittest import hiding
from tests import workbench as wb

VERSION = "3.14.7"
RECIPES = wb.ROOT / "recipes"
STENCILKIT = Path(sysconfig.get_path("scripts")) / "stencilkit"
ACCEPTED = "it fits CPython 3.14.7"
# The newest that do with the bash of Debian 12.
PKGCHECK = ("pkgcheck==0.10.36", "pkgcore==0.12.30", "snakeoil==0.10.11")

pytestmark = [pytest.mark.network, pytest.mark.process]
fits_or_not = pytest.mark.parametrize("fits", [True, False], ids=["fits", "does-not-fit"])


@dataclass(frozen=True)
class Inputs:
    """The release tarball, stencils that fit, ones that were made with other flags, and what configure finds out."""

    tarball: Path
    good: Path
    other: Path
    site: Path

    def bundle(self, *, fits: bool) -> Path:
        return self.good if fits else self.other


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    root = tmp_path_factory.mktemp("inputs")
    tree = wb.tree(VERSION)
    (tarball,) = (wb.CACHE / "cache" / "tarballs").glob(f"Python-{VERSION}-*.tar.xz")
    for name, builds in (("good", [[], ["--debug"]]), ("other", [["--cflags=-DOTHER"]])):
        for flags in builds:
            wb.stencilkit("build", "--cpython", tree, "--llvm", wb.pypi_llvm(19), "--out", root / name, *flags)
        wb.stencilkit("pack", root / name, "-o", root / f"{name}.tar.gz")
    return Inputs(tarball=tarball, good=root / "good.tar.gz", other=root / "other.tar.gz", site=wb.site(VERSION))


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # rpm keeps a database in the home of whoever asks it about a package.
    home = {"HOME": str(cwd)} if Path(command[0]).name.startswith("rpm") else {}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=wb.environment({**home, **(env or {})}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not on PATH: install Debian's package {package}"
    return found


def on_path(*folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])


def judge(done: subprocess.CompletedProcess[str], *, fits: bool) -> None:
    tail = done.stdout[-4000:]
    if fits:
        assert done.returncode == 0, tail
        assert ACCEPTED in done.stdout or re.search(r"^placed .*jit_stencils\.h$", done.stdout, re.MULTILINE), tail
    else:
        assert done.returncode != 0, tail
        assert "refused" in done.stdout, tail
        assert "-DOTHER" in done.stdout, tail


def macros(folder: Path) -> Path:
    """Write the macros file, for the stencilkit under test."""
    path = folder / "macros.jit-stencils"
    text = (RECIPES / "fedora" / path.name).read_text()
    path.write_text(text.replace("/usr/bin/stencilkit", str(STENCILKIT)))
    return path


def rpmbuild(spec: Path, bundle: Path, inputs: Inputs, top: Path, *options: str) -> subprocess.CompletedProcess[str]:
    sources = top / "SOURCES"
    sources.mkdir()
    (sources / f"Python-{VERSION}.tar.xz").symlink_to(inputs.tarball)
    (sources / f"cpython-jit-stencils-{VERSION}.tar.gz").symlink_to(bundle)
    # Fedora's and openSUSE's /bin/sh is bash.
    defines = ("--define", f"_topdir {top}", "--define", "_buildshell /bin/bash")
    command: list[str | Path] = [program("rpmbuild", "rpm"), "-bb", "--nodeps", "--load", macros(top), *defines]
    return run(*command, *options, spec, cwd=top, env={"CONFIG_SITE": str(inputs.site)})


FEDORA = RECIPES / "fedora" / "python3.14-jit-stencils.spec"
SUSE = RECIPES / "opensuse" / "python314-jit-stencils.spec"


@fits_or_not
@pytest.mark.parametrize("spec", [FEDORA, pytest.param(SUSE, marks=pytest.mark.matrix)], ids=["fedora", "opensuse"])
def test_rpmbuild(spec: Path, fits: bool, inputs: Inputs, tmp_path: Path) -> None:
    """Fedora's makes them again with an LLVM, for an optimized and a debug build beside the source."""
    done = rpmbuild(spec, inputs.bundle(fits=fits), inputs, tmp_path)
    judge(done, fits=fits)
    packages = list((tmp_path / "RPMS").rglob("*.rpm"))
    assert len(packages) == fits
    if fits:
        assert done.stdout.count("line 1 equal; content equal") == 2 * (spec == FEDORA), done.stdout[-4000:]
        (package,) = packages
        assert package.name.startswith(spec.stem)
        listed = run("rpm", "-qpl", package, cwd=tmp_path).stdout
        assert f"/usr/share/cpython-jit-stencils/cpython-jit-stencils-{VERSION}.tar.gz" in listed


@pytest.mark.matrix
def test_rpmbuild_refuses_what_another_llvm_made(inputs: Inputs, tmp_path: Path) -> None:
    """They fit and are well formed; but they are not what the LLVM of the distribution makes."""
    for flags in ([], ["--debug"]):
        wb.stencilkit(
            "build", "--cpython", wb.tree(VERSION), "--llvm", wb.pypi_llvm(20), "--out", tmp_path / "x", *flags
        )
    wb.stencilkit("pack", tmp_path / "x", "-o", tmp_path / "x.tar.gz")
    done = rpmbuild(FEDORA, tmp_path / "x.tar.gz", inputs, tmp_path)
    assert done.returncode != 0
    assert "stencils differ" in done.stdout, done.stdout[-4000:]


# Run in a build folder: install; then the stencils are deleted, as some releases' makefiles do, and make is run.
RPM = """set -e
{macros}
rm {build}/jit_stencils*.h
make -C {build} $jit_stencils_make jit_stencils.h
"""
ECLASS = """EAPI=8 S={tree}
die() {{ echo "$*"; exit 1; }}
debug-print-function() {{ :; }}
. {recipes}/gentoo/eclass/jit-stencils.eclass
jit-stencils_install {bundle} {build}
rm {build}/jit_stencils*.h
make -C {build} "${{JIT_STENCILS_MAKE[@]}}" jit_stencils.h
"""
RULES = """.PHONY: build
include {recipes}/debian/stencilkit.mk
JIT_STENCILS = {bundle}
build:
\t$(call jit_stencils_install,{build})
\trm {build}/jit_stencils*.h
\t$(MAKE) -C {build} $(call jit_stencils_make,{build}) jit_stencils.h
"""


def deleting(makefile: Path) -> None:
    """Make a makefile one of those that delete stencils between the passes of a PGO build (python/cpython#141808)."""
    text = re.sub(r"(?m)^(clean-retain-profile:.*\n)", r"\1\t-rm -f jit_stencils*.h\n", makefile.read_text())
    text, count = re.subn(r"(?m)^(DEF_MAKE_ALL_RULE\s*=\s*).*$|^(all:\s*)build_all$", r"\1\2profile-opt", text)
    assert count
    makefile.write_text(text)


@pytest.mark.parametrize("deletes", [True, False], ids=["deletes", "keeps"])
def test_make_is_told_how_to_bring_stencils_back(deletes: bool, inputs: Inputs, tmp_path: Path) -> None:
    """Without a word from install, none is handed on, and make asks build.py, which has no LLVM."""
    tree, build = wb.tree(VERSION), tmp_path / "build"
    build.mkdir()
    env = {"CONFIG_SITE": str(inputs.site), "STENCILKIT": str(STENCILKIT), "PATH": hiding.hidden_path(tmp_path / "bin")}
    done = run(tree / "configure", "-q", "--enable-experimental-jit", cwd=build, env=env)
    assert done.returncode == 0, done.stdout
    if deletes:
        deleting(build / "Makefile")
    words = {"tree": tree, "build": build, "bundle": inputs.good, "recipes": RECIPES}
    call = f"%jit_stencils_install {inputs.good} {build}\n"
    expanded = run("rpm", "--load", macros(tmp_path), "--eval", call, cwd=tmp_path)
    texts = {"rpm": RPM.format(macros=expanded.stdout, **words), "eclass": ECLASS.format(**words)}
    write(tmp_path, {**texts, "rules": RULES.format(**words)})
    for command in (["sh", "rpm"], ["bash", "-e", "eclass"], ["make", "-f", "rules", f"CURDIR={tree}"]):
        done = run(*(tmp_path / word if word in {*texts, "rules"} else word for word in command), cwd=tmp_path, env=env)
        assert (done.returncode == 0) == deletes, done.stdout
        assert ("stencilkit-keep/python " in done.stdout) == deletes, done.stdout
        placed = {path.name: path.read_bytes() for path in build.glob("jit_stencils*.h")}
        kept = build / "stencilkit-keep" / "files"
        assert placed == {path.name: path.read_bytes() for path in kept.glob("*")}, done.stdout


@pytest.fixture(scope="module")
def hatch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what pyproject.toml builds stencilkit with; return its python."""
    return pip_install(tmp_path_factory.mktemp("hatch"), "hatchling") / "python"


@pytest.fixture(scope="module")
def sdist(hatch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the tarball of stencilkit that its packages start from."""
    folder = tmp_path_factory.mktemp("sdist")
    done = run(hatch, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=wb.ROOT)
    assert done.returncode == 0, done.stdout
    return folder / f"stencilkit-{__version__}.tar.gz"


# What Fedora's pyproject-rpm-macros do, in few lines; of the tests only that they are there and can be imported.
PYPROJECT = """%pyproject_buildrequires true
%pyproject_files %{{_builddir}}/pyproject_files
%pyproject_wheel {hatch} -m pip -q wheel --no-deps --no-build-isolation -w pyproject-wheeldir .
%pyproject_install {hatch} -m pip -q install --no-deps --root %{{buildroot}} --prefix /usr pyproject-wheeldir/*.whl
%pyproject_save_files(l) \\
(cd %{{buildroot}} && find usr/lib* -path '*site-packages/%{{1}}*' -prune) | sed 's,^,/,' > %{{pyproject_files}}
%pytest {python} -m pytest --collect-only -q
"""


def test_rpms_of_stencilkit(hatch: Path, sdist: Path, tmp_path: Path) -> None:
    (tmp_path / "SOURCES").mkdir()
    (tmp_path / "SOURCES" / sdist.name).symlink_to(sdist)
    # A noarch package is parsed twice, and rpm 4.20 forgets what --load brought when it begins again.
    write(tmp_path, {".rpmmacros": PYPROJECT.format(hatch=hatch, python=sys.executable)})
    command: list[str | Path] = [program("rpmbuild", "rpm"), "-bb", "--nodeps"]
    command += ["--define", f"_topdir {tmp_path}", "--define", "_buildshell /bin/bash"]
    done = run(*command, RECIPES / "fedora" / "stencilkit.spec", cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout[-4000:]
    assert "tests collected" in done.stdout, done.stdout[-4000:]
    whole, macros = sorted((tmp_path / "RPMS" / "noarch").iterdir(), key=lambda path: "macros" in path.name)
    listed = run("rpm", "-qpl", whole, cwd=tmp_path).stdout.split()
    assert "/usr/bin/stencilkit" in listed
    assert "/usr/share/bash-completion/completions/stencilkit" in listed
    assert any(name.startswith("/usr/share/man/man1/stencilkit-build.1") for name in listed)
    assert any(name.endswith("site-packages/stencilkit/targets.toml") for name in listed)
    assert f"stencilkit = {__version__}-1" in run("rpm", "-qp", "--requires", macros, cwd=tmp_path).stdout
    assert "macros.d/macros.jit-stencils" in run("rpm", "-qpl", macros, cwd=tmp_path).stdout


def test_deb_of_stencilkit(sdist: Path, tmp_path: Path) -> None:
    """Built by Debian's python; its packages of this release are too old for the tests, hence nocheck."""
    (tmp_path / f"stencilkit_{__version__}.orig.tar.gz").symlink_to(sdist)
    tree = tmp_path / "tree"
    tree.mkdir()
    run("tar", "xf", sdist, "--strip-components=1", cwd=tree)
    shutil.copytree(RECIPES / "debian" / "stencilkit", tree / "debian")
    program("dh_python3", "dh-python")
    env = {"DEB_BUILD_OPTIONS": "nocheck", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = run("dpkg-buildpackage", "-us", "-uc", "-d", cwd=tree, env=env)
    assert done.returncode == 0, done.stdout[-4000:]
    (package,) = tmp_path.glob("*.deb")
    listed = run("dpkg-deb", "--contents", package, cwd=tmp_path).stdout
    assert "./usr/bin/stencilkit" in listed
    assert "./usr/lib/python3/dist-packages/stencilkit/targets.toml" in listed
    # From pyproject.toml:
    assert "python3-pyelftools (>= 0.32)" in run("dpkg-deb", "--field", package, "Depends", cwd=tmp_path).stdout


@fits_or_not
def test_dpkg_buildpackage(fits: bool, inputs: Inputs, tmp_path: Path) -> None:
    tree = tmp_path / f"cpython-jit-stencils-{VERSION}"
    bundle = inputs.bundle(fits=fits)
    for source, name, folder in ((inputs.tarball, "orig.tar.xz", tree), (bundle, "orig-jit.tar.gz", tree / "jit")):
        (tmp_path / f"cpython-jit-stencils_{VERSION}.{name}").symlink_to(source)
        folder.mkdir()
        run("tar", "xf", source, "--strip-components=1", cwd=folder)
    shutil.copytree(RECIPES / "debian" / "example", tree / "debian")
    shutil.copy(RECIPES / "debian" / "stencilkit.mk", tree / "debian")
    env = {"STENCILKIT": str(STENCILKIT), "CONFIG_SITE": str(inputs.site)}
    command = [program("dpkg-buildpackage", "dpkg-dev"), "-us", "-uc", "-d"]
    done = run(*command, "-b", cwd=tree, env=env)
    judge(done, fits=fits)
    packages = list(tmp_path.glob("*.deb"))
    assert len(packages) == fits
    if fits:
        listed = run("dpkg-deb", "--contents", packages[0], cwd=tmp_path).stdout
        assert "./usr/share/cpython-jit-stencils/stencils.tar.gz" in listed
        # A source package can be made after a build: clean leaves nothing behind.
        done = run(*command, "-S", cwd=tree, env=env)
        assert done.returncode == 0, done.stdout[-4000:]
        assert "warning" not in done.stdout, done.stdout[-4000:]
        (described,) = tmp_path.glob("*.dsc")
        assert f"cpython-jit-stencils_{VERSION}.orig-jit.tar.gz" in described.read_text()


@pytest.fixture(scope="module")
def portage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install portage and pkgcheck from PyPI; return the folder of programs."""
    programs = pip_install(tmp_path_factory.mktemp("portage"), "portage==3.0.83", *PKGCHECK)
    # Where the system is not Gentoo's, portage calls GNU's tools by these names:
    for tool in ("tar", "sed", "make", "find", "xargs", "grep", "awk"):
        (programs / f"g{tool}").symlink_to(str(shutil.which(tool)))
    return programs


def pip_install(root: Path, *packages: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", root], check=True)
    subprocess.run([root / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    return root / "bin"


def write(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# What stencilkit's ebuild needs of Gentoo's, the eclass and the packages, as far as pkgcheck asks for it.
DISTUTILS = """IUSE="python_targets_python3_13"
PYTHON_USEDEP="python_targets_python3_13(-)?"
distutils_enable_tests() { IUSE+=" test"; RESTRICT="!test? ( test )"; BDEPEND+=" test? ( dev-python/pytest )"; }
"""
PACKAGE = """EAPI=8
DESCRIPTION="A stand-in"
LICENSE="PSF-2"
SLOT="0"
KEYWORDS="~amd64 ~arm64"
IUSE="python python_targets_python3_13"
"""
PACKAGES = [
    f"dev-python/{name}" for name in ("click", "hypothesis", "jinja2", "pyelftools", "pytest", "rich", "tomli-w")
]
PACKAGES += ["dev-libs/capstone"]


def gentoo(root: Path) -> Path:
    """Lay out the recipe above the least that a Gentoo repository is; return the overlay's folder."""
    write(
        root / "gentoo",
        {
            "metadata/layout.conf": "masters =\n",
            "profiles/repo_name": "gentoo\n",
            "profiles/arch.list": "amd64\narm64\n",
            "profiles/categories": "dev-lang\ndev-libs\ndev-python\ndev-util\n",
            "profiles/profiles.desc": "amd64 base stable\narm64 base stable\n",
            "profiles/base/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="~amd64"\nKERNEL="linux"\nELIBC="glibc"\n'
            'CHOST="x86_64-pc-linux-gnu"\n',
            "profiles/base/eapi": "8\n",
            "licenses/PSF-2": "The text of the PSF's licence.\n",
            "licenses/Apache-2.0": "The text of Apache's licence.\n",
            "eclass/distutils-r1.eclass": DISTUTILS,
            **{f"{name}/{name.partition('/')[2]}-99.ebuild": PACKAGE for name in PACKAGES},
        },
    )
    shutil.copytree(RECIPES / "gentoo", root / "overlay")
    # Sandboxes need what only a Gentoo machine, or root, has.
    features = "-test -sandbox -usersandbox -userpriv -userfetch -usersync"
    features += " -network-sandbox -ipc-sandbox -pid-sandbox -mount-sandbox"
    write(
        root / "etc/portage",
        {
            "make.conf": f'DISTDIR="{root}/distfiles"\nPORTAGE_TMPDIR="{root}/tmp"\nFEATURES="{features}"\n',
            "repos.conf/repos.conf": f"[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = {root}/gentoo\n"
            f"[stencilkit]\nlocation = {root}/overlay\n",
        },
    )
    (root / "etc/portage/make.profile").symlink_to(root / "gentoo/profiles/base")
    for name in ("distfiles", "tmp"):
        (root / name).mkdir()
    return root / "overlay"


def ebuild(
    root: Path, programs: Path, inputs: Inputs, *phases: str, package: str = f"dev-lang/cpython-jit-stencils-{VERSION}"
) -> subprocess.CompletedProcess[str]:
    env = {
        "PORTAGE_CONFIGROOT": str(root),
        "PORTAGE_USERNAME": pwd.getpwuid(os.getuid()).pw_name,
        "PORTAGE_GRPNAME": grp.getgrgid(os.getgid()).gr_name,
        "PATH": on_path(programs),
        # In place of wget; it is asked for what may be fetched, the release.
        "FETCHCOMMAND": f'cp {inputs.tarball} "${{DISTDIR}}/${{FILE}}"',
        "GENTOO_MIRRORS": "",
        "STENCILKIT": str(STENCILKIT),
        "CONFIG_SITE": str(inputs.site),
    }
    (path,) = (root / "overlay" / Path(package).parent).glob(f"*/{Path(package).name}.ebuild")
    return run(programs / "ebuild", path, *phases, cwd=root, env=env)


@fits_or_not
def test_ebuild(fits: bool, inputs: Inputs, portage: Path, tmp_path: Path) -> None:
    """Users rarely have FEATURES=test: what does not fit must not be installed without it."""
    gentoo(tmp_path)
    bundle = tmp_path / "distfiles" / f"cpython-jit-stencils-{VERSION}.tar.gz"
    # Without it, whoever wants it is told how it is made.
    done = ebuild(tmp_path, portage, inputs, "fetch")
    assert done.returncode != 0
    assert f"stencilkit pack out -o {bundle.name}" in done.stdout, done.stdout
    bundle.symlink_to(inputs.bundle(fits=fits))
    done = ebuild(tmp_path, portage, inputs, "manifest")
    assert done.returncode == 0, done.stdout
    judge(ebuild(tmp_path, portage, inputs, "clean", "install"), fits=fits)
    image = tmp_path / f"tmp/portage/dev-lang/cpython-jit-stencils-{VERSION}/image"
    assert len(list(image.rglob(bundle.name))) == fits


def test_pkgcheck(inputs: Inputs, portage: Path, sdist: Path, tmp_path: Path) -> None:
    overlay = gentoo(tmp_path)
    (tmp_path / "distfiles" / f"cpython-jit-stencils-{VERSION}.tar.gz").symlink_to(inputs.good)
    (tmp_path / "distfiles" / sdist.name).symlink_to(sdist)
    for package in (f"dev-lang/cpython-jit-stencils-{VERSION}", f"dev-util/stencilkit-{__version__}"):
        made = ebuild(tmp_path, portage, inputs, "manifest", package=package)
        assert made.returncode == 0, made.stdout
    command: list[str | Path] = [
        portage / "pkgcheck",
        "--config",
        tmp_path / "etc/portage",
        "scan",
        "--exit",
        "error,warning",
        "-r",
        overlay,
    ]
    done = run(*command, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    # It does object where there is something:
    mistakes = (("dev-lang", "PSF-2", "PSF-3", "UnknownLicense"), ("dev-util", "click-8", "clack-8", "NonexistentDeps"))
    for category, right, wrong, _ in mistakes:
        (path,) = (overlay / category).glob("*/*.ebuild")
        path.write_text(path.read_text().replace(right, wrong))
    done = run(*command, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode != 0
    assert all(keyword in done.stdout for *_, keyword in mistakes), done.stdout


# What nixpkgs' python and mkDerivation are, in few lines: phases of bash, run by nix. The makefile becomes one of
# those that delete stencils between the passes of a PGO build.
NIX = """{{ path, site }}:
let
  python = attrs: {{
    overrideAttrs = change: python (attrs // change attrs);
    built = derivation {{
      name = "python-jit";
      system = builtins.currentSystem;
      builder = "{bash}";
      CONFIG_SITE = site;
      args = [ "-euc" ''
        export PATH=${{path}} HOME=$PWD
        for input in ${{toString attrs.nativeBuildInputs}}; do PATH=$input/bin:$PATH; done
        tar xf {tarball} --strip-components=1
        ./configure -q ${{toString attrs.configureFlags}}
        sed -i '/^clean-retain-profile:/a \\\trm -f jit_stencils*.h' Makefile
        makeFlagsArray=()
        ${{attrs.postConfigure}}
        rm jit_stencils*.h
        make "''${{makeFlagsArray[@]}}" jit_stencils.h
        cp {library} python
        ${{attrs.postBuild}}
        mkdir $out
        cp jit_stencils*.h $out
        # Else bash becomes this cp, which closes its output before it ends, and nix kills who does.
        exit 0
      '' ];
    }};
  }};
in (import {recipe} {{
  python = python {{ configureFlags = [ "--enable-optimizations" ]; }};
  stencilkit = "{stencilkit}";
  bundle = {bundle};
}}).built
"""


@pytest.mark.parametrize("fits", ["fits", "does-not-fit", "make-took-others"])
def test_nix_build(fits: str, inputs: Inputs, tmp_path: Path) -> None:
    """A library stands for the python that make would make."""
    text = release_header(inputs, tmp_path).read_text()
    expression = NIX.format(
        bash=shutil.which("bash"),
        tarball=inputs.tarball,
        recipe=RECIPES / "nix",
        stencilkit=STENCILKIT.parents[1],
        bundle=inputs.bundle(fits=fits != "does-not-fit"),
        library=library(text, tmp_path, changed=fits == "make-took-others"),
    )
    write(tmp_path, {"test.nix": expression, "home/x": ""})
    folders = {name: str(tmp_path / name) for name in ("NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR", "NIX_CONF_DIR")}
    options = {"build-users-group": "", "sandbox": "false", "substitute": "false"}
    command: list[str | Path] = [program("nix-build", "nix-bin"), "--no-out-link", tmp_path / "test.nix"]
    command += [word for pair in options.items() for word in ("--option", *pair)]
    command += ["--argstr", "path", os.environ["PATH"], "--argstr", "site", str(inputs.site)]
    done = run(*command, cwd=tmp_path, env={**folders, "HOME": str(tmp_path / "home")})
    assert len(list((tmp_path / "NIX_STORE_DIR").glob("*-python-jit/jit_stencils.h"))) == (fits == "fits")
    if fits == "make-took-others":
        assert done.returncode != 0
        assert "python: changed" in done.stdout, done.stdout[-4000:]
    else:
        judge(done, fits=fits == "fits")


CONDA = """import sys
from pathlib import Path
import rattler_build as conda

for variant in conda.Stage0Recipe.from_file("recipe.yaml").render(conda.VariantConfig()):
    try:
        result = variant.run_build(output_dir=Path("out"), channels=[], env_isolation=conda.EnvironmentIsolation.NONE)
    except conda.RattlerBuildError as error:
        print(*error.log, sep="\\n")
        sys.exit(1)
    print(*result.log, *result.packages, sep="\\n")
"""


@pytest.fixture(scope="module")
def rattler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pip_install(tmp_path_factory.mktemp("rattler"), "py-rattler-build==0.73.0")


@pytest.mark.matrix
@fits_or_not
def test_rattler_build(fits: bool, inputs: Inputs, rattler: Path, tmp_path: Path) -> None:
    """No channel can be relied on here: the compiler, make and stencilkit are this machine's."""
    shutil.copytree(RECIPES / "conda", tmp_path, dirs_exist_ok=True)
    shutil.copy(inputs.bundle(fits=fits), tmp_path / "stencils.tar.gz")
    recipe = (tmp_path / "recipe.yaml").read_text()
    before, _, rest = recipe.partition("requirements:\n")
    recipe = before + rest[rest.index("\n\n") :]
    url = next(line for line in recipe.splitlines() if "url: " in line)
    write(tmp_path, {"recipe.yaml": recipe.replace(url, f"  - path: {inputs.tarball}"), "run.py": CONDA})
    env = {"PATH": on_path(STENCILKIT.parent), "CONFIG_SITE": str(inputs.site), "HOME": str(tmp_path)}
    judge(run(rattler / "python", "run.py", cwd=tmp_path, env=env), fits=fits)
    assert len(list((tmp_path / "out").rglob("cpython-jit-stencils-*.conda"))) == fits


@fits_or_not
def test_hook_of_python_build_standalone(fits: bool, inputs: Inputs, tmp_path: Path) -> None:
    run("tar", "xf", inputs.tarball, "--strip-components=1", cwd=tmp_path)
    env = {"CONFIG_SITE": str(inputs.site), "STENCILKIT": str(STENCILKIT)}
    hook = RECIPES / "uv" / "jit-stencils.sh"
    assert run("./configure", "-q", "--enable-experimental-jit=yes-off", cwd=tmp_path, env=env).returncode == 0
    deleting(tmp_path / "Makefile")
    script = 'jit=$("$1" install "$2"); rm jit_stencils*.h; make $jit jit_stencils.h'
    judge(run("sh", "-ec", script, "sh", hook, inputs.bundle(fits=fits), cwd=tmp_path, env=env), fits=fits)
    if not fits:
        return
    done = run(hook, "audit", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout
    (header,) = tmp_path.glob("jit_stencils-*.h")
    text = header.read_text()
    header.write_text(text.replace("(uintptr_t)&_Py_Dealloc)", "(uintptr_t)&__stack_chk_fail)"))
    done = run(hook, "audit", cwd=tmp_path, env=env)
    assert done.returncode == 1, done.stdout
    assert "__stack_chk_fail" in done.stdout
    # CPython's own generator puts its command on line 2, with paths of the machine: no stencil sees that comment.
    first, _, rest = text.split("\n", 2)
    header.write_text(
        f"{first}\n// $ python3.14 /build/Python-{VERSION}/Tools/jit/build.py {wb.X86} --cflags=''\n{rest}"
    )
    done = run(hook, "audit", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout


# What each recipe runs after make, in the build folder.
BINARY = {
    "fedora": 'eval "$(rpm --load "$MACROS" --eval "%jit_stencils_binary .")"',
    "debian": "make -f debian.mk check",
    "gentoo": 'EAPI=8; die() { exit 1; }; debug-print-function() { :; }; S=.; . "$ECLASS"; jit-stencils_binary',
    "uv": '"$HOOK" binary',
    "conda": 'sh "$RECIPES/conda/check-binary.sh" .',
    # The line of python314.spec's %check, as the recipe says it.
    "opensuse": 'line=$(sed -n "s/^#   %%\\(jit_stencils_binary .*\\)/%\\1/p" "$RECIPES"/opensuse/*.spec)\n'
    'test -n "$line"; eval "$(rpm --load "$MACROS" --eval "$line")"',
}


def library(header: str, folder: Path, *, changed: bool) -> Path:
    """Make a library with a header's arrays, which stands for python; another byte in one must stop a build."""
    # Zeros at an end are not written, so the size counts.
    bodies = re.findall(r"code_body(\[\d+\] = \{.*?\});", header, re.DOTALL)
    assert len(bodies) > 200
    if changed:
        longest = max(bodies, key=len)
        bodies[bodies.index(longest)] = longest.replace("0x48", "0x49", 1)
    arrays = "\n".join(f"const unsigned char body_{number}{body};" for number, body in enumerate(bodies))
    (folder / "arrays.c").write_text(arrays)
    done = run("gcc", "-shared", "-nostdlib", "-o", "python", "arrays.c", cwd=folder)
    assert done.returncode == 0, done.stdout
    return folder / "python"


def release_header(inputs: Inputs, folder: Path) -> Path:
    """Unpack the release flavour's header."""
    run("tar", "xf", inputs.good, cwd=folder)
    (header,) = [path for path in folder.rglob(f"{wb.X86}.h") if "debug" not in path.parts]
    return header


def binary_environment(folder: Path) -> dict[str, str]:
    """Give what the commands of BINARY use; the build folder is `folder`."""
    (folder / "debian.mk").write_text(
        f"include {RECIPES}/debian/stencilkit.mk\ncheck:\n\t$(call jit_stencils_binary,.)\n"
    )
    return {
        "STENCILKIT": str(STENCILKIT),
        "MACROS": str(macros(folder)),
        "ECLASS": str(RECIPES / "gentoo" / "eclass" / "jit-stencils.eclass"),
        "HOOK": str(RECIPES / "uv" / "jit-stencils.sh"),
        "RECIPES": str(RECIPES),
    }


@pytest.mark.parametrize("recipe", BINARY)
def test_what_make_took_is_looked_for_in_what_it_made(recipe: str, inputs: Inputs, tmp_path: Path) -> None:
    """Where a byte is another one, the build stops."""
    text = release_header(inputs, tmp_path).rename(tmp_path / f"jit_stencils-{wb.X86}.h").read_text()
    env = binary_environment(tmp_path)
    for changed in (False, True):
        library(text, tmp_path, changed=changed)
        done = run("bash", "-c", BINARY[recipe], cwd=tmp_path, env=env)
        assert bool(done.returncode) is changed, done.stdout
        assert f"python: {'changed' if changed else 'identified'}" in done.stdout, done.stdout


@pytest.mark.parametrize("recipe", BINARY)
def test_a_folder_in_which_nothing_was_made_is_named(recipe: str, tmp_path: Path) -> None:
    """Not to be confused with other stencils than those that make was given."""
    (tmp_path / "jit_stencils.h").touch()
    env = {**binary_environment(tmp_path), "STENCILKIT": "false"}
    done = run("bash", "-c", BINARY[recipe].replace("die() {", 'die() { echo "$@";'), cwd=tmp_path, env=env)
    assert done.returncode != 0
    assert "no stencils, or no python, in " in done.stdout


def test_alpines_build_file_is_shell_and_says_what_abuild_asks_for() -> None:
    """Abuild sources it with busybox' ash; it needs these variables and functions (APKBUILD(5))."""
    path = RECIPES / "alpine" / "APKBUILD"
    show = 'printf "%s\\n" "$pkgname" "$pkgver" "$pkgrel" "$pkgdesc" "$url" "$arch" "$license" "$source" "$builddir"'
    asked = f"set -eu; srcdir=/src CBUILD=x CHOST=x; . {path}; type build check package >/dev/null; {show}"
    done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    assert all(lines)
    assert lines[1] in wb.PINNED
    assert lines[-1] == f"/src/Python-{lines[1]}"
