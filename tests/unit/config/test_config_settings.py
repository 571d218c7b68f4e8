"""Settings are read from the environment, and wrong ones are explained in one line each."""

from pathlib import Path

import pytest

from hanse.config import ServiceSettings, Settings
from hanse.core.errors import ConfigurationError


class PriceSettings(Settings, env_prefix="PRICE_"):
    currency: str
    rounding: int = 2


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_service_alone_needs_no_settings() -> None:
    settings = ServiceSettings()
    assert (settings.host, settings.port, settings.broker_url, settings.registry_url) == (
        "127.0.0.1",
        0,
        "memory://",
        "memory://",
    )
    assert settings.grace_s == 10.0
    assert settings.body_limit_bytes == 1_048_576


def test_environment_wins_over_the_env_file(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / ".env").write_text("HANSE_PORT=7001\nHANSE_SYSTEM=shop\nOTHER=1\n")
    monkeypatch.setenv("HANSE_PORT", "7002")
    settings = ServiceSettings()
    assert (settings.port, settings.system) == (7002, "shop")


def test_the_registry_follows_the_broker_unless_told_otherwise() -> None:
    assert ServiceSettings(broker_url="nats://127.0.0.1:1").registry_url == "nats://127.0.0.1:1"
    assert ServiceSettings(broker_url="nats://a:1", registry_url="memory://x").registry_url == "memory://x"


def test_wrong_values_are_explained_line_by_line_without_showing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSE_PORT", "hunter2")
    monkeypatch.setenv("HANSE_TRACE_SAMPLE", "1.5")
    with pytest.raises(ConfigurationError) as caught:
        ServiceSettings()
    lines = caught.value.message.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("HANSE_PORT: input should be a valid integer")
    assert lines[1].startswith("HANSE_TRACE_SAMPLE: ")
    assert "hunter2" not in caught.value.message


def test_a_missing_value_names_the_variable_to_set() -> None:
    with pytest.raises(ConfigurationError, match=r"^PRICE_CURRENCY: field required$"):
        PriceSettings()


def test_a_services_own_settings_use_its_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICE_CURRENCY", "EUR")
    assert PriceSettings() == PriceSettings(currency="EUR", rounding=2)


def test_secrets_do_not_show() -> None:
    assert "s3cret" not in repr(ServiceSettings(service_token="s3cret"))


def test_settings_are_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        ServiceSettings().port = 1  # type: ignore[misc]
