"""Whether a server takes connections at all, asked before git is: curl waits five minutes for one that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from tiphys.engine.source.access import GitCredentials
from tiphys.engine.source.urls import RepositoryUrl

CONNECT_TIMEOUT_S = 15.0  # Argo CD's limit for a Git request. Source: compat 8.3
_PORTS = {"https": 443, "http": 80}
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY")


async def is_silent(
    url: RepositoryUrl, credentials: GitCredentials | None, env: Mapping[str, str], timeout_s: float
) -> bool:
    """Nothing answers at the address of a http(s) URL in time.

    False for what is not asked here: other schemes (ssh has a limit of its own), servers behind a proxy, and those that
    refuse or have no address, because git says that better.
    """
    behind_proxy = (credentials is not None and credentials.connection.proxy) or any(env.get(p) for p in _PROXIES)
    if not url.origin or behind_proxy:
        return False
    parts = urlsplit(url.origin)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or _PORTS[parts.scheme])
    except TimeoutError:
        return True
    except OSError:
        return False
    writer.close()
    return False
