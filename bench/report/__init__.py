# SPDX-License-Identifier: GPL-2.0-or-later
"""report - a lab book as pictures and tables: one HTML page that needs nothing else, and the same as Markdown"""
