"""Scenarios on real Xen: inside dom0, with guests that run. Nothing here runs outside."""
