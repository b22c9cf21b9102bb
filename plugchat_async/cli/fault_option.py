"""The option `--fault` of `plugchat simulate`: a fault, the page that it is for, and how often it comes. Pure."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from plugchat_async import InvalidValueError
from plugchat_async.testing import Fault

_WORDS: Final[Mapping[str, Callable[[], Fault]]] = {
    "close": Fault.close,
    "empty": lambda: Fault.answer("[]"),
    "hang": Fault.hang,
    "html": lambda: Fault.answer("<html>not a list</html>", content_type="text/html"),
    "partial": Fault.partial,
    "reset": Fault.reset,
    "truncate": Fault.truncate,
}
_FAULT: Final = re.compile(
    r"(?P<kind>[a-z]+|[2-5][0-9]{2})(?:@(?P<conditions>[a-z]+=[0-9]{1,6}(?:,[a-z]+=[0-9]{1,6})*))?"
)
_HINT: Final = (
    f"Use a status such as 503, or one of {', '.join(_WORDS)}; for one page 503@page=2, for three requests "
    "503@times=3, for both 503@page=2,times=3."
)


def parse_faults(texts: Iterable[str]) -> Mapping[int | None, Sequence[Fault]]:
    """Return the faults for each page, None for all pages, in order. Each lasts, unless it has `times`.

    Raises:
        InvalidValueError: A text is not a fault.
    """
    faults: defaultdict[int | None, list[Fault]] = defaultdict(list)
    for text in texts:
        parts = _FAULT.fullmatch(text.strip().lower())
        kind = parts["kind"] if parts else ""
        given = [each.split("=") for each in (parts["conditions"] or "").split(",") if each] if parts else []
        conditions = {name: int(value) for name, value in given}
        is_clear = len(conditions) == len(given) and conditions.keys() <= {"page", "times"}
        if not (kind.isdecimal() or kind in _WORDS) or not is_clear or conditions.get("times") == 0:
            raise InvalidValueError(f"--fault {text!r} is not a fault", _HINT)
        fault = Fault.status(int(kind)) if kind.isdecimal() else _WORDS[kind]()
        page = conditions.get("page")
        if faults[page] and faults[page][-1].lasts:
            raise InvalidValueError(
                f"--fault {text} never happens: the one before it lasts", "Add @times= to that one."
            )
        faults[page] += [fault] * conditions["times"] if "times" in conditions else [fault.always()]
    return faults
