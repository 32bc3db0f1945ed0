"""Exit codes of the commands."""

STOPPED = 75  # EX_TEMPFAIL: the time was over; the same command goes on
