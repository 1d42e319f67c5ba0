"""What the API answers below /ui/: the files of the page, for everybody."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from falcon import testing
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.api.page import serving

FILES = ("", "page.css", "main.js", "icon.svg", "settings.json", "vendor/preact.mjs")


@pytest.fixture
def client(conf: cfg.ConfigOpts, engine: Engine) -> testing.TestClient:
    return testing.TestClient(create_app(conf, engine))


@pytest.mark.parametrize("name", FILES)
def test_each_answer_says_what_a_browser_may_do_with_it(
    client: testing.TestClient, name: str
) -> None:
    answer = client.simulate_get(f"/ui/{name}")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "set-cookie" not in answer.headers


def test_who_has_a_file_is_not_sent_it_again(client: testing.TestClient) -> None:
    first = client.simulate_get("/ui/main.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = client.simulate_get("/ui/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    other = client.simulate_get("/ui/main.js", headers={"If-None-Match": '"other"'})
    assert other.content == first.content


def test_the_page_is_below_a_slash(client: testing.TestClient) -> None:
    answer = client.simulate_get("/ui")
    assert (answer.status_code, answer.headers["location"]) == (308, "/ui/")


def test_the_settings_tell_how_one_logs_in_and_nothing_else(client: testing.TestClient) -> None:
    assert json.loads(client.simulate_get("/ui/settings.json").content) == {
        "auth_strategy": "noauth"
    }


@pytest.mark.parametrize(
    "path", ["/ui/../app.py", "/ui/%2e%2e/serving.py", "/ui/vendor/", "/ui/serving.py", "/ui//"]
)
def test_nothing_else_is_served(client: testing.TestClient, path: str) -> None:
    assert client.simulate_get(path).status_code in (401, 404)


def test_only_reading(client: testing.TestClient) -> None:
    assert client.simulate_post("/ui/", headers={"X-Auth-Token": "a:b"}).status_code == 405


def test_it_can_be_switched_off(conf: cfg.ConfigOpts, engine: Engine) -> None:
    conf.set_override("page", False, "api")
    client = testing.TestClient(create_app(conf, engine))
    assert {client.simulate_get(path).status_code for path in serving.paths()} == {404}


def test_the_markup_holds_no_script_of_its_own(client: testing.TestClient) -> None:
    """A policy without 'unsafe-inline' would stop it."""
    found: list[tuple[str, dict[str, str | None]]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Parser().feed(client.simulate_get("/ui/").text)
    assert [attributes.get("src") for tag, attributes in found if tag == "script"] == ["main.js"]
    assert not [tag for tag, _ in found if tag == "style"]
    assert not [name for _, attributes in found for name in attributes if name.startswith("on")]
