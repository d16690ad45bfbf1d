"""The recipes for distributions, run with the distributions' own tools: verify decides in each build.

rpmbuild, dpkg-buildpackage and nix-build are Debian's, portage, pkgcheck and rattler-build PyPI's. Each is run with
stencils that fit, and with ones that do not.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
import workbench as wb

VERSION = "3.14.7"
RECIPES = wb.ROOT / "recipes"
STENCILKIT = Path(sysconfig.get_path("scripts")) / "stencilkit"
ACCEPTED = "it fits CPython 3.14.7"
# The newest that do with the bash of Debian 12.
PKGCHECK = ("pkgcheck==0.10.36", "pkgcore==0.12.30", "snakeoil==0.10.11")

pytestmark = [pytest.mark.network, pytest.mark.process, pytest.mark.xdist_group("recipes")]
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
    for name, flags in (("good", []), ("other", ["--cflags=-DOTHER"])):
        folder = root / name
        wb.stencilkit("build", "--cpython", tree, "--llvm", wb.pypi_llvm(19), "--out", folder, *flags)
        wb.stencilkit("pack", folder, "-o", root / f"{name}.tar.gz")
    found = root / "config.cache"
    done = run(tree / "configure", "-q", "--enable-experimental-jit", f"--cache-file={found}", cwd=root)
    assert done.returncode == 0, done.stdout[-2000:]
    # A site file (autoconf manual, "Site Defaults") makes the configure of each package a matter of seconds.
    site = root / "config.site"
    site.write_text("".join(x for x in found.read_text().splitlines(keepends=True) if not x.startswith("ac_cv_env_")))
    return Inputs(tarball=tarball, good=root / "good.tar.gz", other=root / "other.tar.gz", site=site)


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=wb.environment(env),
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
        assert ACCEPTED in done.stdout or "placed jit_stencils.h" in done.stdout, tail
    else:
        assert done.returncode != 0, tail
        assert "refused" in done.stdout, tail
        assert "-DOTHER" in done.stdout, tail


def rpmbuild(recipe: str, bundle: Path, inputs: Inputs, top: Path, *options: str) -> subprocess.CompletedProcess[str]:
    sources = top / "SOURCES"
    sources.mkdir()
    (sources / f"Python-{VERSION}.tar.xz").symlink_to(inputs.tarball)
    (sources / f"stencils-{VERSION}.tar.gz").symlink_to(bundle)
    macros = (RECIPES / "fedora" / "macros.jit-stencils").read_text()
    (sources / "macros.jit-stencils").write_text(macros.replace("/usr/bin/stencilkit", str(STENCILKIT)))
    spec = shutil.copy(RECIPES / recipe / "cpython-jit-stencils.spec", top)
    command = [program("rpmbuild", "rpm"), "-bb", "--nodeps", "--define", f"_topdir {top}", *options, spec]
    return run(*command, cwd=top, env={"CONFIG_SITE": str(inputs.site)})


@fits_or_not
@pytest.mark.parametrize("recipe", ["fedora", pytest.param("opensuse", marks=pytest.mark.matrix)])
def test_rpmbuild(recipe: str, fits: bool, inputs: Inputs, tmp_path: Path) -> None:
    judge(rpmbuild(recipe, inputs.bundle(fits=fits), inputs, tmp_path), fits=fits)
    packages = list((tmp_path / "RPMS").rglob("*.rpm"))
    assert len(packages) == fits
    if fits:
        listed = run("rpm", "-qpl", *packages, cwd=tmp_path).stdout
        assert f"/usr/share/cpython-jit-stencils/stencils-{VERSION}.tar.gz" in listed


@pytest.mark.matrix
def test_rpmbuild_holds_the_stencils_against_an_llvm(inputs: Inputs, tmp_path: Path) -> None:
    done = rpmbuild("fedora", inputs.good, inputs, tmp_path, "--with", "rebuild")
    judge(done, fits=True)
    assert "content equal" in done.stdout


@fits_or_not
def test_dpkg_buildpackage(fits: bool, inputs: Inputs, tmp_path: Path) -> None:
    tree = tmp_path / f"Python-{VERSION}"
    tree.mkdir()
    run("tar", "xf", inputs.tarball, "--strip-components=1", cwd=tree)
    shutil.copytree(RECIPES / "debian" / "example", tree / "debian")
    shutil.copy(RECIPES / "debian" / "stencilkit.mk", tree / "debian")
    shutil.copy(inputs.bundle(fits=fits), tree / "debian" / "stencils.tar.gz")
    env = {"STENCILKIT": str(STENCILKIT), "CONFIG_SITE": str(inputs.site)}
    done = run(program("dpkg-buildpackage", "dpkg-dev"), "-b", "-us", "-uc", "-d", cwd=tree, env=env)
    judge(done, fits=fits)
    packages = list(tmp_path.glob("*.deb"))
    assert len(packages) == fits
    if fits:
        listed = run("dpkg-deb", "--contents", packages[0], cwd=tmp_path).stdout
        assert "./usr/share/cpython-jit-stencils/stencils.tar.gz" in listed


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


def gentoo(root: Path) -> Path:
    """Lay out the recipe above the least that a Gentoo repository is; return the overlay's folder."""
    write(
        root / "gentoo",
        {
            "metadata/layout.conf": "masters =\n",
            "profiles/repo_name": "gentoo\n",
            "profiles/arch.list": "amd64\narm64\n",
            "profiles/categories": "dev-lang\ndev-util\n",
            "profiles/profiles.desc": "amd64 base stable\narm64 base stable\n",
            "profiles/base/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="~amd64"\nKERNEL="linux"\nELIBC="glibc"\n'
            'CHOST="x86_64-pc-linux-gnu"\n',
            "profiles/base/eapi": "8\n",
            "licenses/PSF-2": "The text of the PSF's licence.\n",
            "dev-util/stencilkit/stencilkit-0.ebuild": 'EAPI=8\nDESCRIPTION="x"\nLICENSE="PSF-2"\nSLOT="0"\n'
            'KEYWORDS="~amd64 ~arm64"\n',
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


def ebuild(root: Path, programs: Path, inputs: Inputs, *phases: str) -> subprocess.CompletedProcess[str]:
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
    path = root / f"overlay/dev-lang/cpython-jit-stencils/cpython-jit-stencils-{VERSION}.ebuild"
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


def test_pkgcheck(inputs: Inputs, portage: Path, tmp_path: Path) -> None:
    overlay = gentoo(tmp_path)
    (tmp_path / "distfiles" / f"cpython-jit-stencils-{VERSION}.tar.gz").symlink_to(inputs.good)
    made = ebuild(tmp_path, portage, inputs, "manifest")
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
    path = overlay / f"dev-lang/cpython-jit-stencils/cpython-jit-stencils-{VERSION}.ebuild"
    path.write_text(path.read_text().replace("PSF-2", "PSF-3"))
    done = run(*command, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode != 0
    assert "UnknownLicense" in done.stdout


# What nixpkgs' python and mkDerivation are, in few lines: phases of a shell, run by nix.
NIX = """{{ path, site }}:
let
  python = attrs: {{
    overrideAttrs = change: python (attrs // change attrs);
    built = derivation {{
      name = "python-jit";
      system = builtins.currentSystem;
      builder = "/bin/sh";
      CONFIG_SITE = site;
      args = [ "-euc" ''
        export PATH=${{path}} HOME=$PWD
        for input in ${{toString attrs.nativeBuildInputs}}; do PATH=$input/bin:$PATH; done
        tar xf {tarball} --strip-components=1
        ./configure -q ${{toString attrs.configureFlags}}
        ${{attrs.postConfigure}}
        mkdir $out
        cp jit_stencils*.h $out
      '' ];
    }};
  }};
in (import {recipe} {{ python = python {{ }}; stencilkit = "{stencilkit}"; bundle = {bundle}; }}).built
"""


@fits_or_not
def test_nix_build(fits: bool, inputs: Inputs, tmp_path: Path) -> None:
    expression = NIX.format(
        tarball=inputs.tarball,
        recipe=RECIPES / "nix",
        stencilkit=STENCILKIT.parents[1],
        bundle=inputs.bundle(fits=fits),
    )
    write(tmp_path, {"test.nix": expression, "home/x": ""})
    folders = {name: str(tmp_path / name) for name in ("NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR", "NIX_CONF_DIR")}
    options = {"build-users-group": "", "sandbox": "false", "substitute": "false"}
    command: list[str | Path] = [program("nix-build", "nix-bin"), "--no-out-link", tmp_path / "test.nix"]
    command += [word for pair in options.items() for word in ("--option", *pair)]
    command += ["--argstr", "path", os.environ["PATH"], "--argstr", "site", str(inputs.site)]
    done = run(*command, cwd=tmp_path, env={**folders, "HOME": str(tmp_path / "home")})
    judge(done, fits=fits)
    assert len(list((tmp_path / "NIX_STORE_DIR").glob("*-python-jit/jit_stencils.h"))) == fits


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
    judge(run(hook, "install", inputs.bundle(fits=fits), cwd=tmp_path, env=env), fits=fits)
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
