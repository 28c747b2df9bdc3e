"""What holds for all tests: generated examples are the same on every run, so that a green run stays green.

`make fuzz` looks for new ones (HYPOTHESIS_PROFILE=search); what it finds becomes an example of its own.
"""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
