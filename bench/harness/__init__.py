# SPDX-License-Identifier: GPL-2.0-or-later
"""harness - run guests under QEMU at both ends of an emulated path, and look at them closely.

Used by bench/demo, bench/suite and tests/integration. Python standard library only; one module per thing:
process (children that die with us), qmp, console (the guest's two serial ports), path, vm, cpu, trace,
memory (RAM images), network (TCP counters), limits, setups (the ways to migrate), rig (all of it together), environment
(what ./run env prints).
"""
