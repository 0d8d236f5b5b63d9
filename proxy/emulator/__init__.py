"""An Okta and an echo API, inside the process: for the demo, the tests and users' CI."""

from proxy.emulator import faults
from proxy.emulator.bearer import digest
from proxy.emulator.echo import ApiRequest, EchoApi
from proxy.emulator.okta import AuthorizationServer
from proxy.emulator.record import TokenRequest

__all__ = ["ApiRequest", "AuthorizationServer", "EchoApi", "TokenRequest", "digest", "faults"]
