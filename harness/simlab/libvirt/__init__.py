"""libvirt's libxl driver of a simulated host, as its port shows it.

Recorded: samples/libvirt-9.0-xen-4.17 and stand-in-libvirt-9.0. What is not is marked as a guess.
"""
