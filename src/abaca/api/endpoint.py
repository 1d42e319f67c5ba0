"""How a request finds its handler: by URL (Falcon), then method, version and, for actions, the
body's only member."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import falcon
import msgspec

from abaca.api import microversions
from abaca.api.call import Call, Service, WithHeaders
from abaca.api.declaration import VERSIONED, Route
from abaca.api.faults import NoSuchRoute
from abaca.api.whole_lists import WholeList
from abaca.errors import Invalid


class MissingIds:
    """404 for a URL without an id: `/v2/shares/`, and `/v2/shares//action`, which many clients send
    as `/v2/shares/action`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        # parameter → what may be behind it
        self._following: dict[str, set[str]] = defaultdict(set)
        for route in routes:
            for parameter, behind in pairwise(route.path.split("/")):
                if parameter.startswith("{") and not behind.startswith("{"):
                    self._following[parameter.strip("{}")].add(behind)

    def process_resource(
        self,
        _req: falcon.Request,
        _resp: falcon.Response,
        _resource: object,
        params: dict[str, str],
    ) -> None:
        """Runs after the URL is matched, for any method."""
        if any(
            not value or value in self._following.get(name, ()) for name, value in params.items()
        ):
            raise NoSuchRoute()


class Services:
    """Tells each request what it is served with, as the routes are the same in every application of
    a process."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Sets `req.context.service`."""
        req.context.service = self._service


class Endpoint:
    """All routes of one URL, as a Falcon resource. What they serve with is the request's
    (`Services`)."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = list(routes)
        self._is_versioned = self._routes[0].path.startswith(VERSIONED)
        for method in {route.method for route in self._routes}:
            setattr(self, f"on_{method.lower()}", self._respond)

    def _respond(self, req: falcon.Request, resp: falcon.Response, **params: str) -> None:
        version = 0
        if self._is_versioned:
            version = microversions.negotiate(req.get_header(microversions.HEADER))
            resp.set_header(microversions.HEADER, microversions.text(version))
            resp.set_header("Vary", microversions.HEADER)
        call = Call(req.context.service, req, version)
        route = self._choose(call, req.method)
        if route.rule is not None:
            call.enforce(route.rule.name)
        req.context.action, req.context.params = route.action, params
        answer = route.handler(call, **params)
        resp.status = route.status
        if isinstance(answer, WithHeaders):
            resp.set_headers(dict(answer.headers))
            resp.status = answer.status or route.status
            answer = answer.body
        req.context.answer = answer
        if isinstance(answer, str):
            resp.content_type, resp.text = "text/plain; charset=utf-8", answer
        elif isinstance(answer, WholeList):
            resp.content_type, resp.stream = "application/json", answer
        elif answer is not None:
            resp.content_type, resp.data = "application/json", msgspec.json.encode(answer)

    def _choose(self, call: Call, method: str) -> Route:
        """The route of that method (and action) at the call's version; an experimental one only if
        the call wants those. Raises NoSuchRoute, Invalid (no such action)."""
        routes = [route for route in self._routes if route.method == method]
        if routes[0].action is not None:
            name, _ = call.action
            routes = [route for route in routes if route.action == name]
            if not routes:
                raise Invalid(f"There is no such action: {name}")
        for route in routes:
            if route.lives_in(call.version) and (
                call.wants_experimental or not route.is_experimental_in(call.version)
            ):
                return route
        raise NoSuchRoute()
