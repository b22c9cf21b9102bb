"""Options stand in two places: a TypedDict for callers, and a class with their defaults and checks."""

from attrs import fields_dict

from plugchat_async import BulkOptions, ExportOptions, RequestOptions, SessionOptions, WalkOptions, WatchOptions
from plugchat_async._http.options import RequestSettings
from plugchat_async._pagination.options import WalkSettings
from plugchat_async.export.run import ExportSettings
from plugchat_async.watch.options import WatchSettings


def test_each_option_is_in_both() -> None:
    """What only one of them has is an argument of its own, or of many accounts alone."""
    assert fields_dict(WalkSettings).keys() == WalkOptions.__optional_keys__ | {"page_size"}
    assert fields_dict(WatchSettings).keys() == WatchOptions.__optional_keys__
    of_many = {"account_requests_per_second"}
    read = {"environment"}  # by `trust_env`
    assert fields_dict(RequestSettings).keys() == RequestOptions.__optional_keys__ | of_many | read
    of_a_session = {"base_url", "client_session", "server_traits"}
    assert SessionOptions.__optional_keys__ == RequestOptions.__optional_keys__ | of_a_session
    assert BulkOptions.__optional_keys__ >= RequestOptions.__optional_keys__ | of_many
    assert fields_dict(ExportSettings).keys() == ExportOptions.__optional_keys__ - BulkOptions.__optional_keys__
