"""What is wrong with a configuration is told at once, by every command, before it begins: by name,
place and what is meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from oslo_policy import policy

from abaca import options
from abaca.admin import cli, manage
from abaca.admin.configuration import check, names
from abaca.admin.configuration.given import in_files
from abaca.admin.settings import Refused, Settings
from abaca.db.encryption import new_key

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run(text, *command, **environment)`: a command with that configuration file, and nothing
    else set."""

    def do(text: str, *command: str, program: object = cli.main, **environment: str) -> Result:
        file = tmp_path / "abaca.conf"
        file.write_text(text)
        arguments = ["--config-file", str(file), "--state-dir", str(tmp_path / "state")]
        return CliRunner(env=environment).invoke(
            program,  # type: ignore[arg-type]
            [*(command or ("config", "check")), *arguments],
            color=True,
        )

    return do


def sentences(result: Result) -> list[str]:
    """What `config check` says, without the path of the file."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    lines = result.output.split("\n\n")[0].splitlines()
    return [line.partition("abaca.conf: ")[2] or line for line in lines]


def test_what_is_right_is_right(run: Run) -> None:
    text = (
        "[DEFAULT]\nenabled_share_backends = one\n[API]\nport = 9000\n[one]\nshare_driver = "
        "fake\npools = a:10\n[oslo_policy]\n"
    )
    result = run(text)
    assert (result.output, result.exit_code) == ("The configuration is valid.\n", 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[DEFAULT]\nnetwrok_plugin = local",
            "[DEFAULT] netwrok_plugin: there is no such option. Did you mean network_plugin?",
        ),
        (
            "[DEFAULT]\nenabled_share_backend = one",
            "[DEFAULT] enabled_share_backend: there is no such option. Did you mean "
            "enabled_share_backends?",
        ),
        ("[api]\nprot = 1", "[api] prot: there is no such option. Did you mean port?"),
        (
            "[DEFAULT]\nprot = 1",
            "[DEFAULT] prot: there is no such option. Did you mean [api] port?",
        ),
        (
            "[DEFAULT]\nauth_strategy = noauth",
            "[DEFAULT] auth_strategy: there is no such option. Did you mean [api] auth_strategy?",
        ),
        ("[api]\nPort = 1", "[api] Port: there is no such option. Did you mean port?"),
        ("[api]\nquuxly = 1", "[api] quuxly: there is no such option."),
        (
            "[DEFAULT]\nosapi_share_listen_port = 1",
            "[DEFAULT] osapi_share_listen_port: there is no such option; it is Manila's, and "
            "called [api] port here.",
        ),
        ("[DEFAULT]\nconfig_source = x", "[DEFAULT] config_source: there is no such option."),
        (
            "[wroker]\nconcurrency = 1\nlease_seconds = 9",
            "[wroker]: there is no such section. Did you mean [worker]?",
        ),
        ("[oslo_messaging_rabbit]", "[oslo_messaging_rabbit]: there is no such section."),
        ("[linx]\npool_path = /srv", "[linx]: there is no such section. Did you mean [linux]?"),
        (
            "[oslo_policy]\npolicyfile = x",
            "[oslo_policy] policyfile: there is no such option. Did you mean policy_file?",
        ),
        (
            "[linux]\nmax_conections = 4",
            "[linux] max_conections: there is no such option. Did you mean max_connections?",
        ),
        ("[local]\nsubnets = 4", "[local] subnets: there is no such option."),
    ],
)
def test_what_there_is_not_is_told_with_what_was_meant(run: Run, text: str, said: str) -> None:
    result = run(text)
    assert (sentences(result), result.exit_code) == ([said], 1)


DNS = "[dns]\ndomain = nfs.example.org\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DNS, "[dns] domain is set, but neither zone_file nor server: names go nowhere."),
        (
            "[dns]\nzone_file = /var/zone\n",
            "[dns] zone_file is set, but not domain: which names are meant?",
        ),
        (
            f"{DNS}zone_file = /var/zone\n",
            "[dns] zone_file needs nameservers: a zone names its servers.",
        ),
        (f"{DNS}server = 192.0.2.1\n", "[dns] server needs key_file: updates are signed."),
        (
            f"{DNS}server = 192.0.2.1\nkey_file = /nowhere\nzone = example.net\n",
            "[dns] domain = nfs.example.org is not in zone = example.net.",
        ),
        (
            f"{DNS}server = 192.0.2.1\nkey_file = /nowhere\n",
            "[dns] key_file: the key file /nowhere cannot be read: [Errno 2] No such file or "
            "directory: '/nowhere'.",
        ),
        (
            f"{DNS}zone_file = /var/zone\nnameservers = ns1.example.org\nnetworks = 10.0.0.1/8\n",
            "[dns] networks: 10.0.0.1/8 has host bits set.",
        ),
        (
            f"{DNS}server = ns1.example.org\nkey_file = /nowhere\n",
            "[dns] server = ns1.example.org: an IP address is expected.",
        ),
        (
            "[dns]\ndomain = NFS.example.org\n",
            "[dns] domain = NFS.example.org: a domain name in lower case of at most 120 characters "
            "is expected.",
        ),
    ],
)
def test_names_in_dns_that_make_no_sense_are_told(run: Run, text: str, said: str) -> None:
    result = run(text)
    assert (sentences(result)[0], result.exit_code) == (said, 1)


def test_names_in_a_zone_file_are_a_valid_configuration(run: Run) -> None:
    result = run(f"{DNS}zone_file = /var/zone\nnameservers = ns1.example.org, ns2.example.org\n")
    assert (result.output, result.exit_code) == ("The configuration is valid.\n", 0)


BACK_END = "[DEFAULT]\nenabled_share_backends = {}\n[one]\nshare_driver = {}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[api]\nport = abc", "[api] port = abc: a whole number from 1 to 65535 is expected."),
        ("[api]\nport = 0", "[api] port = 0: a whole number from 1 to 65535 is expected."),
        (
            "[api]\nport =",
            "[api] port =: a whole number from 1 to 65535 is expected; without the line, it is "
            "the default, 8786.",
        ),
        (
            "[worker]\npoll_interval = soon",
            "[worker] poll_interval = soon: a number, 0.005 or more, is expected.",
        ),
        (
            f"[limits]\nwaiting_work = {10**23}",
            f"[limits] waiting_work = {10**23}: a whole number from -1 to 2147483647 is expected.",
        ),
        (
            f"[quota]\nshares = {10**23}",
            f"[quota] shares = {10**23}: a whole number from -1 to 2147483647 is expected.",
        ),
        (
            "[api]\nallow_cleartext = perhaps",
            "[api] allow_cleartext = perhaps: true or false is expected.",
        ),
        (
            "[api]\nauth_strategy = keyston",
            "[api] auth_strategy = keyston: one of http_basic, keystone, noauth is expected.",
        ),
        ("[api]\nlisten = a b", "[api] listen = a b: an IP address or a host name is expected."),
        (
            "[api]\npublic_endpoint = here",
            "[api] public_endpoint = here: a URL of http or https is expected.",
        ),
        (
            "[DEFAULT]\nhost = a/b",
            "[DEFAULT] host = a/b: a name of letters, digits, '.', '-' and '_' is expected.",
        ),
        (
            "[database]\nconnection = sqlite:///$x",
            "[database] connection = (not shown): there is no option to put in place of $…; write "
            "$$ for a $.",
        ),
        (
            "[database]\nconnection = postgresql://u:geheim@h/d",
            "[database] connection begins with postgresql://: sqlite:// and postgresql+psycopg:// "
            "are served.",
        ),
        ("[database]\nconnection = geheim", "[database] connection is not a URL"),
        ("[database]\nconnection = sqlite://", "[database] connection names no file"),
        ("[api]\ntrusted_proxies = here", "[api] trusted_proxies: "),
        (
            "[api]\nlisten = 0.0.0.0\nauth_strategy = noauth",
            "[api] auth_strategy = noauth accepts anybody",
        ),
        (
            "[api]\ncertificate_names = a b",
            "[api] certificate_names = a b: a list of IP addresses or host names, separated by",
        ),
        (
            "[DEFAULT]\nnetwork_plugin = neutrn",
            "[DEFAULT] network_plugin = neutrn: there is none of that name here. Did you mean "
            "neutron? There are: local, neutron.",
        ),
        (
            BACK_END.format("one, two", "fake"),
            "[DEFAULT] enabled_share_backends names two, and there is no section [two]. It needs "
            "share_driver: one of fake, linux.",
        ),
        (
            BACK_END.format("on", "fake"),
            "[DEFAULT] enabled_share_backends names on, and there is no section [on]. Did you "
            "mean one?",
        ),
        (
            BACK_END.format("one, api", "fake"),
            "[DEFAULT] enabled_share_backends names api, which cannot be the name of a back end",
        ),
        (
            BACK_END.format("one", "linx"),
            "[one] share_driver = linx: there is none of that name here. Did you mean linux? "
            "There are: fake, linux.",
        ),
        (
            BACK_END.format("one", "fake\npools = many"),
            "[one]: The option pools of the fake back end cannot be 'many'.",
        ),
        (
            BACK_END.format("one", "linux\nmax_connections = many"),
            "[one]: option max_connections must be a number from 1 to 10000, not 'many'",
        ),
        (
            BACK_END.format("", "fake"),
            "[one] is not served: no back end is enabled. Set [DEFAULT] enabled_share_backends = "
            "one, or remove it.",
        ),
        (
            "[oslo_policy]\npolicy_file = /nowhere.yaml",
            "[oslo_policy] policy_file = /nowhere.yaml: there is no such file (/nowhere.yaml).",
        ),
        (
            "[api]\nssl_certificate = /nowhere.pem\nssl_key = /nowhere.key",
            "[api] ssl_certificate = /nowhere.pem and ssl_key = /nowhere.key cannot be used: ",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Run, text: str, said: str) -> None:
    result = run(text)
    told = [line for line in sentences(result) if not line.startswith("warning: ")]
    (line,) = told
    assert line.startswith(said) and result.exit_code == 1 and "geheim" not in result.output


def test_a_value_steers_no_terminal(run: Run) -> None:
    (line,) = sentences(run(f"[api]\nport = \x1b[2J{'9' * 100}\n"))
    assert line == f"[api] port = \\x1b[2J{'9' * 53}…: a whole number from 1 to 65535 is expected."


@pytest.mark.parametrize(
    "text",
    [
        "[\x1b[2J]\na = 1",
        "[api]\n\x1b[2J = 1",
        "[DEFAULT]\nenabled_share_backends = \x1b[2J",
        "[DEFAULT]\nnetwork_plugin = \x1b[2J",
        "[oslo_policy]\npolicy_file = /\x1b[2J",
        "[api]\nssl_certificate = /\x1b[2J\nssl_key = /\x1b[2J",
        "[api]\nhttp_basic_auth_user_file = /\x1b[2J/users",
    ],
)
@pytest.mark.parametrize("command", [("config", "check"), ("user", "list")])
def test_nor_does_anything_else_that_a_file_holds(
    run: Run, text: str, command: tuple[str, ...]
) -> None:
    result = run(text, *command)
    assert all(character.isprintable() or character == "\n" for character in result.output), (
        result.output
    )


@pytest.mark.parametrize(
    "text",
    [
        "[neutron]\npassword geheim",
        "[database]\nconnection postgresql+psycopg://abaca:geheim@db/abaca",
        "[database]\nconnection geheim = x",
        "[database]\nconnection =\nzusammen\n  geheim\n",
        "  connection = postgresql+psycopg://abaca:geheim@db/abaca",
        "connection = postgresql+psycopg://abaca:geheim@db/abaca",
        "[database\nconnection = postgresql+psycopg://abaca:geheim@db/abaca",
        "[database]\nconnection = postgresql+psycopg://abaca:ge$heim@db/abaca",
        "[database]\nconnection = postgresql+psycopg://abaca:geheim@db:port/abaca",
    ],
)
def test_a_line_that_is_none_shows_no_password(run: Run, text: str) -> None:
    result = run(text)
    assert result.exit_code == 1 and "heim" not in result.output, result.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 9", "line 1: it must be inside a section, for example [DEFAULT]."),
        ("[api]\nport", "line 2: option = value is expected."),
        ("[api\nport = 9", "line 1: the name of a section ends with ]."),
    ],
)
def test_a_file_that_is_none_is_told_with_the_number_of_the_line(
    run: Run, text: str, said: str
) -> None:
    assert sentences(run(text)) == [said]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "abaca.conf").write_bytes(b"[api]\nport = \xff\n")
    assert in_files([str(tmp_path / "abaca.conf")])[1] == [
        f"{tmp_path}/abaca.conf: this is not text in UTF-8 (byte 13)."
    ]


def test_everything_is_told_at_once(run: Run) -> None:
    """A whole manila.conf, with a value that does not parse and options of others."""
    manila = (
        "[DEFAULT]\nenabled_share_backends = gen\nenabled_share_protocols = "
        "NFS,CIFS\ntransport_url = rabbit://x\nauth_strategy = keystone\n"
        "osapi_share_listen = 0.0.0.0\napi_paste_config = "
        "/etc/manila/api-paste.ini\n[database]\nconnection = mysql+pymysql://m:geheim@db/manila\n"
        "[keystone_authtoken]\nusername = manila\n[oslo_concurrency]\nlock_path = "
        "/tmp\n[worker]\nconcurrency = x\n"
        "[gen]\nshare_driver = "
        "manila.share.drivers.generic.GenericShareDriver\nshare_backend_name = "
        "GEN\ndriver_handles_share_servers = True\n"
    )
    told = "\n".join(sentences(run(manila)))
    for part in (
        "enabled_share_protocols: there is no such option; it is Manila's, and nothing here needs "
        "it.",
        "auth_strategy: there is no such option. Did you mean [api] auth_strategy?",
        "osapi_share_listen: there is no such option; it is Manila's, and called [api] listen "
        "here.",
        "connection begins with mysql+pymysql://",
        "[oslo_concurrency]: there is no such section.",
        "[worker] concurrency = x",
        "share_driver = manila.share.drivers.generic.GenericShareDriver: there is none of that "
        "name here.",
        "warning: [keystone_authtoken] is not used",
    ):
        assert part in told
    assert "geheim" not in told


def test_the_environment_counts(run: Run) -> None:
    result = run(
        "[api]\nport = 9000\n",
        OS_API__PROT="1",
        OS_API__WORKERS="x",
        OS_WROKER__CONCURRENCY="1",
        OS_NOVA__HOST="n",
        OS_AUTH_URL="u",
    )
    assert sorted(sentences(result)) == [
        "environment variable OS_API__PROT: [api] prot: there is no such option. Did you mean "
        "port?",
        "environment variable OS_API__WORKERS: [api] workers = x: a whole number, 1 or more, is "
        "expected.",
        "environment variable OS_WROKER__CONCURRENCY: [wroker]: there is no such section. Did you "
        "mean [worker]?",
    ]


def test_a_folder_of_files_counts_in_the_order_of_names(tmp_path: Path) -> None:
    for name, text in (
        ("10.conf", "[api]\nport = 1\n"),
        ("20.conf", "[api]\nport = 2\n"),
        ("30.conf.off", "[api]\nport = 3\n"),
    ):
        (tmp_path / name).write_text(text)
    settings = Settings((), (str(tmp_path),), str(tmp_path / "state"), False)
    assert settings.load().api.port == 2
    (tmp_path / "20.conf").write_text("[api]\nport = two\n")
    with pytest.raises(Refused, match=r"20\.conf: \[api\] port = two: a whole number"):
        settings.load()


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        ("", True),
        ("[local]\nvni_ranges = 1000:1999\n", False),
        ("[local]\ntenant_network_types = local\n", False),
    ],
    ids=["default", "ranges", "no VXLAN"],
)
def test_tunnels_with_ids_of_others_are_odd(run: Run, more: str, is_told: bool) -> None:
    tunnels = "vxlan_local_address = 198.18.0.1\nvxlan_remotes = 198.18.0.2\n"
    result = run(
        "[DEFAULT]\nenabled_share_backends = one\n[one]\nshare_driver = linux\n" + tunnels + more
    )
    assert result.exit_code == 0
    said = "[one] vxlan_local_address is set and [local] vni_ranges is not" in result.output
    assert said is is_told, result.output


def test_what_is_only_odd_is_a_warning(run: Run) -> None:
    text = (
        "[DEFAULT]\nenabled_share_backends = one\nservice_down_time = "
        "4\n[api]\ncredential_cache_seconds = 9\n"
        "[one]\nshare_driver = fake\n[two]\nshare_driver = fake\nwhatever = "
        "1\n[neutron]\nauth_url = http://x\n[keystone_authtoken]\nx = 1\n"
    )
    result = run(text)
    assert result.exit_code == 0
    for part in (
        "[api] credential_cache_seconds no longer has any effect",
        "[two] is not served: [DEFAULT] enabled_share_backends names one.",
        "[neutron] is not used: [DEFAULT] network_plugin is local.",
        "[keystone_authtoken] is not used: [api] auth_strategy is http_basic",
        "service_down_time = 4 is not more than [worker] report_interval = 5",
    ):
        assert part in result.output
    assert result.output.count("warning: ") == 5


COMMANDS = [
    ("init",),
    ("serve",),
    ("api",),
    ("worker",),
    ("user", "list"),
    ("config", "check"),
    ("doctor",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_and_makes_nothing(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = run("[api]\nprot = 1\nworkers = x\n", *command)
    assert "[api] prot: there is no such option. Did you mean port?" in result.output
    assert "[api] workers = x: a whole number" in result.output
    assert result.exit_code == (1 if command in (("config", "check"), ("doctor",)) else 78)
    assert isinstance(result.exception, SystemExit) and not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "command", [("db", "sync"), ("db", "version"), ("service", "list")], ids=" ".join
)
def test_so_does_the_other_program(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run("[api]\nprot = 1\n", *command, program=manage.main)
    assert (
        result.exit_code == 78
        and "Did you mean port?" in result.output
        and not (tmp_path / "state").exists()
    )


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("api",)], ids=" ".join)
def test_options_of_a_driver_are_looked_at_by_whoever_serves(
    run: Run, command: tuple[str, ...]
) -> None:
    result = run(
        "[DEFAULT]\nenabled_share_backends = one\n[one]\nshare_driver = linux\nmax_conections = "
        "4\n",
        *command,
    )
    assert result.exit_code == 78 and "Did you mean max_connections?" in result.output


def test_a_driver_that_is_not_installed_stops_no_api(tmp_path: Path) -> None:
    """It serves without: the packages of drivers are needed where workers are."""
    (tmp_path / "abaca.conf").write_text(
        "[DEFAULT]\nenabled_share_backends = one\n[one]\nshare_driver = acme\nwhatever = 1\n"
    )
    conf = Settings((str(tmp_path / "abaca.conf"),), (), str(tmp_path / "state"), False).read()
    found = check.settings_in_own_process(conf)
    assert (
        found.errors == []
        and "share_driver = acme: there is none of that name here" in found.warnings[0]
    )
    assert any("share_driver = acme" in text for text in check.settings(conf).errors)


def test_values_of_the_command_line_are_judged_too(run: Run) -> None:
    result = run("", "serve", "--listen", "a b")
    assert (
        result.exit_code == 78 and "command line: a b is not a valid host address." in result.output
    )


def test_options_that_are_gone_are_gone_and_manilas_names_lead_somewhere() -> None:
    known = {
        f"[{section}] {option.dest}"
        for section, found in options.SECTIONS.items()
        for option in found
    } | {"[oslo_policy] policy_file"}
    assert not {f"[{section}] {name}" for section, name in names.GONE} & known
    for target in filter(None, names.ELSEWHERE.values()):
        assert (
            target in known
            or f"[DEFAULT] {target.partition(' =')[0]}" in known
            or target == "the name of the section"
        )
    assert not names.ELSEWHERE.keys() & {option.dest for option in options.DEFAULT_OPTIONS}


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '"share:craete": "rule:admin"\n',
            "there is no rule share:craete, and no other rule refers to it. Did you mean "
            "share:create?",
        ),
        (
            '"share:create": "rule:admn"\n',
            "share:create refers to rule:admn, which does not exist. Did you mean admin?",
        ),
        ('"share:create": "role:x and"\n', 'share:create: "role:x and" cannot be understood'),
        ('"share:create": true\n', "the value of share:create is not text: put it in quotes."),
        ("- rule\n", "rules are expected, a line each"),
        ('"share:create": "rule:admin"\n  x: [\n', "line 2: this is not YAML"),
    ],
)
def test_a_policy_file_that_is_wrong_is_told_by_rule(
    run: Run, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    (line,) = sentences(run(f"[oslo_policy]\npolicy_file = {tmp_path}/policy.yaml\n"))
    assert line.startswith(f"{tmp_path}/policy.yaml: {said}")


def test_rules_of_ones_own_may_be_referred_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        '"auditor": "role:auditor"\n"share_server:index": "rule:admin or '
        'rule:auditor"\n"share:delete": "!"\n'
    )
    assert run(f"[oslo_policy]\npolicy_file = {tmp_path}/policy.yaml\n").exit_code == 0
    assert str(policy.RuleDefault("x", "!").check) == "!"


@pytest.mark.parametrize(
    ("option", "content", "mode", "said"),
    [
        ("[DEFAULT]\nkey_file", "no key\n", 0o600, "this is not a key file"),
        ("[DEFAULT]\nkey_file", "", 0o600, "this is not a key file"),
        ("[DEFAULT]\nkey_file", "a key", 0o644, "chmod 640"),
        (
            "[api]\nhttp_basic_auth_user_file",
            "mary:x\n",
            0o600,
            "line 1 is not of the form user:bcrypt-hash:project:role[,role]",
        ),
    ],
)
def test_files_with_secrets_that_are_none(
    run: Run, tmp_path: Path, option: str, content: str, mode: int, said: str
) -> None:
    file = tmp_path / "file"
    file.write_text(new_key() if content == "a key" else content)
    os.chmod(file, mode)
    (line,) = sentences(run(f"{option} = {file}\n"))
    assert str(file) in line and said in line


NAMED_FILES = {
    "key": "[DEFAULT]\nkey_file = {}",
    "users": "[api]\nhttp_basic_auth_user_file = {}",
    "policy": "[oslo_policy]\npolicy_file = {}",
    "certificate": "[api]\nssl_certificate = {}\nssl_key = /nowhere.key",
    "private key": f"[api]\nssl_certificate = {__file__}\nssl_key = {{}}",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", NAMED_FILES)
def test_a_named_file_that_is_none_holds_nobody_up(run: Run, tmp_path: Path, kind: str) -> None:
    """To open a FIFO is to wait for whoever writes to it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    result = run(NAMED_FILES[kind].format(fifo))
    assert f"{fifo} is not a regular file." in result.output and result.exit_code == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", [("config", "check"), ("user", "list")])
def test_nor_does_a_configuration_file_that_is_none(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    os.mkfifo(tmp_path / "abaca.conf")
    result = CliRunner().invoke(cli.main, [*command, "--config-dir", str(tmp_path)])
    assert f"{tmp_path}/abaca.conf is not a regular file." in result.output and result.exit_code


@pytest.mark.timeout(120)
def test_nor_do_the_users_when_they_are_listed(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "users")
    result = run(NAMED_FILES["users"].format(tmp_path / "users"), "user", "list")
    assert "users is not a regular file." in result.output and result.exit_code == 1
