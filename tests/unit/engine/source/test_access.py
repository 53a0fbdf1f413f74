"""How a repository is reached: keys, certificates, known hosts, redirections; and that nothing of it is left lying about."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import ssl
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.githttp import serve_git
from tests.support.gitssh import make_key, serve_ssh, why_no_sshd
from tests.unit.engine.source.trees import Bare

from tiphys.engine.source.access import Connection, GitCredentials
from tiphys.engine.source.git import GitRepositories
from tiphys.engine.states import StageError
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.process import Completed
from tiphys.runtime.secret import Secret

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret-word\n-----END OPENSSH PRIVATE KEY-----"


class Recording:
    """Stands for git: keeps what it was given, and every private file as it was while git ran."""

    def __init__(self, stderr: str = "fatal: no") -> None:
        self.stderr = stderr
        self.argvs: list[list[str]] = []
        self.envs: list[Mapping[str, str]] = []
        self.files: list[dict[str, tuple[str, int]]] = []

    async def __call__(
        self, argv: list[str], *, env: Mapping[str, str], timeout_s: float, output_limit_bytes: int
    ) -> Completed:
        self.argvs.append(argv)
        self.envs.append(dict(env))
        root = Path(env["GIT_DIR"]).parent / "private"
        self.files.append(
            {
                path.name: (path.read_text(), stat.S_IMODE(path.stat().st_mode))
                for path in (root.rglob("*") if root.exists() else ())
                if path.is_file()
            }
        )
        return Completed(exit_code=128, stdout=b"", stderr=self.stderr.encode())

    def config(self, number: int = -1) -> dict[str, str]:
        """git's configuration of a run."""
        env = self.envs[number]
        return {env[f"GIT_CONFIG_KEY_{n}"]: env[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(env["GIT_CONFIG_COUNT"]))}


def over(tmp_path: Path, run: Recording | None = None) -> GitRepositories:
    given = {} if run is None else {"run_process": run}
    return GitRepositories(tmp_path / "m", clock=SystemClock(), env={"PATH": os.environ["PATH"]}, **given)  # type: ignore[arg-type]


async def told(repositories: GitRepositories, url: str, credentials: GitCredentials) -> str:
    with pytest.raises(StageError) as caught:
        await repositories.revision(url, "main", credentials=credentials)
    return caught.value.message


async def test_an_ssh_key_is_a_private_file_for_as_long_as_git_runs(tmp_path: Path) -> None:
    run = Recording()
    credentials = GitCredentials(ssh_private_key=Secret(PRIVATE), connection=Connection(known_hosts="h ssh-rsa AA"))
    await told(over(tmp_path, run), "git@github.com:team/repo.git", credentials)
    assert run.files == [{"identity": (PRIVATE + "\n", 0o600), "known_hosts": ("h ssh-rsa AA\n", 0o600)}]
    command = run.envs[0]["GIT_SSH_COMMAND"]
    for option in ("-F none", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "BatchMode=yes", "IdentityAgent=none"):
        assert option in command
    assert run.envs[0]["GIT_ALLOW_PROTOCOL"] == "ssh"
    assert not [text for text in (*run.envs[0].values(), *run.argvs[0]) if "s3cret-word" in text]
    assert list((tmp_path / "m" / "private").iterdir()) == []


async def test_host_keys_are_not_checked_where_the_secret_says_so(tmp_path: Path) -> None:
    run = Recording()
    credentials = GitCredentials(ssh_private_key=Secret(PRIVATE), connection=Connection(insecure=True))
    await told(over(tmp_path, run), "git@github.com:team/repo.git", credentials)
    assert "StrictHostKeyChecking=no" in run.envs[0]["GIT_SSH_COMMAND"]
    assert list(run.files[0]) == ["identity"]


async def test_certificates_and_proxies_are_bound_to_the_origin(tmp_path: Path) -> None:
    run = Recording()
    credentials = GitCredentials(
        bearer_token=Secret("s3cret-word"),
        client_cert="CERT",
        client_key=Secret("KEY"),
        connection=Connection(ca="CA", proxy="http://me:pr0xy-word@proxy:3128", no_proxy="internal"),
    )
    message = await told(over(tmp_path, run), "https://host.example:8443/team/repo", credentials)
    config = run.config()
    origin = "http.https://host.example:8443/"
    assert config[f"{origin}.extraHeader"] == "Authorization: Bearer s3cret-word"
    assert config[f"{origin}.proxy"] == "http://me:pr0xy-word@proxy:3128"
    assert {name: text for name, (text, _) in run.files[0].items()} == {
        "ca.pem": "CA\n",
        "cert.pem": "CERT\n",
        "key.pem": "KEY\n",
    }
    assert config[f"{origin}.sslCAInfo"].endswith("/ca.pem")
    assert run.envs[0]["NO_PROXY"] == "internal"
    assert not [argument for argument in run.argvs[0] if "s3cret" in argument or "pr0xy" in argument]
    assert "pr0xy" not in message


