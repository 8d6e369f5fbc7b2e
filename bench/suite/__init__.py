# SPDX-License-Identifier: GPL-2.0-or-later
"""suite - a matrix of path x guest x transport, measured and compared (./run bench); docs/bench.md explains"""
