"""xl of Xen 4.2 and later, as an administrator sees it: words, formats, exit codes.

What is not recorded in tests/fixtures/xen-4.17 or stand-in-4.17 is read from tools/xl and
tools/libs/light of Xen, or marked as a guess where it stands.
"""
