"""The simulated lab: SSH and WinRM on loopback before a model of Xen hosts and of Windows guests.

It shares no code with what it tests: nothing here knows ``harness.host`` or ``harness.guest``.
"""

from harness.simlab.lab import SimLab

__all__ = ["SimLab"]
