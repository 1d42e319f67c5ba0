"""The WSGI application: routes, middleware in their order, and errors as faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

import falcon
from falcon.routing import CompiledRouter
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import struct_types
from abaca.api import certificates, faults
from abaca.api.audit import Audit
from abaca.api.call import Service
from abaca.api.caller import Callers, ProjectInUrl, RequestNames, authenticator
from abaca.api.declaration import VERSIONED, Route
from abaca.api.endpoint import Endpoint, MissingIds, Services
from abaca.api.metrics import RequestTimes
from abaca.api.openapi import ROUTE as OPENAPI
from abaca.api.page import serving as page
from abaca.api.policy import Policy
from abaca.api.routing import DEFAULTS, ROUTES
from abaca.api.row_cache import RowCache
from abaca.config import database_url, key_file, quota_defaults
from abaca.db.encryption import Cipher
from abaca.db.session import create_engine
from abaca.domain.local_networks import segments
from abaca.domain.rows.row_limits import RowLimits
from abaca.values import Caller

WsgiApp = falcon.App[falcon.Request, falcon.Response]


# for everyone, without credentials
OPEN_PATHS = frozenset(
    route.path.rstrip("/") for route in [*ROUTES, OPENAPI] if route.policy is None
) | frozenset(page.paths())


def create_app(
    conf: cfg.ConfigOpts,
    engine: Engine | None = None,
    authenticate: Callable[[falcon.Request], Caller] | None = None,
    audit: Audit | None = None,
) -> WsgiApp:
    """The application over `engine`, or over an engine of its own for the configured database. The
    schema must exist.

    `authenticate`: replaces the configured authentication. `audit`: an Audit that also gets
    refusals from before the application.
    """
    service = make_service(
        conf, engine or create_engine(database_url(conf), pool_size=conf.database.pool_size)
    )
    app: WsgiApp = falcon.App(
        middleware=[
            RequestTimes(),
            RequestNames(),
            Services(service),
            audit or Audit(conf.api.audit_file),
            Callers(authenticate or authenticator(conf), OPEN_PATHS),
            MissingIds(ROUTES),
            ProjectInUrl(
                {route.path.split("/")[2] for route in ROUTES if route.path.startswith(VERSIONED)}
                - {""}
            ),
        ],
        router=_Router(),
    )
    faults.install(app)
    page.install(app, conf)
    struct_types.make_ready()
    return app


class _Router(CompiledRouter):
    """Finds the API's routes, which are compiled once in a process, and those of the page, which
    depend on the configuration."""

    def find(self, uri: str, req: falcon.Request | None = None) -> Any:
        """What is behind a URL; None when there is nothing."""
        return _api_routes().find(uri, req) or super().find(uri, req)


@cache
def _api_routes() -> CompiledRouter:
    router = CompiledRouter()
    for path, routes in _by_path().items():
        router.add_route(path, Endpoint(routes))
        # there a slash at the end is a member without an id: 404
        if path != "/" and not path.startswith(VERSIONED):
            router.add_route(f"{path}/", Endpoint(routes))
    return router


def make_service(conf: cfg.ConfigOpts, engine: Engine) -> Service:
    """The shared state of all calls of this process."""
    return Service(
        conf=conf,
        engine=engine,
        policy=Policy(conf, DEFAULTS),
        cipher=Cipher(key_file(conf)),
        quota_defaults=quota_defaults(conf),
        row_limits=RowLimits(**{name: conf.limits[name] for name in RowLimits.__struct_fields__}),
        segment_ranges=segments.configured(conf),
        certificate_expires=certificates.expires(conf),
        row_cache=RowCache(conf.api.kept_rows_megabytes * 1_000_000),
    )


def _by_path() -> dict[str, list[Route]]:
    paths: dict[str, list[Route]] = defaultdict(list)
    for route in [*ROUTES, OPENAPI]:
        paths[route.path.rstrip("/") or "/"].append(route)
    return paths
