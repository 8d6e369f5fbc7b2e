# SPDX-License-Identifier: GPL-2.0-or-later
"""scene.py - a small matrix and what a run of one of its cells leaves in the lab book, for the tests beside it."""
import copy
import os

from suite import matrix

HERE = os.path.dirname(os.path.abspath(__file__))
MATRICES = os.path.join(HERE, "..", "matrices")
SMALL = {
    "schema": "apn-matrix/1", "name": "small", "repeats": {"min": 2, "max": 4},
    "guests": {"idle": {"mib": 512, "used_mib": 64}, "writing": {"mib": 512, "used_mib": 64, "hot_mib": 8, "rate_mib_s": 10}},
    "blocks": [{"paths": [{"rtt_ms": 6, "rate_gbps": 2.5}, {"rtt_ms": 30, "rate_gbps": 2.5}], "guests": ["idle", "writing"],
                "transports": ["stock-tcp-tuned", "stock-multifd4-tuned", "apn-uring"]}]}


def small(**changes):
    return matrix.Matrix({**copy.deepcopy(SMALL), **changes}, "small.json")


def run(cell, throughput=2.0, blackout=10.0, cpu=1.0, **changes):
    record = {"kind": "run", "cell": cell.key, "path": cell.path_name, "guest": cell.guest_name, "transport": cell.transport,
              "status": "completed", "clean": True, "unclean": [], "verified": True, "throughput_gbps": throughput, "blackout_ms": blackout,
              "cpu_s_per_gib": cpu, "wire_gbps": throughput * 1.02, "bytes_ratio": 1.02, "total_s": 4.0, "repeat": 1, "guest_bytes": 1 << 30,
              "switchover_ms": {"stop": 0.1, "residue": 1.0, "flight": 6.0, "load": 2.0}, "took_s": 10,
              "samples": [{"at_s": i / 10, "ram_bytes": i << 20, "dirty_bytes": (40 - i) << 20, "queue_bytes": i} for i in range(40)],
              "commands": {"source": ["qemu", "-a<b>"], "dest": ["qemu"]}, "capabilities": ["events"], "parameters": {"x": 1}}
    return {**record, **changes}
