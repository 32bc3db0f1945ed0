"""The basis of all other packages. It needs only the standard library, numpy and pydantic."""
