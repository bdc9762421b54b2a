"""Imports structlog as if there were no rich, which it would import for tracebacks that we never print.

That alone takes as long as all the rest of our start. Whoever imports rich afterwards, to show progress, gets it.
"""

from __future__ import annotations

import sys

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python then finds no module of that name
    import structlog  # noqa: F401

    del sys.modules["rich"]
