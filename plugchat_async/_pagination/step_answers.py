"""The requests of a walk: they answer the steps that ask for something."""

from typing import Any, Final

from attrs import define

from plugchat_async._pagination.page_source import PageSource
from plugchat_async._pagination.prefetch import Prefetcher
from plugchat_async._pagination.walk_reporter import WalkReporter
from plugchat_async._pagination.walk_steps import CheckConnection, FetchPage
from plugchat_async.errors import PlugChatError, SessionStateError, TokenError, UnexpectedStatusError
from plugchat_async.models import Page

# The steps that are answered. A union would be created for each check.
REQUESTS: Final = (FetchPage, CheckConnection)
# A server that does not have a page may answer with one of these.
NO_SUCH_PAGE: Final = frozenset({400, 404, 410, 416, 422})
# These do not say anything about a page.
_FATAL: Final = (SessionStateError, TokenError)
# Sent into a walk where it is not looked at.
NOTHING: Final[Page[Any]] = Page(1, 1, (), b"")


@define(eq=False, repr=False)
class StepAnswers:
    """Answers the steps of one walk."""

    _source: PageSource
    _prefetcher: Prefetcher
    _reporter: WalkReporter

    async def answer(self, step: FetchPage | CheckConnection) -> Page:
        """Return the page that a step asks for, or an empty one.

        Raises:
            PlugChatError: It could not be fetched, and the walk can't do without it. Its `page` says where to resume.
        """
        if isinstance(step, CheckConnection):
            await self._check_connection(step)
            return NOTHING
        try:
            page = await self._prefetcher.get(step)
        except PlugChatError as error:
            if step.probe and isinstance(error, UnexpectedStatusError) and error.status in NO_SUCH_PAGE:
                step.outcome = "refused"
            elif step.probe == "check" and not isinstance(error, _FATAL):
                step.outcome = "failed"
            else:
                error.page = step.resume_page
                if error.page_size is None:
                    error.page_size = step.size
                raise
            return Page(step.number, step.size, (), b"")
        self._reporter.note_problems(page)
        return page

    async def _check_connection(self, step: CheckConnection) -> None:
        """Answer a step with the account's status, if it can be had."""
        try:
            status = await self._source.fetch_status()
        except PlugChatError as error:
            if isinstance(error, _FATAL):
                raise
        else:
            step.connected, step.error = status.connected, status.error
