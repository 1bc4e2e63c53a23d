"""Windows templates, built unattended from their medium.

``make_plan`` looks at medium, edition and updates on this machine; ``build_image`` does the rest on a host.
"""

from __future__ import annotations

from harness.image.build import Reporter, build_image
from harness.image.follow import SetupFailed
from harness.image.gate import GateFailed
from harness.image.oses import OSES, WindowsOs, os_named
from harness.image.password import default_reference, kept_password
from harness.image.plan import Plan, Request, make_plan
from harness.image.register import Registered
from harness.image.stages import STAGES, Said, Stage

__all__ = [
    "OSES",
    "STAGES",
    "GateFailed",
    "Plan",
    "Registered",
    "Reporter",
    "Request",
    "Said",
    "SetupFailed",
    "Stage",
    "WindowsOs",
    "build_image",
    "default_reference",
    "kept_password",
    "make_plan",
    "os_named",
]
