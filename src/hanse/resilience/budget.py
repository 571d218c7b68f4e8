"""A bound on retries in relation to calls, so that a failing upstream is not drowned by the repetition of failures."""

from dataclasses import dataclass

from hanse.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """How many retries are allowed: `reserve` at once, and `ratio` per call in the long run."""

    ratio: float = 0.2
    """Retries earned by one call, 0–1."""
    reserve: float = 100.0
    """Retries that may be saved up, and how many there are at the start."""

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1 or self.reserve < 0:
            raise ConfigurationError(f"a retry budget needs 0 ≤ ratio ≤ 1 and reserve ≥ 0, not {self}")


class RetryBudget:
    """A purse of retries: each call puts `ratio` in, each retry takes 1 out.

    Guarantees: after n calls at most `reserve + ratio × n` retries were allowed.
    Source: the retry budget of Finagle (`RetryBudget.scala`): 20 % and a reserve of 10 a second for 10 seconds.
    """

    __slots__ = ("balance", "config", "refused")

    def __init__(self, config: BudgetConfig | None = None) -> None:
        self.config = config or BudgetConfig()
        self.balance = self.config.reserve
        self.refused = 0
        """How many retries were not allowed."""

    def deposit(self) -> None:
        """Count one call. To be called once per call, not per attempt."""
        config = self.config
        if self.balance < config.reserve:
            self.balance = min(self.balance + config.ratio, config.reserve)

    def withdraw(self) -> bool:
        """Ask for one retry; False when the purse is empty."""
        if self.balance < 1:
            self.refused += 1
            return False
        self.balance -= 1
        return True
