"""All that can be read out of an error: where a token must not be."""

import pickle
import traceback
from collections.abc import Iterator


def texts(error: BaseException) -> Iterator[str]:
    """All that can be read out of an error and of the errors behind it."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        todo += [current.__cause__, current.__context__]
        yield str(current)
        yield repr(current)
        yield repr(vars(current))
        yield repr(current.args)
        yield pickle.dumps(current).decode("latin-1")
        # The frames of our own and of the libraries below; the tests' own frames know the token by right.
        shown = traceback.TracebackException.from_exception(current, capture_locals=True)
        for frame in shown.stack:
            if "/tests/" not in frame.filename:
                yield "".join(traceback.StackSummary.from_list([frame]).format())
                yield repr(frame.locals)
