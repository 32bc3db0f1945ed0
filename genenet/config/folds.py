"""``data.folds``, cross-validation: each part of the labelled images is the validation of one training."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator

from genenet.core.models import Closed

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

FoldedBy = Literal["region", "image"]


class Folds(Closed):
    """How labelled images are divided into folds. In a file a bare number is ``n``."""

    n: int = Field(
        ge=2, description="number of folds: each genome and each baseline is trained as many times"
    )
    by: FoldedBy | None = Field(
        None,
        description="region: each image is cut into n slabs, along z if it has n slices or more (8 n if a network may "
        "be 3D), otherwise along the longer of y and x; image: the images of data.train are dealt out to the folds; "
        "null: image if there are n images or more, otherwise region",
    )

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | cls) else {"n": value}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a schema that allows a bare number too."""
        mapping = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [mapping, {"minimum": 2, "type": "integer"}], "title": cls.__name__}

    def plan(self, sources: Sequence[Hashable]) -> FoldPlan:
        """Return how images from these sources are divided.

        Raises:
            ValueError: If there are fewer images than folds by image.
        """
        n_images = len(set(sources))
        if self.by == "image" and n_images < self.n:
            raise ValueError(
                f"folds: {self.n} folds by image need as many images, and data.train names {n_images}; lower n, or "
                "use by: region"
            )
        return FoldPlan(n=self.n, by=self.by or ("image" if n_images >= self.n else "region"))


class FoldPlan(Closed):
    """How labelled images are divided, and which part of them is meant.

    Attributes:
        n: number of folds.
        by: whether each image is cut, or whole images are dealt out.
        fold: of the part, from 0; None: the parts that all folds validate on, in the order of the folds.
    """

    n: int
    by: FoldedBy
    fold: int | None = None


def dealt(sources: Sequence[Hashable], n: int) -> list[int]:
    """Return the fold of each image: sources are dealt out like cards, and images from the same one stay together."""
    order = list(dict.fromkeys(sources))
    return [order.index(source) % n for source in sources]
