"""Finding plugins, and calling the hooks of the right ones."""
