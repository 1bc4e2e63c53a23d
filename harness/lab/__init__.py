"""What we have: hosts, templates, tools and profiles, typed and frozen."""

from harness.lab.spec import (
    AddressSource,
    CertificatePolicy,
    CloneMethod,
    Firmware,
    GuestTemplate,
    HostKind,
    HostSpec,
    Lab,
    SecretRef,
    Tool,
    WinRmTransport,
)

__all__ = [
    "AddressSource",
    "CertificatePolicy",
    "CloneMethod",
    "Firmware",
    "GuestTemplate",
    "HostKind",
    "HostSpec",
    "Lab",
    "SecretRef",
    "Tool",
    "WinRmTransport",
]
