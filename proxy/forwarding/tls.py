"""
TLS towards the upstream: the context, made anew when one of its files changes, and the session that is resumed.

A file that cannot be used never replaces one that could: the context before it stays, and a warning says so.
"""

import os
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from proxy.config.client_certificate import ClientCertificateError, load_client_certificate
from proxy.errors import UpstreamError
from proxy.off_loop import Shared

RETRY_AFTER = 5.0
"""Seconds before files that could not be used are tried again although they look the same."""
READ_EVERY = 0.0 if sys.version_info >= (3, 13, 1) else 3600.0
"""Seconds between two readings of a session: before 3.13.1 each of them leaks a copy (python/cpython#116810)."""

_log = structlog.get_logger("upstream")


class _Candidate(NamedTuple):
    """A connection whose session may be the next one that is resumed."""

    tls: ssl.SSLObject
    has_answered: Callable[[], bool]


class ResumingContext(ssl.SSLContext):
    """
    A client's context that offers the newest session it has to each new connection to the same name.

    The loops' `create_connection` and `start_tls` take no session, but both call `wrap_bio` of the context.
    """

    read_every = READ_EVERY
    _session: ssl.SSLSession | None = None
    _name: str | None = None
    _candidates: tuple[_Candidate, ...] = ()
    _next_reading = 0.0
    _is_resuming = True

    @property
    def has_session(self) -> bool:
        """Whether the next connection is offered a session."""
        return self._newest() is not None

    def remember(self, name: str, tls: ssl.SSLObject, has_answered: Callable[[], bool]) -> None:
        """
        Note a connection to *name* whose handshake is done.

        *has_answered* tells whether something came over it: with TLS 1.3 the session comes after the handshake, in
        front of the first answer (RFC 8446 4.6.1).
        """
        if not self._is_resuming or tls.session_reused:
            return
        if name != self._name:
            self._name, self._session, self._candidates = name, None, ()
        # The one before may answer sooner; older ones would only take memory.
        self._candidates = (*self._candidates[-1:], _Candidate(tls, has_answered))

    def stop_resuming(self) -> None:
        """Make a full handshake each time from now on."""
        self._is_resuming = False
        self._session, self._candidates = None, ()

    # The base class's own signature.
    def wrap_bio(  # type: ignore[override]
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return the TLS side of a new connection. See `ssl.SSLContext`."""
        if session is None and server_hostname is not None and server_hostname == self._name:
            session = self._newest()
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def _newest(self) -> ssl.SSLSession | None:
        if not self._candidates or time.monotonic() < self._next_reading:
            return self._session
        candidate = next((one for one in reversed(self._candidates) if one.has_answered()), None)
        if candidate is not None:
            self._candidates = ()
            self._next_reading = time.monotonic() + self.read_every
            session = candidate.tls.session
            if session is not None and (session.has_ticket or session.id):
                self._session = session
        return self._session


def tls_context(ca_file: str | None, cert_file: str | None = None, key_file: str | None = None) -> ResumingContext:
    """
    Return a verifying client context with the system's roots, those of *ca_file*, and the client certificate.

    Raises OSError, SSLError for *ca_file*, `ClientCertificateError` for the others.
    """
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if sys.version_info >= (3, 13):
        # As `ssl.create_default_context` does, which cannot make a subclass.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if cert_file is not None:
        load_client_certificate(context, cert_file, key_file)
    # Without ALPN some servers choose by guess.
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsFiles:
    """Keeps the context that some files make; they are looked at before each connection."""

    def __init__(
        self,
        ca_file: str | None,
        cert_file: str | None = None,
        key_file: str | None = None,
        *,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self._files = (ca_file, cert_file, key_file)
        self._watched = tuple(file for file in self._files if file is not None)
        self._retry_after = retry_after
        self._context: ResumingContext | None = None
        self._error: UpstreamError | None = None
        self._stamps: tuple[Any, ...] | None = None
        self._is_current = False
        self._retry_at = 0.0
        # One look for all who connect at a time; files may be slow, and to read the system's roots takes a while.
        self._look = Shared(self._update, "tls-files")

    async def context(self) -> ResumingContext:
        """Return the context of the files as they are now, or as they were when they could be used last."""
        if self._context is None or self._watched:
            await self._look.result()
        if self._context is None:
            assert self._error is not None  # noqa: S101 - for the type checker: there is a context or an error
            raise self._error
        return self._context

    def _update(self) -> None:
        """Make the context if there is none, or the files have changed. Runs in a thread."""
        stamps = tuple(_stamp(file) for file in self._watched)
        is_new = stamps != self._stamps
        if not is_new and (self._is_current or time.monotonic() < self._retry_at):
            return
        # Noted before they are read: what changes in between is read again.
        self._stamps = stamps
        try:
            context = tls_context(*self._files)
        except (OSError, ValueError, ClientCertificateError) as error:
            self._error = unusable(error)
            self._is_current, self._retry_at = False, time.monotonic() + self._retry_after
            if is_new and self._context is not None:
                _log.warning("upstream_files_unusable", note=self._error.detail)
            return
        if self._context is not None:
            _log.info("upstream_files_read")
        self._context, self._is_current = context, True


def unusable(error: Exception) -> UpstreamError:
    """Return what it means that a context cannot be made."""
    if isinstance(error, ClientCertificateError):
        return UpstreamError(f"{error.key} {error}.", proxy_status="proxy_configuration_error")
    return UpstreamError(
        "The file in upstream.ca_file cannot be read, or holds no certificate.", proxy_status="tls_certificate_error"
    )


def _stamp(path: str) -> tuple[int, ...] | None:
    """Return what changes when a file does; a link is followed, so it may be another file (Kubernetes swaps links)."""
    try:
        # pathlib is slow to import.
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
