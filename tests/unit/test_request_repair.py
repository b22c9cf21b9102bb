from attrs import evolve

from plugchat_async._http.request import RequestTemplate
from plugchat_async._http.request_repair import next_repair
from plugchat_async._http.response import Response

APP = RequestTemplate("https://app.plugchat.com.br")
OWN = RequestTemplate("https://gateway.example")


def names(template: RequestTemplate, response: Response) -> list[str]:
    """The repairs that are tried in turn, if each is answered with the same response."""
    tried: list[str] = []
    while repair := next_repair(template, response, tried, template):
        tried.append(repair.name)
    return tried


def test_405_tries_the_other_documented_host() -> None:
    """Only where base_url is one of the two."""
    response = Response(405, {}, b"")
    assert names(APP, response) == ["the other documented host"]
    assert names(OWN, response) == []
    repair = next_repair(APP, response, [], APP)
    assert repair is not None
    assert repair.switches_host
    assert repair.template == evolve(APP, base_url="https://www.plugchat.com.br")


def test_405_first_undoes_what_changed_the_request() -> None:
    """An injected session's changes of method or URL are gone past; once that is done there is nothing to undo."""
    response = Response(405, {}, b"", altered=True)
    assert names(APP, response) == ["canonical method and path", "the other documented host"]
    assert names(OWN, response) == ["canonical method and path"]
    assert names(evolve(OWN, bare=True), response) == []
    repair = next_repair(OWN, response, [], OWN)
    assert repair is not None
    assert repair.template == evolve(OWN, bare=True)
    assert not repair.switches_host


def test_405_is_not_repaired_where_allow_rules_get_out() -> None:
    """The server has said it: no GET here. An empty Allow says so too."""
    for allow in ("POST", "", "POST, GETS"):
        assert names(APP, Response(405, {"allow": allow}, b"", altered=True)) == []
    assert names(APP, Response(405, {"allow": "HEAD, get"}, b"")) == ["the other documented host"]


def test_415_first_restores_our_headers_then_goes_without() -> None:
    """The canonical headers if they were replaced; then no Content-Type, past what a session may add."""
    replaced = Response(415, {}, b"", sent_content_type="text/plain")
    assert names(OWN, replaced) == ["canonical headers", "no Content-Type"]
    assert names(OWN, Response(415, {}, b"")) == ["no Content-Type"]
    repair = next_repair(OWN, replaced, [], OWN)
    assert repair is not None
    assert repair.template == evolve(OWN, bare=True)
    bare = evolve(OWN, content_type=None, bare=True)
    repair = next_repair(OWN, replaced, ["canonical headers"], OWN)
    assert repair is not None
    assert repair.template == bare


def test_415_for_want_of_a_kept_repair_restores_the_content_type() -> None:
    """Where pages began to go without, but not where this page has just tried it."""
    bare = evolve(OWN, content_type=None, bare=True)
    refused = Response(415, {}, b"", sent_content_type=None)
    assert names(bare, refused) == ["the documented Content-Type"]
    repair = next_repair(bare, refused, [], bare)
    assert repair is not None
    assert repair.template == evolve(OWN, bare=True)
    assert next_repair(bare, refused, ["no Content-Type"], OWN) is None


def test_415_despite_a_restored_content_type_ends_the_repairs() -> None:
    """The page began without one, so that was refused, too."""
    began = evolve(OWN, content_type=None, bare=True)
    restored = evolve(OWN, bare=True)
    assert next_repair(restored, Response(415, {}, b""), ["the documented Content-Type"], began) is None


def test_nothing_else_is_repaired() -> None:
    """Other statuses say nothing about how the request was made."""
    for status in (200, 400, 401, 404, 406, 414, 500):
        assert names(APP, Response(status, {}, b"", altered=True, sent_content_type=None)) == []


def test_what_a_changed_request_is_told_may_explain_nothing() -> None:
    """Another host says nothing of the first one, and a bad request without Content-Type nothing of one with it."""
    refused = Response(415, {}, b"", sent_content_type="text/plain")
    canonical = next_repair(APP, refused, [], APP)
    without = next_repair(APP, refused, ["canonical headers"], APP)
    other = next_repair(APP, Response(405, {}, b""), [], APP)
    assert canonical is not None
    assert without is not None
    assert other is not None
    assert [canonical.explains(status) for status in (400, 404, 500, None)] == [True] * 4
    assert [without.explains(status) for status in (400, 404, 500, None)] == [False, True, True, True]
    assert [other.explains(status) for status in (400, 404, 500, None)] == [False] * 4
