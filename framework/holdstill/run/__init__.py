"""The life of a run: prepare, expose, backup, release, verify."""
