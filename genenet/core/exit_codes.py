"""Exit codes of the commands. Which of them an attempt ends with is decided in ``genenet.core.attempts``."""

FAILED = 1  # a fault of genenet, or a user error of a command that isn't retried
USER_ERROR = 2  # the user's settings or files: another attempt fails alike until they are corrected
MACHINE = 74  # EX_IOERR: disk, driver, GPU, cores. The same job may succeed later or elsewhere
STOPPED = 75  # EX_TEMPFAIL: the time was over, or the job was asked to stop. The same command continues
INTERRUPTED = 130  # Ctrl-C
