"""Names of a package that are loaded when they are first used."""

import sys
from types import ModuleType

import pytest

from plugchat_async._internal.lazy import lazy_names
from plugchat_async.export.people import merge_people


def test_a_name_is_loaded_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its module, once; `dir` lists it before."""
    package = ModuleType("plugchat_async.export")
    monkeypatch.setitem(sys.modules, "plugchat_async.export", package)
    get, list_names = lazy_names("plugchat_async.export", {"people": ("merge_people",)})
    assert "merge_people" in list_names()
    assert "merge_people" not in vars(package)
    assert get("merge_people") is merge_people
    assert vars(package)["merge_people"] is merge_people


def test_another_name_is_an_attribute_error() -> None:
    """As of any module."""
    get, _ = lazy_names("plugchat_async.export", {"people": ("merge_people",)})
    with pytest.raises(AttributeError, match=r"module 'plugchat_async\.export' has no attribute 'no_such_name'"):
        get("no_such_name")
