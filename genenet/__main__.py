"""``python -m genenet`` is the command line."""

from genenet.cli.main import main

main()
