# SPDX-License-Identifier: GPL-2.0-or-later
"""tests of the suite"""
