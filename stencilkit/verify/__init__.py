"""What was read, computed and recorded -> checks, each one question with its answer.

Judges values; reads no file. Fails closed: what is not known to be harmless is a failure, and without a check that
passed a verdict does not accept.

_texts      a header's bytes beside its stencils, rendered again
_manifest   a header and its files beside a manifest
_tree       a manifest beside a CPython tree
_policy     what somebody demands, and the verdict
"""

from __future__ import annotations

from stencilkit.verify._manifest import claims, laid_out, line_1, rebuilt, written_files
from stencilkit.verify._policy import CONSISTENT, DEFAULT_POLICY, conclude, mingw_headers, obey, parse_policy
from stencilkit.verify._texts import canonical, content_claim, generators_own, small_file
from stencilkit.verify._tree import fits

__all__ = [
    "CONSISTENT",
    "DEFAULT_POLICY",
    "canonical",
    "claims",
    "conclude",
    "content_claim",
    "fits",
    "generators_own",
    "laid_out",
    "line_1",
    "mingw_headers",
    "obey",
    "parse_policy",
    "rebuilt",
    "small_file",
    "written_files",
]
