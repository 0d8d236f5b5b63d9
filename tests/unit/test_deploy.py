"""The files in deploy/: what they set, run and ask is what the proxy knows."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy import __version__
from proxy.admin.access import PROBES, ROUTES
from proxy.cli import _parser
from proxy.config import Lifecycle, Listen, Settings, load
from proxy.config.environment import NAMES, near_misses

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
USER = 10001
ADMIN_PORT = Listen().port + 1
SECRET_VARIABLE = "OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE"


def manifests(name: str) -> list[dict[str, Any]]:
    """Return the documents of a Kubernetes file."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))


def pod(name: str) -> dict[str, Any]:
    """Return the pod that a Kubernetes file describes."""
    [found] = [each for each in manifests(name) if each["kind"] in ("Deployment", "Job")]
    return found["spec"]["template"]["spec"]


def sidecar(name: str) -> dict[str, Any]:
    """Return the pod's container that is the proxy."""
    [container] = pod(name)["initContainers"]
    return container


def compose() -> dict[str, Any]:
    """Return the compose file, with its anchors merged."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def unit() -> dict[str, list[str]]:
    """Return the unit's settings by name; a name may stand there several times."""
    lines = (DEPLOY / "systemd" / "okta-proxy.service").read_text().splitlines()
    settings: dict[str, list[str]] = {}
    for name, equals, value in (line.partition("=") for line in lines if not line.startswith("#")):
        if equals:
            settings.setdefault(name, []).append(value)
    return settings


def settings(environ: dict[str, str], tmp_path: Path) -> Settings:
    """Load *environ* as the proxy does, with a secret where its file is expected."""
    secret = tmp_path / "client_secret"
    secret.write_text("a made-up secret\n")
    loaded = load(None, {**environ, SECRET_VARIABLE: str(secret)})
    return loaded.settings


