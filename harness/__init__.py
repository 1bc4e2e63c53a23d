"""pvhck: an HCK-style end-to-end test harness for the Xen Windows PV drivers."""

__all__ = ["__version__"]

__version__ = "0.1.0"
