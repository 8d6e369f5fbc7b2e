# SPDX-License-Identifier: GPL-2.0-or-later
"""cases - one module per subject; each registers its cases with registry.case"""
