"""What the administrator wrote, read with file and line, and everything wrong with it said at once."""
