"""Speed, as ratios within one run: ``python -m benchmarks``, and ``--xen`` on the nested Xen lab.

A benchmark is a function in a module of its own that gives ``Comparison``s; ``__main__`` lists them.
Absolute figures depend on the machine and on what else it does; only ratios are judged.
"""
