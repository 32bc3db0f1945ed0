"""What all packages stand on. It needs the standard library, numpy and pydantic only."""
