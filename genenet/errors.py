"""The errors that a user can mend."""


class InputError(Exception):
    """Bad input: one line that says what is wrong, where (file, key or path), and what would be right.

    The command line prints it without a traceback and exits with 1.
    """
