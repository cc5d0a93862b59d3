"""One POST to a webhook: bounded in time and in what is read of the answer.

Invariants:
- Only an answer of the 2xx kind shows that it was taken. Redirects are not followed, proxies not asked.
- What is said of a failure holds nothing of the URL but its host.
"""

import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from domain.errors import UnavailableError
from infrastructure.cutoff import Cutoff
from infrastructure.posting.targets import Target

DEFAULT_TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 << 10
_GOOD: Final = range(200, 300)


class _Plain(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, whatever the name leads to by now."""

    def __init__(self, target: Target, hosts: Sequence[str], timeout_s: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout_s)
        self._hosts = hosts

    def connect(self) -> None:
        self.sock = _connected(self._hosts, self.port, self.timeout or DEFAULT_TIMEOUT_S)


class _Secure(http.client.HTTPSConnection):
    """The same over TLS: the certificate is the name's."""

    def __init__(self, target: Target, hosts: Sequence[str], timeout_s: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(target.host, target.port, timeout=timeout_s, context=self._tls)
        self._hosts = hosts

    def connect(self) -> None:
        plain = _connected(self._hosts, self.port, self.timeout or DEFAULT_TIMEOUT_S)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def post(
    target: Target,
    body: bytes,
    headers: Mapping[str, str],
    *,
    hosts: Sequence[str] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> None:
    """Post a body.

    Args:
        target: where.
        body: the bytes.
        headers: beside those of every request.
        hosts: the addresses that it may be connected at, in order; None: those of its name.
        timeout_s: bound of the request from its start to the last byte of its answer.

    Raises:
        UnavailableError: when it was not taken.
    """
    kind = _Secure if target.secure else _Plain
    connection = kind(target, [target.host] if hosts is None else hosts, timeout_s)
    with Cutoff(timeout_s) as cutoff:
        try:
            connection.connect()
            cutoff.cuts(connection.sock)
            connection.request("POST", target.path, body, dict(headers))
            response = connection.getresponse()
            response.read(MAX_ANSWER_BYTES)
            status = response.status
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a name no TLS takes
            why = "too slow" if cutoff.passed or isinstance(error, TimeoutError) else type(error).__name__
            raise UnavailableError(f"{target.host} does not answer: {why}") from None
        finally:
            connection.close()
    if cutoff.passed:
        raise UnavailableError(f"{target.host} does not answer: too slow")
    if status not in _GOOD:
        raise UnavailableError(f"{target.host} answered {status}")


def _connected(hosts: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    failed: OSError = OSError("no address")
    for host in hosts:
        try:
            return socket.create_connection((host, port), timeout_s)
        except OSError as error:
            failed = error
    raise failed
