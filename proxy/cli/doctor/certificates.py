"""
What a server's certificate says, and why one is not trusted. Pure.

The verdict on a certificate is OpenSSL's, from the handshake. It is only read here to say more about it: whose it is,
who signed it, for which names and until when.
"""

import ssl
from typing import TYPE_CHECKING, NamedTuple

from proxy.cli.doctor.places import Place
from proxy.cli.doctor.report import Verdict, failed, passed, warned

if TYPE_CHECKING:
    from cryptography import x509

STEP = "tls"
SOON = 14.0
"""Days before its end from which on a certificate is worth a warning."""
_DAY = 86400.0
_MOST_NAMES = 5

# OpenSSL's x509_vfy.h.
_SELF_SIGNED = 18
_UNKNOWN_ISSUER = {2, 19, 20, 21, 24, 27}
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = {62, 64}
_WEAK = {66, 67, 68}


class Certificate(NamedTuple):
    """What matters of an X.509 certificate. Moments are wall-clock seconds."""

    issuer: str
    names: tuple[str, ...]
    not_before: float
    not_after: float


def read(der: bytes) -> Certificate | None:
    """Return what *der* says, None if it cannot be read."""
    # A dependency of joserfc's, large, and only needed to look into certificates.
    from cryptography import x509  # noqa: PLC0415

    try:
        certificate = x509.load_der_x509_certificate(der)
        return Certificate(
            _signer(certificate.issuer),
            _names(certificate),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None


def _names(certificate: "x509.Certificate") -> tuple[str, ...]:
    """Return the DNS names and the addresses that a certificate is for."""
    from cryptography import x509  # noqa: PLC0415

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress)))


def _signer(name: "x509.Name") -> str:
    """Return the organization and the common name, whichever there are."""
    from cryptography.x509 import NameOID  # noqa: PLC0415

    oids = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    found = [str(attribute.value) for oid in oids for attribute in name.get_attributes_for_oid(oid)]
    return " / ".join(dict.fromkeys(found)) or "an unnamed authority"


def trusted(place: Place, version: str, certificate: Certificate | None, now: float) -> Verdict:
    """Return the verdict on a handshake that OpenSSL was content with; *now* is in wall-clock seconds."""
    text = f"{place.name} speaks {version} with a certificate that is trusted for this name"
    if certificate is None:
        return passed(STEP, text)
    days = (certificate.not_after - now) / _DAY
    text += f", by {certificate.issuer}, for {spoken(days)} more"
    if days < SOON:
        return warned(STEP, text, "It will not be trusted afterwards: whoever runs the server must renew it.")
    return passed(STEP, text)


def untrusted(
    place: Place, error: ssl.SSLCertVerificationError, certificate: Certificate | None, now: float
) -> Verdict:
    """Return why the certificate of *place* is not trusted, and what to do; *certificate* is it, if it is known."""
    code = error.verify_code
    if code in {_EXPIRED, _NOT_YET_VALID}:
        return _out_of_date(place, code, certificate, now)
    if code in _WRONG_NAME:
        return _wrong_name(place, certificate)
    signed = f" It is signed by {certificate.issuer}." if certificate else ""
    if code == _SELF_SIGNED:
        remedy = f"If that is as it should be, give this certificate itself (PEM) in {place.ca_key}."
        return _fail(place, f"its certificate is self-signed.{signed}", remedy, _inspected(place))
    if code in _UNKNOWN_ISSUER:
        remedy = f"If that is an authority of your own, give its root certificate (PEM) in {place.ca_key}."
        return _fail(
            place,
            f"its certificate's authority is unknown to this machine.{signed}",
            _inspected(place),
            remedy,
            "If it is a public one, the server does not send its intermediate certificate, or this machine has no "
            "root certificates (package ca-certificates).",
        )
    if code in _WEAK:
        return _fail(place, f"its certificate's key or signature is too weak.{signed}", "The server needs a new one.")
    said = error.verify_message or "no reason given"
    return _fail(place, f"its certificate is not trusted: {said}.{signed}", f"See {place.key} and {place.ca_key}.")


def _out_of_date(place: Place, code: int, certificate: Certificate | None, now: float) -> Verdict:
    clock = "Or this machine's clock is wrong: compare it with `date -u`."
    if code == _EXPIRED:
        ago = f" {spoken((now - certificate.not_after) / _DAY)} ago" if certificate else ""
        return _fail(place, f"its certificate expired{ago}.", "Whoever runs the server must renew it.", clock)
    ahead = f" for {spoken((certificate.not_before - now) / _DAY)} more" if certificate else ""
    return _fail(place, f"its certificate is not valid yet{ahead}.", "The server has a certificate of tomorrow.", clock)


def _wrong_name(place: Place, certificate: Certificate | None) -> Verdict:
    names = certificate.names if certificate else ()
    shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    holds = f" It is for {shown}." if shown else ""
    return _fail(
        place,
        f"its certificate is not for this name.{holds}",
        f"Write the name that the certificate has in {place.key}; or another server answers at this address "
        "(DNS, a hosts file, a captive portal).",
    )


def _inspected(place: Place) -> str:
    return f"If a proxy or an antivirus inspects TLS here, give its root certificate (PEM) in {place.ca_key}."


def _fail(place: Place, what: str, *remedy: str) -> Verdict:
    return failed(STEP, f"{place.name}: {what}", *remedy)


def spoken(days: float) -> str:
    """Return a number of days as people say it."""
    if days < 1:
        return "less than a day"
    return "1 day" if days < 2 else f"{int(days)} days"
