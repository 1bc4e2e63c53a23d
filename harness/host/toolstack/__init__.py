"""Toolstacks: the protocol and its implementations."""
