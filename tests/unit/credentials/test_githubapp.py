"""GitHub Apps against a server that checks what it is shown."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.clock import VirtualClock

from tiphys.credentials.githubapp import GithubApp, GithubTokens, InstallationToken
from tiphys.credentials.secrets import CredentialError
from tiphys.runtime.secret import Secret

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()


class GitHub:
    """Installation 7 of app 42, at the organisation `team`."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.issued = 0
        self.claims: dict[str, Any] = {}
        self.url = ""

    def answer(self, method: str, path: str, authorization: str) -> tuple[int, Any]:
        token = authorization.removeprefix("Bearer ")
        options = {"verify_exp": False, "verify_iat": False}
        self.claims = jwt.decode(token, KEY.public_key(), algorithms=["RS256"], options=options)  # type: ignore[arg-type]
        if self.claims["iss"] != "42":
            return 401, {"message": "Bad credentials"}
        if (method, path) == ("GET", "/orgs/team/installation"):
            return 200, {"id": 7}
        if (method, path) == ("POST", "/app/installations/7/access_tokens"):
            self.issued += 1
            ends = self.clock.now() + timedelta(hours=1)
            return 201, {"token": f"ghs_{self.issued}", "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return 404, {"message": "Not Found"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    hub = GitHub(VirtualClock())

    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self) -> None:
            status, answer = hub.answer(self.command, self.path, self.headers["Authorization"])
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def tokens(github: GitHub) -> GithubTokens:
    return GithubTokens(clock=github.clock, user_agent="test")


async def test_a_token_is_asked_for_once_and_again_before_it_ends(github: GitHub) -> None:
    app = GithubApp(42, Secret(PEM), installation_id=7, api=github.url)
    token = InstallationToken(app, tokens(github))
    user, password = await token.pair()
    assert (user, password.reveal()) == ("x-access-token", "ghs_1")
    now = github.clock.now().timestamp()
    assert (github.claims["iat"], github.claims["exp"]) == (now - 60, now + 540)
    await github.clock.advance(50 * 60)
    assert (await token.pair())[1].reveal() == "ghs_1"
    await github.clock.advance(6 * 60)
    assert (await token.pair())[1].reveal() == "ghs_2"


async def test_an_installation_is_found_by_the_owner_of_the_repository(github: GitHub) -> None:
    app = GithubApp(42, Secret(PEM), owner="team", api=f"{github.url}/")
    assert (await tokens(github).token(app)).reveal() == "ghs_1"


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ({"installation_id": 8}, "no token for installation 8: {url} answered 404 Not Found"),
        ({"owner": "else/../x"}, "no installation at 'else/../x': {url} answered 404 Not Found"),
        ({"app_id": 1, "installation_id": 7}, "no token for installation 7: {url} answered 401 Bad credentials"),
        ({"private_key": Secret("s3cret-word")}, "githubAppPrivateKey is not an RSA key in PEM form"),
        ({"api": "http://127.0.0.1:1", "installation_id": 7}, "http://127.0.0.1:1: cannot connect"),
    ],
)
async def test_what_is_wrong_is_said_without_the_key(github: GitHub, app: dict[str, Any], says: str) -> None:
    given = {"app_id": 42, "private_key": Secret(PEM), "api": github.url, **app}
    with pytest.raises(CredentialError) as caught:
        await tokens(github).token(GithubApp(**given))
    assert says.format(url=github.url) in str(caught.value)
    assert "s3cret-word" not in str(caught.value) + repr(GithubApp(**given))
