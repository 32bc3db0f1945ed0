"""The base of all pydantic models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Closed(BaseModel):
    """A model that refuses keys that it doesn't know; its values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
