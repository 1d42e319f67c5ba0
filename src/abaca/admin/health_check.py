"""Whether the API of this machine answers.

Root asks, and whoever listens on the port answers: while the API is down, any user of the machine.
So the beginning of one answer is compared, and nothing in it is followed, kept or shown.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import nullcontext
from urllib.parse import urlsplit

from oslo_config import cfg

from abaca.admin import clouds_file

_SECONDS = 5.0  # for each of connecting, the TLS handshake and the answer
_REQUEST = b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_HEALTHY_ANSWER = b"HTTP/1.1 200 "


def answers(conf: cfg.ConfigOpts) -> bool:
    """Whether it does, within seconds."""
    url = urlsplit(clouds_file.listening_url(conf))
    # It is this machine's own socket, and only asked whether it answers: no authorities are read,
    # which would take 25 ms of CPU at each look.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((url.hostname or "", conf.api.port), _SECONDS) as plain,
            context.wrap_socket(plain) if url.scheme == "https" else nullcontext(plain) as sock,
        ):
            sock.sendall(_REQUEST)
            return sock.recv(len(_HEALTHY_ANSWER)) == _HEALTHY_ANSWER
    except OSError:
        return False
