"""Tests that run inside the machine, as root, with a real kernel. Nothing here runs outside."""
