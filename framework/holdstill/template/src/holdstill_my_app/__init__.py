"""Plugins of holdstill's for my-app."""
