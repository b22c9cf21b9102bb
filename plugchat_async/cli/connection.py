"""The options of each command that sends requests: timeout, proxy, certificates, and what is logged."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, cast

from attrs import field, frozen
from cyclopts import Group, Parameter, Token, convert

from plugchat_async import InvalidValueError, RequestOptions, SessionOptions
from plugchat_async._http.decode import OnBadValue
from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.cli.log import RequestLog, VerboseOption

PROXY_VARIABLE: Final = "PLUGCHAT_PROXY"
CA_FILE_VARIABLE: Final = "PLUGCHAT_CA_FILE"
TRUST_ENV_VARIABLE: Final = "PLUGCHAT_TRUST_ENV"


# A variable that is empty, such as one that a compose file passes on, is not set: as for texts.
def _to_path(_: object, tokens: Sequence[Token]) -> Path | None:
    [token] = tokens
    return Path(token.value) if token.value else None


def _to_bool(_: object, tokens: Sequence[Token]) -> bool:
    [token] = tokens
    return bool(token.value) and convert(bool, tokens) is True


@Parameter(name="*", group=Group("Connection", sort_key=1))
@frozen(kw_only=True)
class Connection:
    """How a command reaches the service."""

    timeout: Annotated[float, Parameter(help="Seconds for one request, its response included.")] = 30.0
    proxy: Annotated[
        str | None,
        Parameter(
            env_var=PROXY_VARIABLE,
            show_env_var=True,
            help="The URL of an HTTP proxy. Other users of this machine can see options of commands: put a URL with a "
            "password into the variable.",
        ),
    ] = field(default=None, repr=False)
    ca_file: Annotated[
        Path | None,
        Parameter(
            env_var=CA_FILE_VARIABLE,
            converter=_to_path,
            help="A PEM file with certificates of your own CAs, which are trusted in addition to this machine's.",
        ),
    ] = None
    trust_env: Annotated[
        bool,
        Parameter(
            env_var=TRUST_ENV_VARIABLE,
            converter=_to_bool,
            negative=(),
            help="Use the proxy of HTTPS_PROXY, HTTP_PROXY and NO_PROXY, if --proxy is not given.",
        ),
    ] = False
    insecure_http: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Accept a base URL with http on another machine, for a test server. It sends the token in clear text.",
        ),
    ] = False
    verbose: VerboseOption = 0

    def session_options(self, base_url: str, on_bad_value: OnBadValue = "warn") -> SessionOptions:
        """Return the options of a session. An empty `base_url` is the default one.

        Raises:
            InvalidValueError: The file of certificates can't be used.
        """
        others = {"base_url": base_url or DEFAULT_BASE_URL, "on_bad_value": on_bad_value}
        return cast("SessionOptions", {**self.request_options(), **others})

    def request_options(self) -> RequestOptions:
        """Return the options of requests.

        Raises:
            InvalidValueError: The file of certificates can't be used.
        """
        options: dict[str, Any] = {"timeout": self.timeout, "proxy": self.proxy or None}
        if self.ca_file is not None:
            options["ssl_context"] = trusting(self.ca_file)
        options |= {name: True for name in ("trust_env", "insecure_http") if getattr(self, name)}
        if RequestLog.is_shown():
            options["telemetry"] = RequestLog()
        return cast("RequestOptions", options)


ConnectionOption = Annotated[Connection, Parameter(name="*")]


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Return TLS settings that trust the certificates of a PEM file in addition to those that Python trusts.

    Raises:
        InvalidValueError: The file can't be read, or holds no certificates.
    """
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError:
        reason = "it holds no certificates in PEM format"
    except OSError as error:
        reason = error.strerror or "it can't be read"
    except ValueError:
        reason = "it is not a valid path"
    else:
        return context
    raise InvalidValueError(
        f"ca_file can't be used: {reason}", "Use the path of a file with -----BEGIN CERTIFICATE----- in it."
    )
