"""Holds a machine's guests still while a backup reads them, and always lets go again.

Plugin authors import from :mod:`holdstill.plugin`; nothing is imported here, so that
the command line starts in a blink.
"""

__version__ = "0.1.0"