def assert_runs(command: list[str]) -> None:
    """Assert that *command* is one that the command line takes."""
    assert command[0] == "okta-proxy"
    _parser().parse_args(command[1:])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_exists(path: Path) -> None:
    """Each OKTA_PROXY_ name, also one in a comment, is a key's; none is a slip."""
    names = set(re.findall(r"OKTA_PROXY_\w+", path.read_text()))
    assert names <= set(NAMES)
    assert near_misses(dict.fromkeys(names, "x")) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_address_and_path_exists(path: Path) -> None:
    """Each URL on localhost has a port that the proxy has by default, and an admin path that there is."""
    for port, route in re.findall(r"http://localhost:(\d+)(/\w+)?", path.read_text()):
        assert int(port) in (Listen().port, ADMIN_PORT)
        assert route == "" or (int(port) == ADMIN_PORT and route in ROUTES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_image_is_this_version(path: Path) -> None:
    """The image's tag and the wheel's name have the version of this tree."""
    for version in re.findall(r"okta[-_]proxy[:-](\d+\.\d+\.\d+)", path.read_text()):
        assert version == __version__


@pytest.mark.parametrize("name", ["okta-proxy", "published"])
def test_the_compose_service_configures_the_proxy(name: str, tmp_path: Path) -> None:
    """A compose service's environment is a complete configuration, and its secret stands where it says."""
    service = compose()["services"][name]
    configured = settings(service["environment"], tmp_path)
    assert configured.listen.allow_remote is (name == "published")
    assert service["environment"][SECRET_VARIABLE] == "/run/secrets/" + service["secrets"][0]
    assert service["secrets"][0] in compose()["secrets"]


@pytest.mark.parametrize("name", ["okta-proxy", "published"])
def test_the_compose_service_is_hardened_and_checked(name: str) -> None:
    """It runs with nothing writable and no capability, is asked for its health, and may drain before it is killed."""
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert_runs(service["healthcheck"]["test"][1:])
    assert int(service["stop_grace_period"].removesuffix("s")) > Lifecycle().drain


def test_the_compose_sidecar_is_reached_by_its_app_only() -> None:
    """The app shares the proxy's loopback and starts when the proxy serves; nothing is published to the network."""
    services = compose()["services"]
    assert services["app"]["network_mode"] == "service:okta-proxy"
    assert services["app"]["depends_on"]["okta-proxy"]["condition"] == "service_healthy"
    assert "ports" not in services["okta-proxy"]
    assert services["published"]["ports"] == [f"127.0.0.1:{Listen().port}:{Listen().port}"]


def test_the_pod_configures_the_proxy(tmp_path: Path) -> None:
    """The ConfigMap is a complete configuration, and the Secret's key is the file that it names."""
    [config] = [each for each in manifests("sidecar.yaml") if each["kind"] == "ConfigMap"]
    settings(config["data"], tmp_path)
    [mount] = sidecar("sidecar.yaml")["volumeMounts"]
    assert config["data"][SECRET_VARIABLE] == f"{mount['mountPath']}/client_secret"


@pytest.mark.parametrize("name", ["sidecar.yaml", "job.yaml"])
def test_the_pod_has_a_native_sidecar(name: str) -> None:
    """The proxy is an init container that goes on running, so it starts before the app and never keeps a Job alive."""
    container = sidecar(name)
    assert container["restartPolicy"] == "Always"
    assert container["envFrom"] == [{"configMapRef": {"name": manifests("sidecar.yaml")[0]["metadata"]["name"]}}]
    assert pod(name)["terminationGracePeriodSeconds"] > Lifecycle().drain


@pytest.mark.parametrize("name", ["sidecar.yaml", "job.yaml"])
def test_the_pod_is_hardened(name: str) -> None:
    """It runs as the image's user, with nothing writable, no capability, and the secret for itself."""
    container = sidecar(name)
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    [mount] = container["volumeMounts"]
    [volume] = pod(name)["volumes"]
    assert mount["name"] == volume["name"]
    assert mount["readOnly"] is True
    assert "volumeMounts" not in pod(name)["containers"][0]


@pytest.mark.parametrize("name", ["sidecar.yaml", "job.yaml"])
def test_the_probes_ask_what_there_is(name: str) -> None:
    """Each probe's command exists, and has more time than the command takes for a no."""
    container = sidecar(name)
    probes = [container[key] for key in container if key.endswith("Probe")]
    assert probes
    for probe in probes:
        assert_runs(probe["exec"]["command"])
        assert probe["timeoutSeconds"] > 2


def test_an_outage_of_okta_neither_restarts_nor_blocks_a_pod() -> None:
    """What restarts the proxy or holds the app back asks `health`; only readiness asks for a token."""
    container = sidecar("sidecar.yaml")
    commands = {key: container[key]["exec"]["command"][1] for key in container if key.endswith("Probe")}
    assert commands == {"startupProbe": "health", "readinessProbe": "wait", "livenessProbe": "health"}


def test_what_stands_in_comments_for_probes_by_http() -> None:
    """The paths and the port named for kubelet and Prometheus are those that remote peers may ask for."""
    text = (DEPLOY / "kubernetes" / "sidecar.yaml").read_text()
    asked = re.findall(r"httpGet: \{path: (/\w+), port: (\d+)\}", text)
    assert asked == [("/livez", str(ADMIN_PORT)), ("/readyz", str(ADMIN_PORT))]
    assert {path for path, _ in asked} <= PROBES
    assert f'prometheus.io/port: "{ADMIN_PORT}"' in text


def test_the_unit_runs_what_there_is() -> None:
    """The commands exist, a failed wait does not fail the start, and a wrong configuration is not tried for ever."""
    for name in ("ExecStart", "ExecStartPost"):
        [line] = unit()[name]
        program, *arguments = shlex.split(line.removeprefix("-"))
        assert_runs([Path(program).name, *arguments])
    assert unit()["ExecStartPost"][0].startswith("-")
    assert unit()["RestartPreventExitStatus"] == ["2"]
    assert int(unit()["TimeoutStopSec"][0].removesuffix("s")) > Lifecycle().drain


def test_the_unit_passes_the_secret_as_a_credential() -> None:
    """The secret is handed to a user that owns nothing; it is in no environment and no world-readable file."""
    [credential] = unit()["LoadCredential"]
    assert f"{SECRET_VARIABLE}=%d/{credential.partition(':')[0]}" in unit()["Environment"]
    assert unit()["DynamicUser"] == ["yes"]


def test_the_unit_is_hardened() -> None:
    """Nothing is writable, no privilege can be had, and the network, name services included, is all that is left."""
    expected = {
        "NoNewPrivileges": ["yes"],
        "CapabilityBoundingSet": [""],
        "ProtectSystem": ["strict"],
        "ProtectHome": ["yes"],
        "PrivateDevices": ["yes"],
        "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_NETLINK AF_UNIX"],
        "SystemCallFilter": ["@system-service", "~@privileged"],
        "LimitCORE": ["0"],
    }
    assert {name: unit()[name] for name in expected} == expected
