"""A simulated Xen host: file system, xenstore, domains, memory, addresses, SSH."""
