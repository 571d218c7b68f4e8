"""Errors say what happened, whether to try again, and how HTTP would put it."""

import pytest

from hanse.core.errors import HanseError, LimitExceeded, MissingExtra, OutcomeUnknown, Unavailable


def test_an_error_carries_its_facts() -> None:
    error = LimitExceeded("slow down", retry_after=3)
    assert (error.code, error.status, error.retryable, error.details) == (
        "limit_exceeded",
        429,
        True,
        {"retry_after": 3},
    )
    assert str(error) == "slow down"


def test_an_unknown_outcome_is_not_simply_retryable() -> None:
    assert not OutcomeUnknown("no answer").retryable
    assert Unavailable("refused").retryable


def test_retryable_can_be_said_for_one_error() -> None:
    assert HanseError("x", retryable=True).retryable
    assert not HanseError.retryable


def test_a_missing_extra_names_the_command() -> None:
    with pytest.raises(HanseError, match=r"pip install 'hanse\[kafka\]'"):
        raise MissingExtra("kafka://", "kafka")
