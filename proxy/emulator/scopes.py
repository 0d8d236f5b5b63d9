"""Which scopes a token gets, out of those that were asked for: each product has its rule."""

from proxy.emulator.call import Rules
from proxy.emulator.errors import RefusalError

_OPENID = frozenset({"openid", "profile", "email", "address", "phone", "offline_access", "device_sso"})

_OKTAS = "okta."
"""How the scopes of Okta's own APIs begin. Its own authorization server has no others."""


def granted(asked: tuple[str, ...], rules: Rules) -> tuple[str, ...]:
    """Return the scopes of the token. Raises `RefusalError`."""
    if rules.manner.scopes == "resource":
        return _of_a_resource(asked, rules)
    if rules.manner.scopes == "granted":
        return _of_the_client(asked, rules)
    return _of_the_org(asked, rules) if rules.org else _of_a_custom_server(asked, rules)


def _of_a_custom_server(asked: tuple[str, ...], rules: Rules) -> tuple[str, ...]:
    if not asked:
        if not rules.default_scopes:
            raise RefusalError("no_default_scopes")
        return rules.default_scopes
    if _OPENID.intersection(asked):
        raise RefusalError("openid_not_allowed_client_creds")
    known = {scope for scope in (*rules.scopes, *rules.default_scopes) if not scope.startswith(_OKTAS)}
    if not known.issuperset(asked):
        raise RefusalError("no_matching_scope")
    return asked


def _of_the_org(asked: tuple[str, ...], rules: Rules) -> tuple[str, ...]:
    """Only what an administrator granted to the app comes back: fewer scopes than asked for are a success."""
    if not asked:
        raise RefusalError("missing_scopes")
    if _OPENID.intersection(asked):
        raise RefusalError("openid_not_allowed_client_creds")
    if any(scope.endswith(".self") for scope in asked):
        raise RefusalError("client_credentials_self_scope_requested")
    if not all(scope.startswith(_OKTAS) for scope in asked):
        raise RefusalError("no_matching_scope")
    allowed = tuple(scope for scope in asked if scope in rules.scopes)
    if not allowed:
        raise RefusalError("no_org_scopes_granted")
    return allowed


def _of_a_resource(asked: tuple[str, ...], rules: Rules) -> tuple[str, ...]:
    """Entra ID: the permissions are the app's, the scope only names the API."""
    if len(asked) > 1:
        raise RefusalError("two_resources", " ".join(asked))
    resource, default, _ = asked[0].rpartition("/.default")
    if not default or not asked[0].endswith(default):
        raise RefusalError("no_matching_scope", asked[0])
    if resource != rules.audience:
        raise RefusalError("unknown_audience", resource)
    return asked


def _of_the_client(asked: tuple[str, ...], rules: Rules) -> tuple[str, ...]:
    unknown = [scope for scope in asked if scope not in rules.scopes]
    if unknown:
        raise RefusalError("no_matching_scope", " ".join(unknown))
    return asked or rules.scopes
