"""How the client proves who it is at the token endpoint (RFC 6749 2.3.1). Pure."""

import base64
from typing import Literal
from urllib.parse import quote_plus

AuthMethod = Literal["client_secret_post", "client_secret_basic"]


def authenticate(method: AuthMethod, client_id: str, secret: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """
    Return the headers and the form fields that carry the client's credentials: one of the two, never both.

    For Basic both parts are form-urlencoded first, as RFC 6749 2.3.1 has it and Keycloak insists on
    (requests-oauthlib#568): otherwise a `+`, `%` or `:` in a secret would be read as something else.
    """
    if method == "client_secret_basic":
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}, []
    return {}, [("client_id", client_id), ("client_secret", secret)]
