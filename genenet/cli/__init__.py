"""The command line: arguments, messages and progress."""
