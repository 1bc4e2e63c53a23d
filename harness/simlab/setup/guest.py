"""A domain without a template: its firmware looks for something to boot, Windows Setup above all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.lab import Firmware, GuestTemplate
from harness.model import Arch, GuestKind
from harness.simlab.faults import FaultKind, FaultScope, parse_faults
from harness.simlab.guest.disk import Account, Kept, SystemDisk, copied_disk
from harness.simlab.guest.drivers import system_disk
from harness.simlab.guest.editions import edition_of
from harness.simlab.guest.eventlog import EventLog
from harness.simlab.guest.life import Life
from harness.simlab.guest.screen import Picture, paint
from harness.simlab.guest.setup import AgentFor, GuestSetup
from harness.simlab.guest.windows import WindowsGuest
from harness.simlab.host.simhost import Bare
from harness.simlab.machine import Machine, MachineDisk, StopReason
from harness.simlab.setup.answers import Unattended, WouldAsk, parse_answers
from harness.simlab.setup.cd import Cd, Loader, WindowsImage
from harness.simlab.setup.scripts import Kit, bypassed, kit_of, said
from harness.winrmd import ServerCertificate

__all__ = ["SetupGuest"]

_ANSWER_FILE = "Autounattend.xml"
_FIRST_DRIVE = ord("D")  # behind the system disk
_WMF = "KB3191566"
_SPECIALIZE, _OOBE, _GO_ON = "specialize", "oobe", "go-on"


class SetupGuest:
    """``SimulatedGuest``: Setup until Windows is on the disk, then that Windows."""

    def __init__(self, domain: Bare, agent_for: AgentFor | None = None) -> None:
        self._domain = domain
        self._agent_for = agent_for
        self._hangs = False
        self._life: Life | None = None
        self._windows: WindowsGuest | None = None
        self._picture = Picture.OFF

    # -- SimulatedGuest

    def power_on(self, machine: Machine) -> None:
        """See ``SimulatedGuest.power_on``."""
        before, self._windows = self._life, None
        if before is not None:
            before.cut()
        kept = _kept(machine)
        if kept is not None and kept.account is not None and self._loader(machine) is not Loader.STARTS:
            self._windows = self._installed(kept, kept.account)
            self._windows.power_on(machine)
            return
        self._life = life = Life(machine, before)
        self._picture = Picture.FIRMWARE
        life.begin(lambda: life.after(machine.pace.firmware, lambda: self._boot(life)))

    def resume(self, machine: Machine) -> None:
        """See ``SimulatedGuest.resume``. A setup that was saved is not played: it begins again."""
        if self._windows is not None:
            self._windows.resume(machine)
        else:
            self.power_on(machine)

    def cut(self) -> None:
        """See ``SimulatedGuest.cut``."""
        if self._windows is not None:
            self._windows.cut()
        if self._life is not None:
            self._life.cut()
        self._picture = Picture.OFF

    def pause_changed(self) -> None:
        """See ``SimulatedGuest.pause_changed``."""
        self._tell(lambda windows: windows.pause_changed())
        if self._life is not None:
            self._life.pause_changed()

    def devices_changed(self) -> None:
        """See ``SimulatedGuest.devices_changed``."""
        self._tell(lambda windows: windows.devices_changed())

    def press_power(self) -> None:
        """See ``SimulatedGuest.press_power``. Setup does nothing about it."""
        self._tell(lambda windows: windows.press_power())

    def nmi(self) -> None:
        """See ``SimulatedGuest.nmi``."""
        self._tell(lambda windows: windows.nmi())

    def screen(self) -> bytes:
        """See ``SimulatedGuest.screen``."""
        return self._windows.screen() if self._windows is not None else paint(self._picture, "setup")

    def _tell(self, action: Callable[[WindowsGuest], None]) -> None:
        if self._windows is not None:
            action(self._windows)

    # -- firmware

    def _boot(self, life: Life) -> None:
        loader, kept = self._loader(life.machine), _kept(life.machine)
        try:
            if loader is Loader.STARTS:
                self._windows_pe(life)
            elif kept is not None and kept.setup:
                self._go_on(life, kept.setup)
            else:
                self._picture = Picture.NO_DISK
                life.machine.console("No bootable device.\r\n")
        except WouldAsk as question:
            self._picture = Picture.SETUP
            life.machine.console(f"simulated Windows Setup waits for a person: {question}\r\n")

    def _loader(self, machine: Machine) -> Loader:
        """What the firmware starts from a CD.

        A UEFI of Xen tries CDs first, whatever the order (os-autoinst#640). A BIOS keeps to the order; from
        there on the medium asks for a key where a disk is bootable, and goes on to that one without.
        """
        firmware = self._domain.firmware
        if firmware is Firmware.BIOS and (not self._domain.cd_first or _kept(machine) is not None):
            return Loader.NONE
        for path in _cds(machine):
            cd = Cd.opened(path)
            if cd is not None:
                with cd:
                    loader = cd.loader(firmware)
                if loader is not Loader.NONE:
                    return loader
        return Loader.NONE

    # -- Windows PE

    def _windows_pe(self, life: Life) -> None:
        self._picture = Picture.LOGO
        with _drives(life.machine) as drives:
            images = next((cd.images() for cd in drives.values() if cd.images()), {})
            text = next((data for cd in drives.values() if (data := cd.read(_ANSWER_FILE))), None)
        if text is None:
            raise WouldAsk("language and keyboard: there is no answer file")
        answers = parse_answers(text, _arch_of(images))
        index = answers.text("windowsPE", "ImageInstall/OSImage/InstallFrom/MetaData/Value")
        image = images.get(index)
        switched_off = set()
        for command in answers.commands("windowsPE"):
            if not self._says(life, command) and bypassed(command):
                switched_off.add(bypassed(command))
            if self._hangs:
                return
        answers.check_copying(image, len(images), self._domain.firmware)
        assert image is not None
        answers.check_hardware(image, switched_off)
        life.after(life.machine.pace.boot, lambda: self._copied(life, image, answers, text))

    def _copied(self, life: Life, image: WindowsImage, answers: Unattended, text: bytes) -> None:
        disk = system_disk(life.machine)
        if disk is None or disk.file is None:
            raise WouldAsk("where to install: no disk")
        uefi = self._domain.firmware is Firmware.UEFI
        kept = Kept(
            template=answers.text("specialize", "ComputerName"),
            os=image.name,
            arch=image.arch or Arch.X64,
            computer_name=answers.text("specialize", "ComputerName"),
            secure_boot=False if uefi else None,
            setup=_SPECIALIZE,
            answers=text.decode(),
        )
        with disk.file.open("r+b") as file:
            file.write(copied_disk(kept))
            file.truncate()
        life.finish(StopReason.REBOOT)

    # -- from the disk

    def _go_on(self, life: Life, step: str) -> None:
        self._picture = Picture.LOGO
        disk = _disk(life.machine)
        answers = parse_answers(disk.kept.answers.encode(), disk.kept.arch)
        name, _, number = step.partition(":")
        if name == _SPECIALIZE:
            self._specialize(life, disk, answers)
        elif name == _OOBE:
            self._first_logon(life, disk, answers)
        else:
            self._install_updates(life, disk, answers, int(number))

    def _specialize(self, life: Life, disk: SystemDisk, answers: Unattended) -> None:
        if not disk.kept.computer_name:
            raise WouldAsk("a name for the computer")
        for command in answers.commands("specialize"):
            self._says(life, command)
            if self._hangs:
                return
        self._restart(life, disk, _OOBE)

    def _first_logon(self, life: Life, disk: SystemDisk, answers: Unattended) -> None:
        user = answers.text("oobeSystem", "AutoLogon/Username")
        password = answers.text("oobeSystem", "AutoLogon/Password/Value")
        if not answers.accounts or answers.text("oobeSystem", "OOBE/HideEULAPage") != "true":
            raise WouldAsk("who will use this PC")
        if answers.accounts.get(user) != password:
            raise WouldAsk(f"the password of {user}")
        self._picture = Picture.DESKTOP
        kit = self._kit(life, answers)
        for line in kit.begin:
            self._write(life, line)
            if self._hangs:
                return
        self._install_updates(life, disk, answers, 0)

    def _install_updates(self, life: Life, disk: SystemDisk, answers: Unattended, done: int) -> None:
        """One update, and a restart; with none left, what setup.ps1 does."""
        self._picture = Picture.DESKTOP
        kit = self._kit(life, answers)
        if done < len(kit.updates):
            self._write(life, f"pvhck stage updates: {kit.updates[done]}")
            if not self._hangs:
                self._restart(life, disk, f"{_GO_ON}:{done + 1}")
            return
        old = edition_of(disk.kept.os).old
        if old and not any(_WMF in name.upper() for name in kit.updates):
            raise WouldAsk("nothing, but its PowerShell 2.0 knows no ConvertFrom-Json")
        self._make_template(life, disk, answers, kit)

    def _make_template(self, life: Life, disk: SystemDisk, answers: Unattended, kit: Kit) -> None:
        kept = disk.kept
        certificate = ServerCertificate.make(kept.computer_name)
        for stage in kit.stages:
            if stage == "done":
                for line in _section(kit, kept, certificate, self._domain.firmware):
                    life.machine.console(f"pvhck section {line}\r\n")
            self._write(life, f"pvhck stage {stage}")
            if self._hangs:
                return
        kept.account = Account(
            user=kit.user,
            password=answers.accounts.get(kit.user, ""),
            certificate=certificate.certificate.decode(),
            key=certificate.key.decode(),
            faults=tuple(sorted(self._domain.faults.words(FaultKind.SETUP_LEAVES))),
        )
        kept.test_signing = kit.test_signing
        kept.setup = kept.answers = ""
        self._stop(life, disk, StopReason.POWEROFF)

    # -- inner parts

    def _kit(self, life: Life, answers: Unattended) -> Kit:
        command = answers.text("oobeSystem", "FirstLogonCommands/SynchronousCommand/CommandLine")
        with _drives(life.machine) as drives:
            kit = kit_of(command, drives)
        if kit is None:
            raise WouldAsk("nothing: the desktop is there")
        return kit

    def _says(self, life: Life, command: str) -> bool:
        """Whether a command writes to the serial port; it has, then."""
        text = said(command)
        if text is not None:
            self._write(life, text)
        return text is not None

    def _write(self, life: Life, text: str) -> None:
        """A line on the serial port; the fault setup-hangs ends it all with the stage that it names."""
        life.machine.console(f"{text}\r\n")
        words = self._domain.faults.words(FaultKind.SETUP_HANGS)
        self._hangs = text.partition(": ")[0] in {f"pvhck stage {word}" for word in words}

    def _restart(self, life: Life, disk: SystemDisk, step: str) -> None:
        disk.kept.setup = step
        self._stop(life, disk, StopReason.REBOOT)

    def _stop(self, life: Life, disk: SystemDisk, reason: StopReason) -> None:
        """Windows goes down; with the switch shutdown-unclean it leaves nothing that says so."""
        left = self._domain.faults.words(FaultKind.SETUP_LEAVES)
        events = EventLog(disk.kept)
        events.started(edition_of(disk.kept.os).version)
        if FaultKind.SHUTDOWN_UNCLEAN.value in left and reason is StopReason.POWEROFF:
            disk.kept.running = True
        else:
            events.stopped_cleanly()
        disk.save()
        disk.close()
        life.after(life.machine.pace.boot, lambda: life.finish(reason))

    def _installed(self, kept: Kept, account: Account) -> WindowsGuest:
        template = GuestTemplate(
            name=kept.template,
            guest=GuestKind.SIMULATED,
            image="",
            os=kept.os,
            arch=kept.arch,
            user=account.user,
        )
        return WindowsGuest(
            GuestSetup(
                template=template,
                password=account.password,
                faults=parse_faults(account.faults, FaultScope.GUEST, f"the Windows {kept.template}"),
                seed=self._domain.seed,
                certificate=ServerCertificate(account.certificate.encode(), account.key.encode()),
                agent_for=self._agent_for,
            )
        )


def _section(kit: Kit, kept: Kept, certificate: ServerCertificate, firmware: Firmware) -> Iterator[str]:
    """What prepare.ps1 prints (harness/guest/prepare.ps1)."""
    yield "# WinRM starts with Windows"
    yield f"[template {kit.name}]"
    yield "guest = windows"
    yield f"image = templates/{kit.name}.qcow2"
    yield f"os = Microsoft {kept.os}"
    yield f"arch = {kept.arch.value}"
    yield f"firmware = {firmware.value}"
    yield f"user = {kit.user}"
    yield "secret = env:PVHCK_SIMULATED"
    yield f"certificate = sha256:{certificate.fingerprint}"
    if edition_of(kept.os).old:
        yield "legacy_tls = yes"


def _arch_of(images: dict[str, WindowsImage]) -> Arch:
    """A medium's Windows PE is of its images' architecture."""
    return next((image.arch for image in images.values() if image.arch is not None), Arch.X64)


def _kept(machine: Machine) -> Kept | None:
    """What lies on the system disk, None for nothing that boots."""
    disk = system_disk(machine)
    return _read(disk) if disk is not None else None


def _read(disk: MachineDisk) -> Kept | None:
    try:
        return SystemDisk(disk.file).kept if disk.file is not None else None
    except (OSError, ValueError):
        return None


def _disk(machine: Machine) -> SystemDisk:
    disk = system_disk(machine)
    assert disk is not None
    assert disk.file is not None
    return SystemDisk(disk.file)


def _cds(machine: Machine) -> list[Path]:
    return [
        disk.file for disk in machine.disks if disk.cdrom and disk.file is not None and disk.file.exists()
    ]


@contextlib.contextmanager
def _drives(machine: Machine) -> Iterator[dict[str, Cd]]:
    """CDs by their drive letters."""
    with contextlib.ExitStack() as stack:
        opened = [cd for path in _cds(machine) if (cd := Cd.opened(path)) is not None]
        yield {chr(_FIRST_DRIVE + place): stack.enter_context(cd) for place, cd in enumerate(opened)}
