# Two stages: the first installs the locked dependencies and the wheel, the second is what runs.
#
#   docker build -t okta-proxy .
#   docker run --rm -p 127.0.0.1:8080:8080 --read-only --cap-drop ALL \
#       -e OKTA_PROXY_LISTEN__HOST=0.0.0.0 -e OKTA_PROXY_LISTEN__ALLOW_REMOTE=true \
#       -e OKTA_PROXY_UPSTREAM__URL=... -e OKTA_PROXY_OAUTH__ISSUER=... -e OKTA_PROXY_OAUTH__CLIENT_ID=... \
#       -e OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE=/run/secrets/client_secret -v ./client_secret:/run/secrets/client_secret:ro \
#       okta-proxy

FROM python:3.13-slim AS builder

WORKDIR /src
COPY requirements-build.txt requirements.txt ./
# Without pip of its own: nothing that could install anything gets into the image with it.
RUN ["python", "-m", "venv", "--without-pip", "/opt/okta-proxy"]
# Wheels only, each checked by its hash: nothing of the dependencies is built or run here.
RUN ["python", "-m", "pip", "--python", "/opt/okta-proxy", "install", "--no-cache-dir", "--require-hashes", "--only-binary", ":all:", "--requirement", "requirements.txt"]
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "--require-hashes", "--only-binary", ":all:", "--requirement", "requirements-build.txt"]
COPY pyproject.toml README.md ./
COPY proxy proxy
RUN ["python", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
# With its bytecode, which cannot be written where it runs.
RUN ["python", "-m", "pip", "--python", "/opt/okta-proxy", "install", "--no-index", "--no-deps", "--compile", "--find-links", "/wheels", "okta-proxy"]

FROM python:3.13-slim

# The base brings the certificate authorities; without them no upstream can be trusted, so the build stops here.
RUN ["test", "-s", "/etc/ssl/certs/ca-certificates.crt"]
# No pip, and no program that gives its caller another user's rights.
RUN ["python", "-m", "pip", "uninstall", "--yes", "--root-user-action", "ignore", "pip"]
RUN ["find", "/", "-xdev", "-type", "f", "-perm", "/6000", "-exec", "chmod", "a-s", "{}", "+"]
COPY --from=builder /opt/okta-proxy /opt/okta-proxy

ENV PATH=/opt/okta-proxy/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1

# A number, so that Kubernetes can see that it is not root; nothing needs its name, its home or a place to write.
USER 10001:10001
WORKDIR /

# The proxy and the admin listener. Both are on loopback unless listen.host and admin.host say otherwise.
EXPOSE 8080 8081

# Asks whether the process serves. A token endpoint that is down is no reason to restart it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["okta-proxy", "health"]

# No shell: signals reach the proxy, which drains on SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["okta-proxy"]
CMD ["run"]
