"""Looks at hosts and templates and says, line by line, what is missing and the command that mends it.

Nothing is changed on a host but for a probe file that is removed again; ``check_booted`` alone
makes a guest, and takes it away.
"""

from harness.doctor.booted import check_booted, check_guest
from harness.doctor.check import Check, State, worst
from harness.doctor.hosts import check_host
from harness.doctor.render import exit_code, render
from harness.doctor.templates import check_template
from harness.doctor.tools import check_tools

__all__ = [
    "Check",
    "State",
    "check_booted",
    "check_guest",
    "check_host",
    "check_template",
    "check_tools",
    "exit_code",
    "render",
    "worst",
]
