"""The Dockerfile and what may get into the image, as far as text can tell; .ci/run does what its first stage does."""

import json
import re
from pathlib import Path

import pytest

from proxy.cli import _parser
from proxy.config import Listen

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

Instruction = tuple[str, str]


def stages() -> list[list[Instruction]]:
    """Return each stage's instructions (name and rest, continued lines joined), its FROM first."""
    lines = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]
    found: list[list[Instruction]] = []
    for line in lines:
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest.strip()))
    return found


def values(stage: list[Instruction], name: str) -> list[str]:
    """Return what follows each *name* of *stage*."""
    return [rest for instruction, rest in stage if instruction == name]


def commands(stage: list[Instruction]) -> list[list[str]]:
    """Return the commands that *stage* runs; each is in the exec form."""
    return [json.loads(rest) for rest in values(stage, "RUN")]


@pytest.fixture
def builder() -> list[Instruction]:
    """Give the stage that installs."""
    return stages()[0]


@pytest.fixture
def final() -> list[Instruction]:
    """Give the stage that ships."""
    return stages()[1]


def test_there_are_two_stages_on_one_base() -> None:
    """What builds does not ship; both stages have the same Python, whose paths the virtual environment holds."""
    bases = [values(stage, "FROM")[0].split()[0] for stage in stages()]
    assert len(bases) == 2
    assert bases[0] == bases[1]
    assert re.fullmatch(r"python:3\.1[1-9]-slim", bases[0])


def test_the_dependencies_are_installed_by_hash_as_wheels(builder) -> None:
    """Whatever pip installs is either checked by its hash and not built here, or our own wheel without an index."""
    installs = [command for command in commands(builder) if "install" in command]
    assert len(installs) == 3
    for command in installs:
        locked = {"--require-hashes", "--only-binary"} <= set(command)
        ours = {"--no-index", "--no-deps", "okta-proxy"} <= set(command)
        assert locked or ours
    assert [command[-1] for command in installs] == ["requirements.txt", "requirements-build.txt", "okta-proxy"]


def test_the_build_has_what_it_copies(builder) -> None:
    """Each path that is copied exists, and .dockerignore lets it through."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [path for rest in values(builder, "COPY") for path in rest.split()[:-1]]
    assert sorted(copied) == sorted(allowed)
    for path in copied:
        assert (ROOT / path).exists(), path


def test_no_secret_gets_into_the_build() -> None:
    """All that is not named is kept out, config.yaml and secret files included."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert patterns[0] == "*"
    assert not any("config" in pattern or "secret" in pattern for pattern in patterns)


def test_it_runs_as_a_number_that_is_not_root(final) -> None:
    """The user is numeric and high, so that `runAsNonRoot` can be checked and no user of the host is meant."""
    assert values(final, "USER") == ["10001:10001"]
    names = [name for name, _ in final]
    assert "RUN" not in names[names.index("USER") :]


def test_it_needs_no_shell(final) -> None:
    """Every command is in the exec form: signals reach the proxy, and a shell could be left out."""
    assert json.loads(values(final, "ENTRYPOINT")[0]) == ["okta-proxy"]
    assert json.loads(values(final, "CMD")[0]) == ["run"]
    [check] = values(final, "HEALTHCHECK")
    health = json.loads(check[check.index("CMD ") + 4 :])
    assert health == ["okta-proxy", "health"]
    _parser().parse_args(health[1:])
    assert values(final, "STOPSIGNAL") == ["SIGTERM"]


def test_it_writes_nothing(final) -> None:
    """With a read-only file system Python tries to write no bytecode; it is there already."""
    [environment] = values(final, "ENV")
    assert "PYTHONDONTWRITEBYTECODE=1" in environment.split()
    assert any("--compile" in command for command in commands(stages()[0]))
    assert "VOLUME" not in [name for name, _ in final]


def test_the_command_is_on_the_path(final) -> None:
    """The virtual environment is copied to where it was made, and its commands come first."""
    assert values(final, "COPY") == ["--from=builder /opt/okta-proxy /opt/okta-proxy"]
    assert "PATH=/opt/okta-proxy/bin:" in values(final, "ENV")[0]


def test_it_has_certificate_authorities_and_no_installer(final) -> None:
    """The build stops if the base has no CA certificates; pip and set-user-id programs are gone."""
    run = commands(final)
    assert ["test", "-s", "/etc/ssl/certs/ca-certificates.crt"] in run
    assert any(command[2:4] == ["pip", "uninstall"] for command in run)
    assert any("/6000" in command for command in run)


def test_the_ports_are_the_defaults(final) -> None:
    """The documented ports are those of the configuration."""
    assert values(final, "EXPOSE") == [f"{Listen().port} {Listen().port + 1}"]


def test_no_secret_is_in_the_environment() -> None:
    """Neither stage has a variable or an argument for a secret: they would stay in the image's history."""
    for stage in stages():
        assert values(stage, "ARG") == []
        assert not any("SECRET" in rest.upper() for rest in values(stage, "ENV"))
