"""Making a guest take a build's signatures: refusals first, then certificates and test signing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from harness.errors import ConfigurationError, GuestError
from harness.guest.guest import Guest
from harness.install.folder import guest_path
from harness.install.outcome import SigningSteps
from harness.install.patience import reboot_guest
from harness.model import GuestKind
from harness.operations import SecurityFacts
from harness.package import DriverBuild, SignerFacts, TrustKind

__all__ = ["prepare_signing", "refuse_unfit"]


def refuse_unfit(guest: Guest, build: DriverBuild, facts: SecurityFacts) -> None:
    """Refuse what cannot work before anything is changed in the guest.

    Raises:
        ConfigurationError: says what does not fit and the mend.
    """
    if build.synthetic and guest.kind is GuestKind.WINDOWS:
        raise ConfigurationError(
            f"driver build {build.path} is synthetic: there is no driver in it for {guest.name}",
            mend="name a real build with --build; a synthetic one is for simulated and stand-in guests",
        )
    if facts.secure_boot and build.needs_test_signing:
        signers = ", ".join(signer.subject for signer in build.signers if signer.trust is TrustKind.TEST)
        raise ConfigurationError(
            f"template {guest.template.name} boots with Secure Boot on, and driver build {build.path} is "
            f"test-signed ({signers}): Windows will not load it",
            mend="switch Secure Boot off in the template's firmware, or use a build that Microsoft signed",
        )
    if not facts.full_token:
        raise ConfigurationError(
            f"template {guest.template.name}: {guest.template.user} has no full token by WinRM, so that no "
            "driver can be installed",
            mend="run prepare.ps1 in the template: it sets LocalAccountTokenFilterPolicy",
        )


def prepare_signing(guest: Guest, build: DriverBuild, facts: SecurityFacts, *, boot_s: float) -> SigningSteps:
    """Add the certificates that are missing, and have test signing on or off as the build calls for.

    A build that Microsoft signed is judged with test signing off: else its signature proves nothing.

    Raises:
        GuestError: the guest does not keep the setting.
    """
    added = tuple(_add_certificates(guest, build))
    wanted = build.needs_test_signing
    if facts.test_signing == wanted:
        return SigningSteps(added)
    guest.operations.set_test_signing(enabled=wanted)
    word = "on" if wanted else "off"
    reboot_guest(guest, boot_s=boot_s, why=f"test signing {word}")
    if guest.operations.security_facts().test_signing != wanted:
        raise GuestError(f"{guest.name}: test signing is not {word} after the reboot it was set for")
    return SigningSteps(added, test_signing=wanted)


def _add_certificates(guest: Guest, build: DriverBuild) -> Iterator[str]:
    wanted = {place: data for signer in build.signers for place, data in _trusted(signer)}
    stores = {store for store, _ in wanted}
    present = {
        (store, certificate.thumbprint)
        for store in sorted(stores)
        for certificate in guest.operations.certificates(store=store)
    }
    for (store, thumbprint), data in sorted(wanted.items()):
        if (store, thumbprint) in present:
            continue
        path = guest_path(guest.kind, f"{thumbprint}.cer")
        guest.operations.write_file(path=path, content=base64.b64encode(data).decode("ascii"))
        certificate = guest.operations.add_certificate(path=path, store=store)
        yield f"{store}: {certificate.subject}"


def _trusted(signer: SignerFacts) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Which certificates have to be in which store for a signer, by store and thumbprint."""
    if signer.trust is TrustKind.MICROSOFT:
        return
    yield ("TrustedPublisher", signer.thumbprint), signer.certificate
    if signer.trust is TrustKind.TEST and signer.root is not None:
        thumbprint = hashlib.sha1(signer.root, usedforsecurity=False).hexdigest().upper()
        yield ("Root", thumbprint), signer.root
