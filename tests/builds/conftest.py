from collections.abc import Iterator
from pathlib import Path

import pytest

from support import builds_house, builds_server
from support.builds_house import House
from support.builds_server import Server


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Folders, locks and wheels of a checkout of its own."""
    return builds_house.make(tmp_path, monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on loopback that answers as told; no proxy stands between."""
    builds_server.direct(monkeypatch)
    with builds_server.serving() as one:
        yield one
