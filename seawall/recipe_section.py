"""What every section of a recipe is: frozen, strict, and without a key that nobody knows."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Bps = Annotated[float, Field(ge=0, lt=10_000, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a recipe; whole numbers are taken where a float is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=True)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers_are_numbers(cls, values: object) -> object:
        """TOML writes 10 where 10.0 is meant: an int is taken where a float is asked for."""
        if not isinstance(values, dict):
            return values
        kinds = {name: str(field.annotation) for name, field in cls.model_fields.items()}
        floats = {name for name, kind in kinds.items() if "float" in kind and "int" not in kind}
        return {
            k: float(v) if k in floats and isinstance(v, int) and not isinstance(v, bool) else v
            for k, v in values.items()
        }
