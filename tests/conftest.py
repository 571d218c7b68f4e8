"""What all tests share: a skip for want of a server is a failure where servers are required."""

import os

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("HANSE_REQUIRE_SERVERS") == "1":
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if "no capability" not in reason:  # a backend that declares what it can't do lacks no server
            report.outcome = "failed"
            report.longrepr = f"skipped, but HANSE_REQUIRE_SERVERS=1: {reason}"
