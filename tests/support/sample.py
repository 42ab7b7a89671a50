"""The number that samples of this test run are drawn by: another one every day."""

from __future__ import annotations

import os
import time

VARIABLE = "SOCKWATCH_TEST_SEED"
# The workers of pytest-xdist inherit it, so that all draw alike, at midnight too.
SEED = int(os.environ.setdefault(VARIABLE, str(int(time.time() // 86_400))))