async def test_what_git_says_loses_secrets_and_folders(tmp_path: Path) -> None:
    run = Recording("fatal: s3cret-word at http://me:pr0xy-word@proxy and /M/identity")
    credentials = GitCredentials("jo", Secret("s3cret-word"), connection=Connection(proxy="http://me:pr0xy-word@proxy"))
    run.stderr = run.stderr.replace("/M", str(tmp_path / "m" / "private"))
    message = await told(over(tmp_path, run), "https://host.example/repo", credentials)
    for hidden in ("s3cret-word", "pr0xy-word", str(tmp_path)):
        assert hidden not in message


async def test_a_killed_engines_keys_are_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "m" / "private" / "git-old"
    left.mkdir(parents=True)
    (left / "identity").write_text(PRIVATE)
    await told(over(tmp_path, Recording()), "https://host.example/repo", GitCredentials())
    assert not left.exists()


async def test_what_ssh_says_is_explained(tmp_path: Path) -> None:
    key = GitCredentials(ssh_private_key=Secret(PRIVATE))
    said = {
        "No ED25519 host key is known for [h]:22 and you have requested strict checking.\nHost key verification failed.": (
            "ssh: handshake failed: knownhosts: key is unknown; add the keys of h to argocd-ssh-known-hosts-cm, "
            "for example with `ssh-keyscan h | argocd cert add-ssh --batch`"
        ),
        "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.": (
            "ssh: handshake failed: knownhosts: key mismatch"
        ),
        "git@h: Permission denied (publickey).": "the credentials in its Secret were refused",
        'Load key "/x/identity": error in libcrypto': "its sshPrivateKey cannot be read",
    }
    for stderr, meaning in said.items():
        assert meaning in await told(over(tmp_path, Recording(stderr)), "git@h:repo.git", key)


def test_mirrors_are_shared_by_equal_credentials_only() -> None:
    def mark(credentials: GitCredentials) -> bytes:
        return credentials.fingerprint()

    key = GitCredentials(ssh_private_key=Secret("a"))
    assert mark(GitCredentials(connection=Connection(known_hosts="x", ca="y"))) == b""
    assert mark(key) == mark(GitCredentials(ssh_private_key=Secret("a"), connection=Connection(known_hosts="x")))
    others = [
        GitCredentials(ssh_private_key=Secret("b")),
        GitCredentials("jo", Secret("a")),
        GitCredentials(bearer_token=Secret("a")),
        GitCredentials(client_cert="c", client_key=Secret("a")),
        GitCredentials(ssh_private_key=Secret("a"), connection=Connection(insecure=True)),
        GitCredentials(connection=Connection(insecure=True)),
        GitCredentials(connection=Connection(proxy="http://p")),
    ]
    assert len({mark(one) for one in (key, *others)}) == len(others) + 1


