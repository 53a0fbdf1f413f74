"""Routes and their matching on the raw path, so that an encoded slash stays inside its segment.

Every route carries an access check. A router with a route that has none does not come into being.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tiphys.server.context import Context
from tiphys.server.errors import PlainError
from tiphys.server.http import Response, decode_segment

Handler = Callable[[Context], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a route. `check` raises RequestError; `asks` says the policy question, for people and tests.

    `session`: a session (or anonymous access) is needed before `check` is asked.
    """

    asks: str
    check: Callable[[Context], Awaitable[None]]
    session: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path. `{name}` takes one segment, `{name=**}` at the end takes the rest."""

    method: str
    path: str
    handler: Handler
    access: Access | None = None


class UncheckedRouteError(Exception):
    """A route was registered without an access check."""


class Router:
    """Finds the route of a request. Literal segments win over parameters."""

    def __init__(self, routes: Sequence[Route]) -> None:
        unchecked = [f"{route.method} {route.path}" for route in routes if route.access is None]
        if unchecked:
            raise UncheckedRouteError(f"no access check: {', '.join(unchecked)}")
        seen: set[tuple[str, str]] = set()
        for route in routes:
            if (route.method, route.path) in seen:
                raise ValueError(f"two routes: {route.method} {route.path}")
            seen.add((route.method, route.path))
        self.routes = tuple(routes)
        self._by_length: dict[int, list[tuple[tuple[str, ...], Route]]] = {}
        self._tails: list[tuple[tuple[str, ...], Route]] = []
        for route in sorted(routes, key=lambda route: route.path.count("{")):
            segments = tuple(route.path.strip("/").split("/"))
            if segments[-1].endswith("=**}"):
                self._tails.append((segments, route))
            else:
                self._by_length.setdefault(len(segments), []).append((segments, route))

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """The route and its decoded path parameters. Raises PlainError 404, or 405 for a path of another method."""
        given = raw_path.strip("/").split("/")
        known = False
        for segments, route in self._by_length.get(len(given), ()):
            params = _match(segments, given)
            if params is not None:
                if route.method == method:
                    return route, params
                known = True
        for segments, route in self._tails:
            head, tail_name = segments[:-1], segments[-1][1:-4]
            if len(given) <= len(head):
                continue
            params = _match(head, given[: len(head)])
            if params is not None:
                if route.method == method:
                    return route, {**params, tail_name: decode_segment("/".join(given[len(head) :]))}
                known = True
        raise PlainError(405, "Method Not Allowed") if known else PlainError(404, "Not Found")


def _match(segments: Sequence[str], given: Sequence[str]) -> dict[str, str] | None:
    params = {}
    for wanted, found in zip(segments, given, strict=True):
        if wanted.startswith("{"):
            if not found:
                return None
            params[wanted[1:-1]] = decode_segment(found)
        elif wanted != found:
            return None
    return params
