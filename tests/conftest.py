"""What holds for all tests."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REPRO_REAL=required, a test that needs a fetched pair fails where it would skip.

    Continuous integration asks for it, so that a fetch that failed cannot pass for a test that did.
    """
    report = yield
    if report.skipped and item.get_closest_marker("real") and os.environ.get("REPRO_REAL") == "required":
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"REPRO_REAL=required, but: {reason}"
    return report
