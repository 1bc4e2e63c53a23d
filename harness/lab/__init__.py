"""What we have and what is asked: hosts, templates, tools, secrets and profiles, typed and frozen.

Requirement against capability stands in ``harness.lab.match``.
"""

from harness.lab.findings import Finding, LabFileError, ProfileError
from harness.lab.load import load_lab
from harness.lab.profile import Profile
from harness.lab.profile_load import load_profile, profile_names
from harness.lab.redactor import Redactor, without_found_secrets
from harness.lab.secrets import Secret, resolve_secret
from harness.lab.spec import (
    AddressSource,
    CertificatePolicy,
    CloneMethod,
    Firmware,
    GuestTemplate,
    HostKind,
    HostSpec,
    Lab,
    NicModel,
    SecretRef,
    Tool,
    ToolName,
    WinRmTransport,
)
from harness.lab.warnings import lab_warnings

__all__ = [
    "AddressSource",
    "CertificatePolicy",
    "CloneMethod",
    "Finding",
    "Firmware",
    "GuestTemplate",
    "HostKind",
    "HostSpec",
    "Lab",
    "LabFileError",
    "NicModel",
    "Profile",
    "ProfileError",
    "Redactor",
    "Secret",
    "SecretRef",
    "Tool",
    "ToolName",
    "WinRmTransport",
    "lab_warnings",
    "load_lab",
    "load_profile",
    "profile_names",
    "resolve_secret",
    "without_found_secrets",
]
