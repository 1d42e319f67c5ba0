"""gophercloud v2 over plain HTTP: its headers, the statuses that it takes for each method, the
types that it decodes answers into.

Terraform's provider and manila-csi speak by it, so their tests do, too. Facts: gophercloud v2,
openstack/sharedfilesystems.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Annotated, Any

import msgspec

from tests.service import wait_until

AGENT = "gophercloud/v2.13.0"
TAKES = {"GET": (200,), "POST": (201, 202), "PUT": (201, 202), "DELETE": (202, 204)}
LAST_OFFSET = 2**63 - 1  # where its lists of share networks go on that name no limit

# Its times have no zone: one with a `Z` is an error there. Null is Go's zero value of any type.
Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$")] | None
Text = str | None
Whole = int | None
Flag = bool | None


class Named(msgspec.Struct):
    """What nearly all of its structs have."""

    id: Text = None
    name: Text = None
    description: Text = None
    project_id: Text = None
    created_at: Time = None
    updated_at: Time = None


class Share(Named):
    availability_zone: Text = None
    has_replicas: Flag = None
    host: Text = None
    is_public: Flag = None
    links: list[dict[str, str]] = []
    metadata: dict[str, str] | None = None
    replication_type: Text = None
    share_network_id: Text = None
    share_proto: Text = None
    share_server_id: Text = None
    share_type: Text = None
    share_type_name: Text = None
    share_group_id: Text = None
    size: Whole = None
    snapshot_id: Text = None
    status: Text = None
    task_state: Text = None
    volume_type: Text = None
    snapshot_support: Flag = None
    create_share_from_snapshot_support: Flag = None


class Location(msgspec.Struct):
    path: str
    id: Text = None
    share_instance_id: Text = None
    is_admin_only: Flag = None
    preferred: Flag = None


class Rule(msgspec.Struct):
    id: str
    share_id: Text = None
    access_type: Text = None
    access_to: Text = None
    access_key: Text = None
    access_level: Text = None
    state: Text = None
    created_at: Time = None
    updated_at: Time = None
    metadata: dict[str, Any] | None = None


class Snapshot(Named):
    share_id: Text = None
    share_proto: Text = None
    share_size: Whole = None
    size: Whole = None
    status: Text = None
    links: list[dict[str, str]] = []


class ShareNetwork(Named):
    neutron_net_id: Text = None
    neutron_subnet_id: Text = None
    nova_net_id: Text = None
    network_type: Text = None
    segmentation_id: Whole = None
    cidr: Text = None
    ip_version: Whole = None


class SecurityService(Named):
    domain: Text = None
    status: Text = None
    type: Text = None
    dns_ip: Text = None
    ou: Text = None
    user: Text = None
    password: Text = None
    server: Text = None


class Message(msgspec.Struct):
    id: str
    project_id: Text = None
    action_id: Text = None
    detail_id: Text = None
    message_level: Text = None
    request_id: Text = None
    resource_id: Text = None
    resource_type: Text = None
    user_message: Text = None
    created_at: Time = None
    expires_at: Time = None


class ShareType(Named):
    extra_specs: dict[str, Any] | None = None
    required_extra_specs: dict[str, Any] | None = None


class ShareTypeAccess(msgspec.Struct):
    share_type_id: Text = None
    project_id: Text = None


class Service(msgspec.Struct):
    id: int
    binary: Text = None
    host: Text = None
    state: Text = None
    status: Text = None
    zone: Text = None
    updated_at: Time = None


class Pool(msgspec.Struct):
    name: Text = None
    backend: Text = None
    pool: Text = None
    host: Text = None


class ApiVersion(msgspec.Struct):
    id: str
    min_version: Text = None
    version: Text = None
    status: Text = None


class Answer(msgspec.Struct):
    """All that it looks for in the body of an answer."""

    share: Share | None = None
    shares: list[Share] = []
    export_location: Location | None = None
    export_locations: list[Location] = []
    access: Rule | None = None
    access_list: list[Rule] = []
    metadata: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    snapshot: Snapshot | None = None
    snapshots: list[Snapshot] = []
    share_network: ShareNetwork | None = None
    share_networks: list[ShareNetwork] = []
    security_service: SecurityService | None = None
    security_services: list[SecurityService] = []
    messages: list[Message] = []
    message: Message | None = None
    share_type: ShareType | None = None
    share_types: list[ShareType] = []
    share_type_access: list[ShareTypeAccess] = []
    extra_specs: dict[str, Any] | None = None
    services: list[Service] = []
    pools: list[Pool] = []
    availability_zones: list[Named] = []
    versions: list[ApiVersion] = []


class Gophercloud:
    """A client for one token: `gophercloud("GET", "/shares/detail")`. `version`: its Microversion;
    "": it names none, which is 2.0."""

    def __init__(self, url: str, token: str, agent: str = AGENT, version: str = "") -> None:
        self._url = url
        self._token = token
        self._agent = agent
        self._version = version

    @classmethod
    def logged_in(
        cls, url: str, user: str, password: str, project: str, agent: str = AGENT
    ) -> Gophercloud:
        """By a password at `/v3`, as it logs in at Keystone; the service is where the catalogue
        says."""
        domain = {"name": "Default"}
        auth = {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": user, "domain": domain, "password": password}},
            },
            "scope": {"project": {"name": project, "domain": domain}},
        }
        request = urllib.request.Request(
            f"{url}/v3/auth/tokens",
            msgspec.json.encode({"auth": auth}),
            {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": agent},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 201
            catalog = msgspec.json.decode(answer.read())["token"]["catalog"]
            token = str(answer.headers["X-Subject-Token"])
        (entry,) = [each for each in catalog if each["type"] == "sharev2"]
        (found,) = [each["url"] for each in entry["endpoints"] if each["interface"] == "public"]
        return cls(str(found).removesuffix("/v2"), token, agent)

    def at(self, version: str) -> Gophercloud:
        """The same client once its Microversion has been set."""
        return Gophercloud(self._url, self._token, self._agent, version)

    def tried(self, method: str, path: str, body: Any = None, base: str = "/v2") -> tuple[int, Any]:
        """Status and body of the answer, whatever they are."""
        headers = {
            "X-Auth-Token": self._token,
            "Accept": "application/json",
            "User-Agent": self._agent,
        }
        if self._version:
            headers["X-OpenStack-Manila-API-Version"] = self._version
            headers["OpenStack-API-Version"] = f"shared-file-system {self._version}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = msgspec.json.encode(body), "application/json"
        request = urllib.request.Request(f"{self._url}{base}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, msgspec.json.decode(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            return refusal.code, msgspec.json.decode(refusal.read() or b"null")

    def __call__(
        self, method: str, path: str, body: Any = None, *takes: int, base: str = "/v2"
    ) -> Any:
        """The body of an answer that gophercloud takes: of a status out of `takes` (none: those of
        the method), of the types of `Answer`."""
        status, answer = self.tried(method, path, body, base)
        assert status in (takes or TAKES[method]), f"{method} {path}: {status} {answer}"
        if answer is not None and base == "/v2":
            msgspec.convert(answer, Answer)
        return answer

    def until(self, path: str, noun: str, wanted: str, *meanwhile: str) -> Any:
        """Ask for the noun at `path` until its status (a rule's: state) is as wanted; one that is
        neither that nor `meanwhile` is an error."""
        found: dict[str, Any] = {}

        def is_there() -> bool:
            found.update(self("GET", path)[noun])
            status = found["state" if noun == "access" else "status"]
            assert status in (wanted, *meanwhile), f"{path}: {status}"
            return bool(status == wanted)

        wait_until(is_there, f"{path} to be {wanted}", 60)
        return found

    def until_gone(self, path: str) -> None:
        """Ask until it is not found."""
        wait_until(lambda: self.tried("GET", path)[0] == 404, f"{path} to go", 60)


def pages(client: Gophercloud, path: str, collection: str, limit: int) -> list[list[Any]]:
    """Its EachPage of shares, snapshots and share networks: it counts on by itself until a page is
    empty, and follows no link."""
    found: list[list[Any]] = []
    while True:
        offset = f"&offset={limit * len(found)}" if found else ""
        page = client("GET", f"{path}?limit={limit}{offset}")[collection]
        if not page:
            return found
        found.append(page)
