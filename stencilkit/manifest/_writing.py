"""A manifest -> TOML."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Final

import tomli_w

from stencilkit.manifest import _layout
from stencilkit.model.cc1 import Cpu
from stencilkit.model.layout import Layout
from stencilkit.model.manifest import Manifest, Provenance

SCHEMA: Final = 1
# The last field of the last table, [provenance]:
SEAL: Final = "seal"


def render(manifest: Manifest) -> str:
    """Write a manifest as TOML, sealed with a digest of the rest, so that no field changes unnoticed.

    The seal is not a signature: who can write the file can write another seal.
    """
    plain = tomli_w.dumps(document(manifest))
    return f'{plain}{SEAL} = "{hashlib.sha256(plain.encode()).hexdigest()}"\n'


def document(manifest: Manifest) -> dict[str, Any]:
    """Spell a manifest as tables, without a seal."""
    # A table that has been added since 0.1.0 is there only where it says something: other manifests stay as they were.
    return {
        "schema": SCHEMA,
        "artifact": _artifact(manifest),
        **({"source": dataclasses.asdict(manifest.source)} if manifest.source else {}),
        "extras": dict(manifest.extras),
        "file": [{"role": item.role, "name": item.name, "sha256": item.sha256} for item in manifest.files],
        "toolchain": {
            "version": manifest.toolchain.version,
            **({"provisional": manifest.provisional_llvm} if manifest.provisional_llvm else {}),
            "vendor": manifest.toolchain.vendor,
            "program": manifest.toolchain.program,
            "libraries": dict(manifest.toolchain.libraries),
        },
        **({"cpu": _cpu(manifest.cpu)} if manifest.cpu else {}),
        "build": _build(manifest),
        "pyconfig": {
            "sha256": manifest.pyconfig_sha256,
            "undefined": list(manifest.visible.undefined),
            "guarded": list(manifest.visible.guarded),
            "hidden": list(manifest.visible.hidden),
            "foreign-words": " ".join(manifest.foreign_words),
            "macros": dict(manifest.visible.macros),
        },
        "used": [{"use": item.use, "name": item.name, "sha256": item.sha256} for item in manifest.used],
        # Hundreds of each: one line, and not a table of its own, takes a third of the time to read.
        "include": {
            origin: {item.name: item.sha256 for item in manifest.includes if item.origin == origin}
            for origin in dict.fromkeys(item.origin for item in manifest.includes)
        },
        **({"layout": _layout.document(manifest.layout)} if manifest.layout else {}),
        "stencil": {item.name: f"{item.content} {item.code} {item.data} {item.holes}" for item in manifest.stencils},
        "provenance": _provenance(manifest.provenance),
    }


def _artifact(manifest: Manifest) -> dict[str, Any]:
    return {
        "cpython": manifest.cpython,
        **({"provisional": manifest.provisional} if manifest.provisional else {}),
        "triple": manifest.triple,
        "spelling": manifest.spelling,
        "flavour": manifest.flavour,
        "input-digest": manifest.input_digest,
        "content-digest": manifest.content_digest,
        "interface-digest": manifest.interface_digest,
        "stencils": len(manifest.stencils),
        "code-bytes": manifest.code_bytes,
        "data-bytes": manifest.data_bytes,
    }


def _build(manifest: Manifest) -> dict[str, Any]:
    variants = [{"name": item.name, "why": item.why} for item in manifest.variants]
    differences = [dataclasses.asdict(item) for item in manifest.differences]
    return {
        "driver": manifest.driver,
        "headers": manifest.headers,
        "cflags": manifest.cflags,
        **({"hardened": True} if manifest.hardened else {}),
        "deviation": [{"what": item.what, "why": item.why, "cost": item.cost} for item in manifest.deviations],
        **({"variant": variants} if variants else {}),
        **({"difference": differences} if differences else {}),
        "flag": [{"flag": item.flag, "why": item.why} for item in manifest.flags],
    }


def _provenance(provenance: Provenance) -> dict[str, Any]:
    return {
        "stencilkit": provenance.stencilkit,
        "host": provenance.host,
        "time": provenance.time,
        "command": list(provenance.command),
        **({"source": provenance.source} if provenance.source else {}),
    }


def _cpu(cpu: Cpu) -> dict[str, Any]:
    return {"name": cpu.name, "tune": cpu.tune, "features": list(cpu.features), "abi": cpu.abi}


def render_layout(layout: Layout) -> str:
    """Write a layout alone as TOML, for the cache."""
    return tomli_w.dumps({"schema": SCHEMA, "layout": _layout.document(layout)})
