"""The pytest plugin: options, markers, fixtures, selection, outcomes.

Inert when no lab is asked for, so that the harness's own tests do not feel it.
"""
