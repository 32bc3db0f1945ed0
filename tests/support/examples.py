"""How many examples hypothesis draws: all of them in ``make test``, a tenth in ``make check``."""

from hypothesis import settings

PROFILES = {"check": 10, "full": 100}  # examples of a test that names no number


def register():
    """Register both profiles; how long an example takes depends on the machine, so there is no deadline."""
    for name, n in PROFILES.items():
        settings.register_profile(name, max_examples=n, deadline=None)
    settings.load_profile("check")


def examples(n):
    """Draw ``n`` examples in full, and in proportion under another profile."""
    return settings(max_examples=max(3, n * settings.default.max_examples // PROFILES["full"]))
