from plugchat_async._http.request import RequestBuilder, RequestTemplate
from plugchat_async._http.secret import Secret

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")


def test_the_request_is_the_vendors() -> None:
    """URL, parameters and headers as the vendor's page gives them."""
    request = RequestBuilder().build(RequestTemplate("https://app.plugchat.com.br"), TOKEN, 3, 50)
    assert request.url == "https://app.plugchat.com.br/api/whatsapp/chats?page=3&pageSize=50"
    headers = dict(request.headers)
    assert headers.pop("User-Agent").startswith("plugchat-async/")
    assert headers == {
        "Authorization": "1nEFbU3EktLnV7LIIzX",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
    }
    assert "1nEF" not in repr(request)


def test_what_requests_have_in_common_is_built_once() -> None:
    """Until a repair or a new token changes it; and then it is changed."""
    requests, template = RequestBuilder(), RequestTemplate("https://x.example")
    assert requests.build(template, TOKEN, 1, 10).headers is requests.build(template, TOKEN, 2, 10).headers
    repaired = requests.build(RequestTemplate("https://y.example", content_type=None), TOKEN, 3, 10)
    assert repaired.url == "https://y.example/api/whatsapp/chats?page=3&pageSize=10"
    assert "Content-Type" not in repaired.headers
    assert requests.build(template, TOKEN, 4, 10).url.startswith("https://x.example/")
    assert requests.build(template, Secret("newer"), 5, 10).headers["Authorization"] == "newer"
    assert "1nEF" not in repr(requests)


def test_a_template_may_leave_out_the_content_type() -> None:
    """The repair for 415 sends no Content-Type."""
    assert "Content-Type" not in RequestTemplate("https://x.example", content_type=None).headers(TOKEN)


def test_only_documented_hosts_have_another_one() -> None:
    """app and www stand for each other; nothing else does."""
    app = RequestTemplate("https://app.plugchat.com.br")
    www = app.with_other_origin()
    assert www is not None
    assert www == RequestTemplate("https://www.plugchat.com.br")
    assert www.with_other_origin() == app
    assert RequestTemplate("https://app.plugchat.com.br/prefix").with_other_origin() is None
