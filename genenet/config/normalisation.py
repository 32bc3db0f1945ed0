"""``data.normalisation:``, which voxels give the centre and the scale of an image, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from genenet.core.choices import Choice, OneOf, Table
from genenet.core.models import Closed

NormalisedOver = Literal["image", "volume", "slice", "training"]
_WORDS: tuple[str, ...] = get_args(NormalisedOver)
Percentage = Annotated[float, Field(gt=0, lt=100)]

ESTIMATES = Table(
    "estimate of centre and scale",
    [
        Choice(
            "mean",
            "mean and standard deviation",
            "genenet.volumes.measure:by_mean",
        ),
        Choice(
            "percentiles",
            "two percentiles, such that a normal distribution would have mean 0 and deviation 1",
            "genenet.volumes.measure:by_percentiles",
        ),
    ],
)


class NormalisationSettings(Closed):
    """How images are normalised: (x - centre) / scale, where ``over`` says of which voxels, and ``by`` how.

    In a file a bare word is ``over``, and ``by`` is then ``mean``. It is written in this short form too, if that says
    all, as older versions wrote it.
    """

    over: NormalisedOver = Field(
        "image",
        description="image: the whole image that a region was cut from; volume: the region alone; slice: each slice of "
        "it; training: all training images together",
    )
    by: Annotated[str, OneOf(ESTIMATES)] = Field("mean", description=ESTIMATES.text)
    percentiles: tuple[Percentage, Percentage] = Field(
        (1.0, 99.0), description="in %, the lower one first (only for by: percentiles)"
    )

    @property
    def is_always_recorded(self) -> bool:
        """Whether all prepared files hold these statistics, whichever normalisation they were prepared for."""
        return self.by == "mean" and self.over != "image"

    def __str__(self) -> str:
        """Write them as in a config.yaml."""
        if self.by == "mean":
            return self.over
        low, high = self.percentiles
        return f"{{over: {self.over}, by: {self.by}, percentiles: [{low:g}, {high:g}]}}"

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        if isinstance(value, Mapping | cls):
            return value
        if isinstance(value, str) and value in _WORDS:
            return {"over": value}
        words = ", ".join(f"'{word}'" for word in _WORDS[:-1])
        raise ValueError(
            f"input should be {words} or '{_WORDS[-1]}', or {{over: image, by: percentiles}}, not {value!r}"
        )

    @model_validator(mode="after")
    def _percentiles_are_clear(self) -> Self:
        if self.by != "percentiles" and "percentiles" in self.model_fields_set:
            raise ValueError(f"percentiles: is for by: percentiles, not for by: {self.by}; leave it out")
        low, high = self.percentiles
        if low >= high:
            raise ValueError(f"percentiles: [{low:g}, {high:g}] isn't in order; give the lower one first")
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        return self.over if self.by == "mean" else handler(self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a schema that allows a bare word too."""
        mapping = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [mapping, {"enum": list(_WORDS), "type": "string"}], "title": cls.__name__}
