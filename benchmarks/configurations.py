"""What the upstream and the contenders are configured with: texts and documents, made from ports and paths."""

import json
from pathlib import Path
from typing import Any, NamedTuple

LOOPBACK = "127.0.0.1"
TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "c2lnbmF0dXJl" * 24 + ".c2lnbmF0dXJl"
"""As long as a small JWT, and made up."""
CLIENT_ID, CLIENT_SECRET, SCOPE = "benchmark", "benchmark-secret", "api.read"
ANSWER = '{"id":42,"name":"widget","tags":["a","b","c"],"price":12.5,"stock":true,"note":"a small document"}'
EMULATOR_PATH = "/oauth2/default/v1/token"
LIFETIME = 3600
"""Seconds that the token lives: no run is long enough to see a refresh."""

TYPES = "type.googleapis.com/envoy.extensions"


class Origin(NamedTuple):
    """Where the upstream listens, with TLS and without, and what certificate authority vouches for it."""

    http_port: int
    https_port: int
    authority: Path

    def port(self, *, tls: bool) -> int:
        """Return the port for one of the two."""
        return self.https_port if tls else self.http_port


def upstream_nginx(folder: Path, origin: Origin, certificate: Path) -> str:
    """
    Return the configuration of the upstream, whose `www` is in *folder*.

    `/whoami` shows the Authorization header and the TLS that it was sent with, `/proof` the Authorization and the DPoP
    header. `/upload` reads the whole body before it answers, which `return` alone would not.
    """
    token = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": LIFETIME})
    return f"""{_nginx_common(folder, "upstream")}
  default_type application/json;
  client_body_buffer_size 64k;
  upstream behind {{ server unix:{folder}/behind.socket; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen unix:{folder}/behind.socket;
    location / {{ return 200 '{ANSWER}'; }}
  }}
  server {{
    listen {LOOPBACK}:{origin.http_port} backlog=4096;
    listen {LOOPBACK}:{origin.https_port} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    ssl_protocols TLSv1.2 TLSv1.3;
    root {folder}/www;
    location = /token {{ return 200 '{token}'; }}
    location = /whoami {{ return 200 "$http_authorization|$ssl_protocol $ssl_cipher"; }}
    location = /proof {{ return 200 "$http_authorization|$http_dpop"; }}
    location = /json {{ return 200 '{ANSWER}'; }}
    location = /upload {{
      proxy_pass http://behind/;
      proxy_http_version 1.1;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
    }}
    location = /big {{ }}
  }}
}}
"""


def forwarding_nginx(folder: Path, origin: Origin, port: int, *, tls: bool) -> str:
    """Return the configuration of the nginx that forwards with the token as a static header; it never uses the disk."""
    verify = f"""
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {origin.authority};
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.2 TLSv1.3;"""
    return f"""{_nginx_common(folder, f"nginx-{port}")}
  client_body_buffer_size 64k;
  proxy_max_temp_file_size 0;
  upstream api {{
    server {LOOPBACK}:{origin.port(tls=tls)};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {LOOPBACK}:{port} backlog=4096;
    location / {{
      proxy_pass {"https" if tls else "http"}://api;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {TOKEN}";{verify if tls else ""}
    }}
  }}
}}
"""


def _nginx_common(folder: Path, name: str) -> str:
    """Return what each nginx begins with: one process in the foreground, which writes into *folder* only."""
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{name}-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
master_process off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
{temporary}"""


def okta_proxy_settings(
    origin: Origin, port: int, *, tls: bool, level: str, emulator: str | None = None, dpop: bool = False
) -> dict[str, Any]:
    """
    Return ours: what has to be said, and the log's level. Everything else is at its default.

    *emulator* is the base URL of one that gives the tokens in the upstream's place; bound ones with *dpop*.
    """
    scheme = "https" if tls else "http"
    authority = {"ca_file": str(origin.authority)} if tls else {}
    bound = {"scopes": [SCOPE], "dpop": dpop} if emulator else {}
    return {
        "listen": {"port": port},
        "admin": {"port": 0},
        "upstream": {"url": f"{scheme}://{LOOPBACK}:{origin.port(tls=tls)}", **authority},
        "oauth": {
            "token_url": f"{emulator}{EMULATOR_PATH}" if emulator else f"http://{LOOPBACK}:{origin.http_port}/token",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            **bound,
        },
        "log": {"level": level},
    }


def envoy_settings(origin: Origin, port: int, *, tls: bool) -> dict[str, Any]:
    """Return Envoy's: one listener, the credential injector, the router; the token comes over http as for ours."""
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "api", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            _envoy_injector(origin),
            {"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}},
        ],
    }
    api = _envoy_cluster("api", origin.port(tls=tls))
    if tls:
        api["transport_socket"] = _envoy_tls(origin.authority)
    return {
        "static_resources": {
            "secrets": [{"name": "secret", "generic_secret": {"secret": {"inline_string": CLIENT_SECRET}}}],
            "listeners": [
                {
                    "address": _envoy_address(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [api, _envoy_cluster("token", origin.http_port)],
        }
    }


def _envoy_injector(origin: Origin) -> dict[str, Any]:
    source = {
        "@type": f"{TYPES}.http.injected_credentials.oauth2.v3.OAuth2",
        "token_endpoint": {
            "uri": f"http://{LOOPBACK}:{origin.http_port}/token",
            "cluster": "token",
            "timeout": "5s",
        },
        "client_credentials": {"client_id": CLIENT_ID, "client_secret": {"name": "secret"}},
    }
    return {
        "name": "credential_injector",
        "typed_config": {
            "@type": f"{TYPES}.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": True,
            "credential": {"name": "envoy.http.injected_credentials.oauth2", "typed_config": source},
        },
    }


def _envoy_tls(authority: Path) -> dict[str, Any]:
    """Return a transport socket that verifies the upstream's certificate and its name."""
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "localhost",
            "common_tls_context": {
                "validation_context": {
                    "trusted_ca": {"filename": str(authority)},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
                }
            },
        },
    }


def _envoy_cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _envoy_address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _envoy_address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
