"""One API call, as a handler sees it: caller, version, query and body; and what every handler needs
to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

import falcon
import msgspec
from oslo_config import cfg
from oslo_utils import strutils
from sqlalchemy.engine import Engine

from abaca.api import microversions, pagination
from abaca.api.faults import NoSuchRoute, TooLarge, UnsupportedMediaType
from abaca.api.login_tokens import Login
from abaca.api.policy import Policy
from abaca.api.priority import is_background
from abaca.api.row_cache import Found, RowCache
from abaca.api.whole_lists import Part, WholeList
from abaca.api.wire import bodies
from abaca.api.wire.fields import DETAIL, SHOW, Row, View
from abaca.db.encryption import Cipher
from abaca.domain.local_networks.segments import SegmentRanges
from abaca.domain.rows.row_limits import RowLimits
from abaca.errors import CallerError, Invalid
from abaca.values import Caller, Page

_T = TypeVar("_T")
_NUL = "\x00"
# nothing that is stored and filtered by is longer; SQLite takes patterns of 50,000 bytes
_LONGEST_QUERY_VALUE = 8192


@dataclass(frozen=True)
class Service:
    """What all calls of a process share."""

    conf: cfg.ConfigOpts
    engine: Engine
    policy: Policy
    cipher: Cipher
    quota_defaults: Mapping[str, int]  # limits where none are set
    row_limits: RowLimits
    segment_ranges: SegmentRanges  # of local networks
    row_cache: RowCache
    certificate_expires: float | None = None  # of the one that is served, in seconds since 1970


class WithHeaders(NamedTuple):
    """A handler's answer that has headers of its own, or another status than its route's."""

    body: Any
    headers: Mapping[str, str]
    status: int | None = None


class _Once(Generic[_T]):
    """A property that is computed on first access. Not functools.cached_property: in Python 3.11
    that holds one lock for all instances meanwhile, so one call would wait for another."""

    def __init__(self, work_out: Callable[[Any], _T]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    def __get__(self, call: Any, _owner: type) -> _T:
        value = self._work_out(call)
        call.__dict__[self._name] = value  # found there from now on
        return value


class Call:
    """One call. `version` is the minor microversion; `caller` exists only on routes with a
    policy."""

    def __init__(self, service: Service, req: falcon.Request, version: int) -> None:
        self._service = service
        self._req = req
        self.version = version
        self.conf = service.conf
        self.engine = service.engine
        self.cipher = service.cipher
        self.quota_defaults = service.quota_defaults
        self.row_limits = service.row_limits
        self.segment_ranges = service.segment_ranges
        self.certificate_expires = service.certificate_expires
        if _NUL in req.path:
            raise NoSuchRoute()

    @_Once
    def caller(self) -> Caller:
        """Who makes the request."""
        caller: Caller = self._req.context.caller
        return caller

    @property
    def login(self) -> Login | None:
        """The login token that the request is made with, or that it asks for; None: it has a
        password."""
        login: Login | None = self._req.context.get("login")
        return login

    @property
    def is_background(self) -> bool:
        """Whether the client says that this can wait for the requests of others."""
        return is_background(self._req.env)

    def header(self, name: str) -> str | None:
        """A header of the request."""
        value: str | None = self._req.get_header(name)
        return value

    @_Once
    def query_values(self) -> dict[str, list[str]]:
        """The query's parameters, each with all its values. Raises Invalid for text that no
        database can search for."""
        values = {
            name: [value] if isinstance(value, str) else value
            for name, value in self._req.params.items()
        }
        if not all(map(bodies.is_storable, chain(*values.values()))):
            raise Invalid("The query contains a character that is not allowed.")
        for name, texts in values.items():
            if max(map(len, texts), default=0) > _LONGEST_QUERY_VALUE:
                raise Invalid(
                    f"The value of query parameter {name[:64]} has more than "
                    f"{_LONGEST_QUERY_VALUE} characters."
                )
        return values

    @_Once
    def query(self) -> dict[str, str]:
        """The query's parameters; the last value of one that is repeated. Raises Invalid for NUL
        characters."""
        return {name: values[-1] for name, values in self.query_values.items()}

    @_Once
    def base_url(self) -> str:
        """The beginning of links, without a slash at the end."""
        return (self.conf.api.public_endpoint or self._req.prefix).rstrip("/")

    @property
    def wants_experimental(self) -> bool:
        """Whether the request asks for routes that are experimental at its version."""
        return strutils.bool_from_string(self._req.get_header(microversions.EXPERIMENTAL_HEADER))

    @property
    def url(self) -> str:
        """This call's own URL without its query."""
        return f"{self.base_url}{self._req.context.path}"

    def permits(self, rule: str) -> bool:
        """Whether the policy rule `rule` permits the caller."""
        return self._service.policy.permits(self.caller, rule)

    def shown_deferred_by(self, rule: str) -> Caller:
        """The caller, who is shown deferred deletions if the policy rule `rule` permits it."""
        return msgspec.structs.replace(self.caller, sees_deferred=self.permits(rule))

    def enforce(self, rule: str) -> None:
        """Raises PolicyForbids unless the policy rule `rule` permits the caller."""
        self._service.policy.enforce(self.caller, rule)

    @_Once
    def json(self) -> Any:
        """The decoded body; None if there is none. Raises TooLarge, UnsupportedMediaType,
        Invalid."""
        limit = self.conf.api.max_body_bytes
        if (self._req.content_length or 0) > limit:
            raise TooLarge(f"The request body has more than {limit} bytes.")
        chunked = self._req.content_length is None and self._req.get_header("Transfer-Encoding")
        raw = (self._req.stream if chunked else self._req.bounded_stream).read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(f"The request body has more than {limit} bytes.")
        if not raw:
            return None
        media_type = (
            (self._req.content_type or "application/json").partition(";")[0].strip().lower()
        )
        if not media_type.endswith("json"):
            raise UnsupportedMediaType(
                f"Unsupported Content-Type {media_type}: bodies are application/json."
            )
        return bodies.decode(raw)

    def body(self, member: str, struct: type[_T], missing: CallerError) -> _T:
        """The body's top-level object `member` as `struct`. Raises `missing` if it is absent or not
        an object."""
        body = self.json
        value = body.get(member) if isinstance(body, dict) else None
        if not isinstance(value, dict):
            raise missing
        return bodies.shape(value, struct)

    def arguments(self, struct: type[_T]) -> _T:
        """The arguments of an action, `{"<action>": {…}}`, as `struct`; null means no arguments."""
        _, value = self.action
        return bodies.shape({} if value is None else value, struct)

    @_Once
    def action(self) -> tuple[str, Any]:
        """Name and arguments of the action in the body. Raises Invalid unless there is exactly
        one."""
        body = self.json
        if not isinstance(body, dict) or len(body) != 1:
            raise Invalid(bodies.MALFORMED)
        return next(iter(body.items()))

    def page(self) -> Page:
        """The requested page of a list; see pagination.read_page."""
        return pagination.read_page(self.query, self.conf.api.max_limit)

    def filters(self, *names: str) -> dict[str, Any]:
        """The query's parameters with these names."""
        return {name: self.query[name] for name in names if name in self.query}

    def wants_all_projects(self, rule: str, name: str = "all_tenants") -> bool:
        """Whether the query has all_tenants (or this route's name for it), with or without a value.
        Ignored if `rule` does not permit it."""
        return (
            name in self.query and bodies.boolean(self.query[name] or "true") and self.permits(rule)
        )

    def wants_count(self, since: int) -> bool:
        """Whether the query has with_count, which exists since minor version `since`."""
        return (
            self.version >= since
            and "with_count" in self.query
            and bodies.boolean(self.query["with_count"])
        )

    def one(self, member: str, view: View, row: Row, *, level: int = SHOW) -> dict[str, Any]:
        """The answer `{member: row}`."""
        return {
            member: view.shown([row], self.version, level=level, is_admin=self.caller.is_admin)[0]
        }

    def many(
        self,
        member: str,
        view: View,
        rows: list[dict[str, Any]],
        page: Page | None = None,
        *,
        level: int = DETAIL,
    ) -> dict[str, Any]:
        """The answer `{member: rows}`, with a link to the next page if this one is full."""
        return self.page_of(member, self.shown(view, rows, level=level), page)

    def shown(
        self, view: View, rows: list[dict[str, Any]], *, level: int = DETAIL
    ) -> list[msgspec.Struct]:
        """Rows as the caller sees them at this version."""
        return view.shown(rows, self.version, level=level, is_admin=self.caller.is_admin)

    def page_of(self, member: str, rows: Sequence[Any], page: Page | None) -> dict[str, Any]:
        """As `many`, with rows that are rendered already."""
        answer: dict[str, Any] = {member: rows}
        links = pagination.next_links(self.url, self.query, page, rows) if page else []
        if links:
            answer[f"{member}_links"] = links
        return answer

    def listed(
        self,
        member: str,
        fetch: Callable[[Page], Part],
        *,
        links: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer `{member: rows}`, with `more` members: the page of the query's `limit`, with a
        link `links` to the next, or all rows.

        `fetch(page)` reads a page; a list that is longer than `max_limit` is read further while it
        is sent.
        """
        page = self.page()
        first = fetch(page)
        if pagination.is_paged(self.query) or first.following is None:
            found = (
                pagination.next_links(self.url, self.query, page, first.rows)
                if pagination.is_paged(self.query)
                else []
            )
            return (
                {member: first.rows}
                | ({links or f"{member}_links": found} if found else {})
                | dict(more or {})
            )
        return WholeList(member, first, fetch, more or {})

    def kept(
        self,
        view: View,
        found: list[Found],
        load: Callable[[list[str]], list[dict[str, Any]]],
        *,
        level: int,
    ) -> list[msgspec.Raw]:
        """Rows as `view` shows them, encoded and cached by version. `load(ids)` reads those that
        are not cached, each with `id` and `version`."""
        plan = view.plan(self.version, level=level, is_admin=self.caller.is_admin)

        def make(ids: list[str]) -> Iterator[tuple[Found, Any]]:
            rows = load(ids)
            return zip(
                [Found(row["id"], row["version"]) for row in rows],
                plan.members_of(rows),
                strict=True,
            )

        return self._service.row_cache.rows((plan, self.base_url), found, make)

    def links(self, collection: str, resource_id: str) -> list[dict[str, str]]:
        """The links `self` and `bookmark` of one resource."""
        return [
            {"rel": "self", "href": f"{self.base_url}/v2/{collection}/{resource_id}"},
            {"rel": "bookmark", "href": f"{self.base_url}/{collection}/{resource_id}"},
        ]
