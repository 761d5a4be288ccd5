"""What aiohttp has to say about requests, without filling the log for whoever sends it rubbish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[logging.Logger]
else:
    Adapter = logging.LoggerAdapter

_THEIRS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


class Complaints(Adapter):
    """aiohttp's logger: a request that breaks HTTP's own rules, or off, costs one short line.

    Nothing of what it said goes into that line: an address may hold a token.
    """

    def __init__(self) -> None:
        super().__init__(logging.getLogger(__name__))

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:  # noqa: ANN401  logging's own
        """Log an error with its traceback, unless the fault is the sender's."""
        if isinstance(exc_info, _THEIRS):
            self.warning("a request is broken: %s", type(exc_info).__name__)
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)