@contextmanager
def redirecting(target: str) -> Iterator[str]:
    """A server that sends every reader on to another address; its own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", target + self.path)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_credentials_do_not_follow_a_redirection_to_another_host(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    class Thief(http.server.BaseHTTPRequestHandler):
        def _take(self) -> None:
            seen.append((self.command, self.headers.get("Authorization", "")))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"001e# service=git-upload-pack\n0000000eversion 2\n000cls-refs\n000afetch\n0000")

        do_GET = do_POST = _take

        def log_message(self, format: str, *args: object) -> None:
            pass

    thief = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Thief)
    thread = threading.Thread(target=thief.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with redirecting(f"http://127.0.0.2:{thief.server_port}") as origin:
            repositories = over(tmp_path)
            await told(repositories, f"{origin}/repo.git", GitCredentials("jo", Secret("s3cret-word")))
            assert "POST" in {method for method, _ in seen}  # it was followed
            seen_by_basic = list(seen)
            message = await told(repositories, f"{origin}/repo.git", GitCredentials(bearer_token=Secret("s3cret-word")))
    finally:
        thief.shutdown()
        thread.join()
        thief.server_close()
    assert {header for _, header in seen} == {""}
    assert seen == seen_by_basic
    assert "a bearer token is not sent anywhere else" in message


async def test_a_redirection_on_the_same_host_is_followed_with_credentials(bare: Bare, tmp_path: Path) -> None:
    sha = bare.commit({"a": "1"})
    credentials = GitCredentials("jo", Secret("p@ss:w0rd/é"))
    with serve_git(tmp_path, user="jo", password="p@ss:w0rd/é", redirect={"/old": "/repo.git"}) as port:
        url = f"http://127.0.0.1:{port}/old"
        assert await over(tmp_path).revision(url, "main", credentials=credentials) == sha


class Tokens:
    """A token that is asked for; `broken` when it cannot be had."""

    identity = "an-app"

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.asked = 0

    async def pair(self) -> tuple[str, Secret]:
        self.asked += 1
        if self.broken:
            raise ValueError("GitHub App 42: no token")
        return "x-access-token", Secret("ghs_s3cret")


async def test_a_token_is_asked_for_when_it_is_needed(bare: Bare, tmp_path: Path) -> None:
    sha, tokens = bare.commit({"a": "1"}), Tokens()
    credentials = GitCredentials(minted=tokens)
    with serve_git(tmp_path, user="x-access-token", password="ghs_s3cret") as port:
        url = f"http://127.0.0.1:{port}/repo.git"
        repositories = over(tmp_path)
        assert await repositories.revision(url, "main", credentials=credentials) == sha
        assert await repositories.revision(url, "main", credentials=credentials) == sha
        assert tokens.asked == 1
        message = await told(over(tmp_path / "other"), url, GitCredentials(minted=Tokens(broken=True)))
    assert message == f"failed to fetch {url}: GitHub App 42: no token"


async def test_a_server_that_does_not_answer_is_given_up_soon(tmp_path: Path) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(4)]  # as many as it takes, and more: the next gets no answer
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
    repositories = GitRepositories(
        tmp_path / "m", clock=SystemClock(), env={"PATH": os.environ["PATH"]}, connect_timeout_s=0.2
    )
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/repo.git"
        message = await told(repositories, url, GitCredentials())
    finally:
        for one in (*waiting, listener):
            one.close()
    assert "the server did not answer in time (git: connection timed out: no answer within 0.2 s)" in message


@contextmanager
def over_tls(app_port: int, certificate: Path, key: Path, ca: Path | None) -> Iterator[int]:
    """A TLS server before a plain one; with `ca` it takes clients with a certificate of that CA only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)

    class Forward(http.server.BaseHTTPRequestHandler):
        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            client = http.client.HTTPConnection("127.0.0.1", app_port)
            client.request(self.command, self.path, body, dict(self.headers))
            answer = client.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _forward

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that are refused

    server = Server(("127.0.0.1", 0), Forward)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _client(now: datetime) -> tuple[str, str]:
    """A certificate for a client, which is its own CA, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jo")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem).decode(), private.decode()


async def test_certificates_are_checked_and_shown(bare: Bare, tmp_path: Path) -> None:
    from tiphys.devcluster.pki import ensure_pki

    now = SystemClock().now()
    pki = ensure_pki(tmp_path / "pki", now=now, new_token="x")
    client_cert, client_key = _client(now)
    (tmp_path / "client.pem").write_text(client_cert)
    sha = bare.commit({"a": "1"})
    ca = pki.ca_pem
    identity = GitCredentials(
        client_cert=client_cert,
        client_key=Secret(client_key),
        connection=Connection(ca=ca),
    )
    with serve_git(tmp_path) as plain:
        with over_tls(plain, pki.cert_path, pki.key_path, None) as port:
            url = f"https://127.0.0.1:{port}/repo.git"
            assert "its TLS certificate is not trusted" in await told(over(tmp_path / "1"), url, GitCredentials())
            for number, connection in enumerate((Connection(ca=ca), Connection(insecure=True))):
                credentials = GitCredentials(connection=connection)
                assert await over(tmp_path / f"2{number}").revision(url, "main", credentials=credentials) == sha
        with over_tls(plain, pki.cert_path, pki.key_path, tmp_path / "client.pem") as port:
            url = f"https://127.0.0.1:{port}/repo.git"
            await told(over(tmp_path / "3"), url, GitCredentials(connection=Connection(ca=ca)))
            assert await over(tmp_path / "4").revision(url, "main", credentials=identity) == sha


async def test_ssh_checks_host_and_key(bare: Bare, tmp_path: Path) -> None:
    reason = why_no_sshd()
    if reason:
        pytest.skip(reason)
    sha = bare.commit({"a": "1"})
    with serve_ssh(tmp_path / "sshd") as server:
        url = server.url(bare.folder)
        known = Connection(known_hosts=server.known_hosts)
        good = GitCredentials(ssh_private_key=Secret(server.private_key), connection=known)
        assert await over(tmp_path / "a").revision(url, "main", credentials=good) == sha
        unknown = GitCredentials(ssh_private_key=Secret(server.private_key))
        assert "knownhosts: key is unknown" in await told(over(tmp_path / "b"), url, unknown)
        changed = Connection(known_hosts=f"[127.0.0.1]:{server.port} {' '.join(_public(tmp_path).split()[:2])}\n")
        mistaken = GitCredentials(ssh_private_key=Secret(server.private_key), connection=changed)
        assert "knownhosts: key mismatch" in await told(over(tmp_path / "c"), url, mistaken)
        stranger = GitCredentials(ssh_private_key=Secret(make_key(tmp_path / "stranger")), connection=known)
        assert "were refused" in await told(over(tmp_path / "d"), url, stranger)
        broken = GitCredentials(ssh_private_key=Secret("no key"), connection=known)
        assert "sshPrivateKey cannot be read" in await told(over(tmp_path / "e"), url, broken)
        trusting = GitCredentials(ssh_private_key=Secret(server.private_key), connection=Connection(insecure=True))
        assert await over(tmp_path / "f").revision(url, "main", credentials=trusting) == sha


def _public(tmp_path: Path) -> str:
    make_key(tmp_path / "another")
    return (tmp_path / "another.pub").read_text()
