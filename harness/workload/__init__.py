"""Work put on a guest and what came of it: iperf3, ntttcp, diskspd, fio, patterns, payloads, memory targets.

Each program has a frozen description of a run, from which its argument list comes, and a pure
parser from its output to measurements. Running them is one place, ``harness.workload.run``.
"""
