"""How much of a random test is tried: a sample in every run of the tests, and far more in «make campaign».

Inside the machine the same is true: it is told both variables.
"""

from __future__ import annotations

import os
import random

CAMPAIGN = bool(os.environ.get("HOLDSTILL_CAMPAIGN"))
SEED = int(os.environ.get("HOLDSTILL_SEED") or random.SystemRandom().randrange(1_000_000))
"Shown when all tests are collected; HOLDSTILL_SEED repeats it."


def samples(usual: int, campaign: int) -> int:
    """Return how many tries there are: ``@pytest.mark.parametrize("number", range(samples(3, 200)))``."""
    return campaign if CAMPAIGN else usual


def rng(*which: object) -> random.Random:
    """Return the random numbers of one try, the same for the same seed: ``rng("power cut", number)``."""
    return random.Random(f"{SEED} {which}")
