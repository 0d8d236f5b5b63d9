"""Whether a token request comes from the client (RFC 6749 2.3): by one of its secrets, or by an assertion."""

import base64
from urllib.parse import unquote_plus

from proxy.emulator import assertions
from proxy.emulator.call import Call, Rules
from proxy.emulator.errors import RefusalError


def check(call: Call, rules: Rules) -> None:
    """Raise `RefusalError` unless *call* is the client's."""
    method = call.method
    if method == "several":
        raise RefusalError("multiple_client_credentials")
    if method in {"client_assertion", "client_secret_jwt", "private_key_jwt"}:
        _check_method(method, rules)
        assertions.check(call, rules)
    else:
        client_id, secret = (
            _basic(call.authorization)
            if method == "client_secret_basic"
            else (call.value("client_id"), call.value("client_secret"))
        )
        _check_secret(client_id, secret, method, rules)
    if rules.org and method != "private_key_jwt":
        raise RefusalError("unsupported_auth_method_client_creds")


def _check_method(method: str, rules: Rules) -> None:
    if method not in {"none", "client_assertion", *rules.manner.methods}:
        raise RefusalError("invalid_client")


def _check_secret(client_id: str, secret: str, method: str, rules: Rules) -> None:
    _check_method(method, rules)
    if not client_id:
        raise RefusalError("missing_client_credentials")
    if client_id != rules.client.id:
        raise RefusalError("invalid_client_id", client_id)
    if not secret or not rules.client.secrets:
        # Also for a client that has keys and no secret: Okta says the same.
        raise RefusalError("invalid_client")
    if not rules.client.has_secret(secret):
        raise RefusalError("invalid_client_secret")


def _basic(authorization: tuple[str, ...]) -> tuple[str, str]:
    """Return the id and the secret of a Basic header; both are form-encoded inside (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = authorization[0].partition(" ")
    try:
        plain = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        plain = ""
    client_id, colon, secret = plain.partition(":")
    if len(authorization) > 1 or scheme.lower() != "basic" or not colon:
        raise RefusalError("invalid_basic_auth_creds")
    return unquote_plus(client_id), unquote_plus(secret)
