"""The built-in plugins. Each is a module of its own, written as a stranger would write it."""
