"""The agent of the stand-in guest: answers WinRM and plays Windows, from the real state of a Linux kernel.

It runs in the guest as ``python3 -m harness.xenlab.standin``, with Debian's Python and a copy of the ground
floor, ``winrmd`` and this package; nothing else of the harness is there. Imports that cost seconds under TCG
(ssl, cryptography, urllib) are late.

What is real here: devices, disks, adapters, memory, xenstore, programs, the boot they come from. What is
played: the driver store, the System log, certificates, test signing. A driver package "installed" here
changes the kernel's command line of the next boot (``harness.xenlab.pvstate``); whether its device works is
then read from sysfs, never from what was installed.
"""
