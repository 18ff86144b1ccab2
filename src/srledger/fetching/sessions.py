"""Sessions that do no more than they are asked: no redirect is prepared, no request line is logged."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests


@contextlib.contextmanager
def plain_session() -> Iterator[requests.Session]:
    """A session that gives a redirect as it came; while it is open, request lines are kept out of the log."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            # With an address here, a request that is not to follow redirects would still prepare the next one: read
            # the whole body of this answer, however long, and take apart an address that nobody has checked.
            return None

    with Session() as session, _no_request_lines():
        yield session


@contextlib.contextmanager
def _no_request_lines() -> Iterator[None]:
    """Keep request lines out of the log: they hold the query, and a query may hold a key."""
    log = logging.getLogger("urllib3.connectionpool")

    def is_warning(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    log.addFilter(is_warning)
    try:
        yield
    finally:
        log.removeFilter(is_warning)
