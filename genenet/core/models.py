"""The base of all pydantic models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Closed(BaseModel):
    """A model that refuses keys that it doesn't know; its values can't be changed.

    A field that a later version added is written only if it is set, so that the files of earlier searches stay as they
    were: ``Field(None, exclude_if=operator.not_)``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
