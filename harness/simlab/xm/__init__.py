"""xm of Xen 3.4 to 4.4, as an administrator sees it: words, formats, exit codes.

Nothing here was recorded: it is read from tools/python/xen/xm and tools/python/xen/xend of 3.4.0-rc3
and stable-4.0, or marked as a guess where it stands.
"""
