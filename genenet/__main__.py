"""``python -m genenet`` is the command line."""

from genenet.cli import main

main()
