# SPDX-License-Identifier: GPL-2.0-or-later
"""demo - the same guest moved by stock QEMU and by apn over the same path, side by side (./run demo)"""
