"""The log of errors that became responses."""

import logging
from urllib.parse import quote

from starlette.types import Scope

from plugchat_async.errors import ConfigurationError, OutputError, PlugChatError

logger = logging.getLogger("plugchat_async.fastapi")


def log_response(error: PlugChatError, scope: Scope, answered: int | str) -> None:
    """Log an error with its full text, and how the request was answered."""
    level = logging.ERROR if isinstance(error, ConfigurationError | OutputError) else logging.WARNING
    fields = {
        "plugchat_account": error.account,
        "plugchat_error": type(error).__name__,
        "plugchat_status": error.status,
        "plugchat_answered": answered,
    }
    # Quoted, since a path can contain a line end.
    where = f"{scope.get('method', scope['type'])} {quote(scope['path'])}"
    logger.log(level, "%s: %s (answered: %s)", where, error, answered, extra=fields)
