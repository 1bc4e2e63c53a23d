"""The SSH server before a simulated host."""

from harness.simlab.ssh.server import Access, SshServer

__all__ = ["Access", "SshServer"]
