"""One result of a benchmark, as a line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`ratio` is value / floor, measured interleaved in the same run; `better` its direction."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    better: str = "lower"
    must: float | None = None
    extreme: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.floor is None else round(self.value / self.floor, 3)

    def json(self) -> str:
        fields = asdict(self)
        return json.dumps(
            {k: fields[k] for k in ("name", "value", "unit", "floor")}
            | {"ratio": self.ratio}
            | {k: fields[k] for k in ("better", "must", "extreme")}
        )
