"""
What the client authenticates with: which keys of `oauth` go together, and whether the files that they name are of use.

As everywhere in the rules, a value that failed its own check is absent and what needs it is silent.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proxy.config.permissions import exposure
from proxy.config.settings import Assertion

if TYPE_CHECKING:
    from proxy.config.key_forms import KeyProblem

Values = Mapping[str, Any]

SECRETS = ("oauth.client_secret", "oauth.client_secret_file", "oauth.client_secret_command")
PRIVATE_KEYS = ("oauth.private_key", "oauth.private_key_file")
LEAST_SECRET = 32
"""Characters of a secret that signs (RFC 7518 3.2, and Okta's own limit)."""
_OF_KEYS = ("oauth.private_key_id", "oauth.private_key_passphrase_file")


def problems(values: Values, empty: frozenset[str]) -> Iterator[str]:
    """Yield what is wrong with the credentials."""
    scheme = values.get("inject.scheme")
    if values.get("oauth.dpop") and scheme is not None and scheme.lower() != "dpop":
        yield "inject.scheme: must be DPoP, or unset, with oauth.dpop: a bound token goes no other way (RFC 9449 7.1)"
    given = [name for name in (*SECRETS, *PRIVATE_KEYS) if _is_set(values, name)]
    if not given:
        name = next((name for name in (*SECRETS, *PRIVATE_KEYS) if name in empty), SECRETS[0])
        what = "set it, oauth.client_secret_file, or oauth.private_key_file"
        yield f"{name}: is {'empty' if name in empty else 'required'}: {what}"
    for other in given[1:]:
        yield f"{given[0]}: stands beside {other}: remove one of the two"
    if len(given) != 1 or "oauth.auth_method" not in values:
        return
    has_key = given[0] in PRIVATE_KEYS
    method = values["oauth.auth_method"] or ("private_key_jwt" if has_key else "client_secret_post")
    if has_key != (method == "private_key_jwt"):
        yield _mismatch(method, given[0])
        return
    yield from _idle(values, method)
    yield from _assertion(values, method)
    if has_key:
        yield from _private_key(values, given[0])
    elif method == "client_secret_jwt":
        yield from _short_secret(values, given[0])


def warnings(values: Values) -> Iterator[str]:
    """Yield which files with keys others can read."""
    for name in ("oauth.private_key_file", "oauth.private_key_passphrase_file"):
        if values[name] is not None and (remedy := exposure(values[name])) is not None:
            yield f"{name}: every user of this machine can read it: {remedy}"


def _is_set(values: Values, name: str) -> bool:
    # One that is absent was set, and wrong in itself.
    return bool(values.get(name, name))


def _mismatch(method: str, given: str) -> str:
    if method == "private_key_jwt":
        return f"oauth.auth_method: private_key_jwt needs a private key: set oauth.private_key_file instead of {given}"
    remedy = f"leave it out, or set oauth.client_secret instead of {given}"
    return f"oauth.auth_method: {method} needs a client secret: {remedy}"


def _idle(values: Values, method: str) -> Iterator[str]:
    """Yield keys that have no effect with this method."""
    if method != "private_key_jwt":
        for name in _OF_KEYS:
            if _is_set(values, name):
                yield f"{name}: is for a private key: remove it, or set oauth.private_key_file"
    if not method.endswith("_jwt") and _is_set(values, "oauth.assertion"):
        yield "oauth.assertion: is for private_key_jwt and client_secret_jwt: remove it, or set oauth.auth_method"


def _assertion(values: Values, method: str) -> Iterator[str]:
    assertion = values.get("oauth.assertion")
    if assertion is None or not method.endswith("_jwt"):
        return
    algorithm = assertion.algorithm
    if algorithm is not None and (method == "client_secret_jwt") != algorithm.startswith("HS"):
        yield f"oauth.assertion: {method} cannot sign with {algorithm}: leave algorithm out"
    if assertion.audience == "issuer" and values.get("oauth.issuer", "") is None:
        yield "oauth.assertion: audience is issuer, and oauth.issuer is not set: set it, or write the audience itself"
    if assertion.certificate_file is not None and method != "private_key_jwt":
        yield "oauth.assertion: certificate_file is for a private key: remove it"


def _private_key(values: Values, name: str) -> Iterator[str]:
    needed = (name, *_OF_KEYS, "oauth.assertion")
    if any(other not in values for other in needed):
        return
    # cryptography is large, and only needed where there is a key.
    from proxy.config.key_forms import KeyProblem  # noqa: PLC0415
    from proxy.config.signing_key import usable_keys  # noqa: PLC0415

    value, passphrase_file = values[name], values["oauth.private_key_passphrase_file"]
    assertion = values["oauth.assertion"] or Assertion()
    try:
        data = _content(value) if name.endswith("_file") else value.reveal().encode()
        passphrase = _content(passphrase_file) if passphrase_file is not None else None
        certificate = _content(assertion.certificate_file) if assertion.certificate_file is not None else None
        if assertion.algorithm is None or not assertion.algorithm.startswith("HS"):
            usable_keys(data, passphrase, values["oauth.private_key_id"], assertion.algorithm, certificate)
    except KeyProblem as problem:
        mark = " " if problem.about == "certificate" else ": "
        yield f"{place_of(problem, name)}{mark}{problem}"


def place_of(problem: "KeyProblem", name: str) -> str:
    """Return the key of the configuration that *problem* is about; *name* is that of the private key."""
    places = {"passphrase": "oauth.private_key_passphrase_file", "certificate": "oauth.assertion: certificate_file"}
    return places.get(problem.about, name)


def _short_secret(values: Values, name: str) -> Iterator[str]:
    remedy = "use another auth_method, or a longer secret"
    if name == "oauth.client_secret" and name in values and len(values[name].reveal()) < LEAST_SECRET:
        yield f"{name}: is shorter than {LEAST_SECRET} characters, too short for client_secret_jwt: {remedy}"
    if name == "oauth.client_secret_file" and name in values:
        lines = _content(values[name]).decode(errors="replace").splitlines()
        if any(0 < len(line) < LEAST_SECRET for line in lines):
            what = f"holds a secret shorter than {LEAST_SECRET} characters, too short for client_secret_jwt"
            yield f"{name}: {what}: {remedy}"


def _content(path: str) -> bytes:
    """Return the content of a file that has been found to be readable."""
    with open(path, "rb") as file:  # noqa: PTH123  # pathlib is slow to import
        return file.read(64 * 1024)
