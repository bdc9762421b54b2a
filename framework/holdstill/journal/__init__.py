"""What a run has promised to undo, on disk before it is done.

One file a run: a JSON object a line, appended. The format is versioned: an older release's
journal must still be released by a newer one.
"""
