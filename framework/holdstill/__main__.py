"""``python -m holdstill``."""

from holdstill.cli import main

main()
