"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["postgresql"]

# Elsewhere every run tries new examples; a landing must not depend on which ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
