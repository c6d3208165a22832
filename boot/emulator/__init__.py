# SPDX-License-Identifier: BSD-2-Clause
"""Disk images for Socle, and the emulators that boot them."""
