"""What the guide about names in DNS says is typed into real DNS servers and into Abaca."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from abaca import config
from abaca.dns.settings import refuse_invalid
from tests import name_server
from tests.contracts.dns.test_dynamic_updates import ONE, names, primary
from tests.name_server import DOMAIN, NameServer

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "dns-names.md"
BLOCKS = re.findall(r"^```\w+\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
_OPTIONS = {
    "named": """
options {{
    directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    pid-file none; session-keyfile none; recursion no;
}};
controls {{ }};
""",
    "knotd": """
server:
    rundir: {folder}
    listen: 127.0.0.1@{port}
database:
    storage: {folder}/db
template:
  - id: default
    storage: {folder}
""",
}
_KNOWN_BY = {"named": "update-policy", "knotd": "action: [transfer, update]"}


def block(words: str) -> str:
    (found,) = [text for text in BLOCKS if words in text]
    return str(found)


class Guided(NameServer):
    """Configured as the guide says; what it says nothing about is where the server listens."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(folder, kind=kind)
        self.key_file = folder / "dns.key"
        make_key = block("tsig-keygen").replace("/etc/abaca", str(folder))
        subprocess.run(["bash", "-ec", make_key], check=True)
        zone = folder / f"{DOMAIN}.zone"
        (folder / "db").mkdir()
        (folder / "zone").rename(zone)
        (secret,) = re.findall(r'secret "(.+)"', self.key_file.read_text())
        text = (
            block(_KNOWN_BY[kind])
            .replace("/etc/bind/abaca.key", str(self.key_file))
            .replace(f"/var/lib/bind/{DOMAIN}.zone", str(zone))
            .replace("the secret from /etc/abaca/dns.key", secret)
        )
        options = _OPTIONS[kind].format(folder=folder, port=self.port)
        (folder / "conf").write_text(options + text)


@pytest.mark.parametrize("kind", _OPTIONS)
def test_a_server_as_the_guide_has_it_takes_the_updates(tmp_path: Path, kind: str) -> None:
    name_server.require(kind)
    server = Guided(tmp_path, kind)
    with server.served():
        outcome = primary(server).publish(lambda: names(one="10.0.0.1 fd00::1"))
        assert outcome == (1, {})
        assert server.addresses(ONE) == ["10.0.0.1", "fd00::1"]


@pytest.mark.parametrize("words", ["key_file = ", "zone_file = ", "networks = "])
def test_the_settings_of_the_guide_are_taken(tmp_path: Path, words: str) -> None:
    text = block(words)
    if "domain" not in text:
        text = text.replace("[dns]", f"[dns]\ndomain = {DOMAIN}\nzone_file = /z\nnameservers = ns1")
    file = tmp_path / "abaca.conf"
    file.write_text(text)
    conf = config.load([str(file)], {"state_dir": str(tmp_path)})
    refuse_invalid(conf)
    assert conf.dns.domain == DOMAIN
