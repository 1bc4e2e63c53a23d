"""Windows Setup in a domain that has nothing on its disk: what it reads from CDs, and what becomes of it.

Nothing of this was recorded on a Windows. What Setup does with an answer file follows Microsoft's
"Unattended Windows Setup Reference"; the order of its steps and what it shows where it stops are guesses.
"""

from __future__ import annotations

from harness.simlab.setup.guest import SetupGuest

__all__ = ["SetupGuest"]
