import pytest

from plugchat_async import InvalidTypeError, InvalidValueError
from plugchat_async._http.urls import parse_base_url, proxy_problem


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("https://app.plugchat.com.br", "https://app.plugchat.com.br"),
        ("https://app.plugchat.com.br/", "https://app.plugchat.com.br"),
        ("  HTTPS://App.Plugchat.com.br/ ", "https://app.plugchat.com.br"),
        ("https://www.plugchat.com.br/api/whatsapp/chats", "https://www.plugchat.com.br"),
        ("https://www.plugchat.com.br/api/whatsapp/", "https://www.plugchat.com.br"),
        ("https://www.plugchat.com.br/api/whatsapp/contacts", "https://www.plugchat.com.br"),
        ("https://gateway.example/v1/api/chat/get-pending-chats", "https://gateway.example/v1"),
        ("https://gateway.example:8443/plug/chat/", "https://gateway.example:8443/plug/chat"),
        ("https://gateway.example/v1/api/whatsapp/chats", "https://gateway.example/v1"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://app.plugchat.com.br:443/", "https://app.plugchat.com.br"),
        ("http://localhost:80", "http://localhost"),
        ("https://app.plugchat.com.br.", "https://app.plugchat.com.br."),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[1:2:3:4:5:6:7:8]", "https://[1:2:3:4:5:6:7:8]"),
        ("https://x.example:65535", "https://x.example:65535"),
        (f"https://{'a' * 63}.example", f"https://{'a' * 63}.example"),
        ("https://gateway.example/X/", "https://gateway.example/X"),
        ("https://gateway.example/X//api/whatsapp/chats/", "https://gateway.example/X"),
    ],
)
def test_base_urls_are_trimmed(given: str, parsed: str) -> None:
    """An origin, a prefix, or what users paste from the vendor's page."""
    assert parse_base_url(given) == parsed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("http://app.plugchat.com.br", "must be https"),
        ("http://localhost.evil.example", "must be https"),
        ("http://x.localhost", "must be https"),  # whatever a resolver makes of it
        ("http://192.168.0.1", "must be https"),
        ("http://127.1", "must be https"),
        ("http://[v1.localhost]", "is not a URL"),
        ("http://[::1]evil.example", "is not a URL"),
        ("http://evil.example[::1]", "is not a URL"),
        ("https://app.plugchat.com.br\\evil.example", "is not a URL"),
        ("ftp://app.plugchat.com.br", "does not begin with https://"),
        ("app.plugchat.com.br", "does not begin with https://"),
        ("hunter2", "does not begin with https://"),
        ("", "does not begin with https://"),
        ("https://", "is not a URL"),
        ("https://.", "is not a URL"),
        ("https://a..b", "is not a URL"),
        (f"https://{'a' * 64}.example", "is not a URL"),
        ("https://a b", "is not a URL"),
        ("https://a\nb", "is not a URL"),
        ("https://plug.chat.çom", "is not a URL"),
        ("https://x.example/a b", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://[::1%25eth0]", "is not a URL"),
        ("https://[::1::2]", "is not a URL"),
        ("https://x.example:", "is not a URL"),
        ("https://x.example:99999", "is not a URL"),
        ("https://x.example:65536", "is not a URL"),
        ("https://x.example:0", "is not a URL"),
        ("https://user:hunter2@x.example", "contains user information."),
        ("https://x.example/?key=hunter2", "contains a query."),
        ("https://x.example/#hunter2", "contains a fragment."),
    ],
)
def test_bad_base_urls_are_refused(given: str, message: str) -> None:
    """https only, but for loopback; it is said what to give, and nothing that may be a secret is shown."""
    problem = parse_base_url(given)
    assert isinstance(problem, InvalidValueError)
    assert str(problem).startswith(f"base_url {message}")
    assert problem.hint.startswith("Use https:" if message == "must be https" else "Use an origin such as https:")
    assert "hunter2" not in str(problem)


def test_a_base_url_is_a_str() -> None:
    """Another type is named."""
    problem = parse_base_url(b"https://x.example")
    assert isinstance(problem, InvalidTypeError)
    assert "base_url must be a str or a URL, got bytes" in str(problem)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        (None, None),
        ("http://proxy.example:8080", None),
        ("HTTPS://user:hunter2@proxy.example/", None),
        (7, "proxy must be a str or a URL, got int. Correct the argument."),
        *[
            (
                proxy,
                "proxy must begin with http:// or https:// and name a host. Use a URL such as http://127.0.0.1:3128.",
            )
            for proxy in ("", "proxy.example:8080", "socks5://user:hunter2@x", "http://", "http:///hunter2")
        ],
        *[
            (
                f"http://user:hunter2@{address}",
                "proxy has no valid host and port. Use a URL such as http://127.0.0.1:3128.",
            )
            for address in ("x:port", "x:99999", "x:0", "x y:3128", "x\n:3128", "[::1", "x%y", ":3128", "a..b")
        ],
    ],
)
def test_a_proxy_is_an_http_url(proxy: object, said: str | None) -> None:
    """What is none is refused without being shown, since it may hold a password."""
    problem = proxy_problem(proxy)
    assert (None if problem is None else str(problem)) == said
