# SPDX-License-Identifier: GPL-2.0-or-later
"""day - a whole day in minutes: signals arrive, the agent decides, real guests move over 600 km"""
