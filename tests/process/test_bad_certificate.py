"""A client certificate that cannot be used keeps the proxy from starting, and says why."""

from pathlib import Path

import trustme
from command import environment, output_of


async def test_a_pair_that_does_not_fit_is_a_configuration_problem(tmp_path: Path):
    """Exit code 2 and one line with the key's name; nothing of the file is printed."""
    authority = trustme.CA()
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    authority.issue_cert("one@example.com").cert_chain_pems[0].write_to_path(cert)
    other = authority.issue_cert("other@example.com").private_key_pem
    other.write_to_path(key)
    code, output = await output_of(
        "run",
        environ=environment(
            "https://api.example.com",
            "http://127.0.0.1:1/token",
            OKTA_PROXY_UPSTREAM__CLIENT_CERT_FILE=str(cert),
            OKTA_PROXY_UPSTREAM__CLIENT_KEY_FILE=str(key),
        ),
    )
    assert code == 2
    assert "upstream.client_key_file: names a file whose private key does not belong to the certificate" in output
    assert other.bytes().decode().splitlines()[1] not in output
    assert "Traceback" not in output
