"""One measured figure, its peer's, and their ratio."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Result:
    """What a benchmark found out.

    Attributes:
        id: of design/performance, such as `B10`, with a suffix where one benchmark gives several figures.
        ours, peer: in `unit`; peer is None for a figure that is only followed over time.
        better: whether more or less of the unit is better.
        wanted: the ratio asked for, ours over peer in the better direction.
    """

    id: str
    what: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    better: Literal["more", "less"] = "more"
    wanted: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the peer's."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.better == "more" else self.peer / self.ours

    @property
    def short(self) -> bool:
        return self.ratio is not None and self.wanted is not None and self.ratio < self.wanted

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "what": self.what,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "ratio": self.ratio,
            "wanted": self.wanted,
            "unit": self.unit,
            "detail": self.detail,
        }
