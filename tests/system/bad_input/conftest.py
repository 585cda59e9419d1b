from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.bad_input.command import SEEN
from tests.system.bad_input.site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One hub for all of it; whatever was printed or logged meanwhile holds none of its secrets."""
    site = Site(tmp_path_factory.mktemp("site"))
    with site.serving():
        yield site
    assert SEEN.holding(site.owner_key) == []
