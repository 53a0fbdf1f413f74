"""Repositories, what the engine tells git, and the Secrets that say how they are reached."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys import __version__
from tiphys.controllers.controlplane import ControlPlane
from tiphys.controllers.repositories import RepositoryWatch
from tiphys.credentials.book import RepositoryBook
from tiphys.credentials.followed import FollowedRepositories
from tiphys.credentials.githubapp import PUBLIC_API, GithubApp, GithubTokens, InstallationToken
from tiphys.credentials.secrets import CredentialError
from tiphys.engine.source.access import Connection, GitCredentials
from tiphys.engine.source.git import CommitInfo, GitRepositories
from tiphys.engine.source.urls import RepositoryUrl, parse_repository_url
from tiphys.engine.states import StageError
from tiphys.model.repository import Repository
from tiphys.runtime.clock import Clock
from tiphys.runtime.redact import redact_url
from tiphys.wiring.options import EngineOptions

USER_AGENT = f"tiphys/{__version__}"
# All that git sees of the engine's environment.
GIT_ENV = ("PATH", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE")


def open_repositories(options: EngineOptions, *, env: Mapping[str, str], clock: Clock) -> GitRepositories:
    """The Git repositories of this engine; nothing is fetched yet."""
    return GitRepositories(
        options.home / "mirrors",
        clock=clock,
        allow_file_urls=options.allow_file_repositories,
        env={name: value for name, value in env.items() if name in GIT_ENV},
    )


class RepositorySecrets:
    """How the repository Secrets of our namespace let its projects reach repositories."""

    def __init__(self, *, clock: Clock) -> None:
        self._followed = FollowedRepositories()
        self._tokens = GithubTokens(clock=clock, user_agent=USER_AGENT)
        self._known: dict[
            tuple[str, str], GitCredentials | None
        ] = {}  # until a Secret changes: asked for every comparison

    @property
    def book(self) -> RepositoryBook:
        """Those in force now."""
        return self._followed.book

    def tie(self, plane: ControlPlane, watch: RepositoryWatch) -> None:
        """Read what the control plane sees, and tell the watch of changes."""
        owners = self.book.owners

        def changed() -> None:
            nonlocal owners
            before, owners = owners, self.book.owners
            self._known.clear()
            watch.access_changed()
            if owners != before:
                plane.everything_changed()  # a project may use other repositories than before

        plane.config_followers.append(self._followed)
        self._followed.changed = changed

    def scope(self, url: str, project: str) -> str:
        """The project if it reaches the repository with credentials of its own, else the empty string."""
        return self.book.scope(url, project)

    def of_project(self, project: str) -> tuple[str, ...]:
        """URLs of the repositories whose Secrets are the project's own."""
        return self.book.of_project(project)

    def credentials(self, url: str, scope: str) -> GitCredentials | None:
        """Those in force now. Raises StageError when their Secret cannot be used."""
        if (url, scope) in self._known:
            return self._known[url, scope]
        book = self.book
        try:
            found = self._known[url, scope] = git_credentials(book.find(url, scope), book, self._tokens)
            return found
        except CredentialError as error:
            raise StageError("source", "ComparisonError", f"failed to fetch {redact_url(url)}: {error}") from None


class ReachableCommits:
    """Commits of repositories, read with the credentials of a project."""

    def __init__(self, git: GitRepositories, secrets: RepositorySecrets) -> None:
        self._git = git
        self._secrets = secrets

    async def commit_info(self, url: str, sha: str, project: str) -> CommitInfo:
        """A commit. Raises StageError."""
        credentials = self._secrets.credentials(url, self._secrets.scope(url, project))
        return await self._git.commit_info(url, sha, credentials=credentials)


def git_credentials(repository: Repository, book: RepositoryBook, tokens: GithubTokens) -> GitCredentials | None:
    """What git is told for a repository; None when there is nothing to tell. Raises CredentialError."""
    try:
        parsed = parse_repository_url(repository.url, allow_file=True)
    except StageError:
        return None  # it is refused for its URL, wherever that is read
    if parsed.local is not None:
        return None
    if parsed.ssh_host and repository.proxy:
        raise CredentialError("a proxy for a repository over ssh is not supported yet")
    connection = Connection(
        ca="" if parsed.ssh_host else book.certificate(parsed.host),
        known_hosts=book.known_hosts if parsed.ssh_host else "",
        insecure=repository.insecure,
        proxy=repository.proxy,
        no_proxy=repository.no_proxy,
    )
    if parsed.ssh_host:
        return GitCredentials(ssh_private_key=repository.ssh_private_key, connection=connection)
    found = GitCredentials(
        username=repository.username,
        password=repository.password,
        bearer_token=repository.bearer_token,
        client_cert=repository.tls_client_cert_data,
        client_key=repository.tls_client_cert_key,
        connection=connection,
        minted=_minted(repository, parsed, connection, tokens),
    )
    return None if found == GitCredentials() else found


def _minted(
    repository: Repository, url: RepositoryUrl, connection: Connection, tokens: GithubTokens
) -> InstallationToken | None:
    if not repository.github_app_private_key or repository.username or repository.password or repository.bearer_token:
        return None
    app = GithubApp(
        app_id=repository.github_app_id,
        private_key=repository.github_app_private_key,
        installation_id=repository.github_app_installation_id,
        owner="" if repository.github_app_installation_id else url.fetch.removeprefix(url.origin).partition("/")[0],
        api=repository.github_app_enterprise_base_url or PUBLIC_API,
        ca=connection.ca,
        insecure=connection.insecure,
        proxy=connection.proxy,
    )
    return InstallationToken(app, tokens)
