"""An honest client of the API in a process of its own: it asks without pause, with a remembered
password, and notes how long answers took."""

from __future__ import annotations

import json
import ssl
import sys
import threading

from tests.attack.honest import PAUSE, Notes
from tests.raw_http import Connection, basic, request

SECONDS = 30.0
NAME, PASSWORD = "honest", "pw"


class Work:
    """What the client does all the time, from 127.0.0.1."""

    def __init__(self, port: int, tls: bool) -> None:
        self.notes = Notes()
        self._port, self._tls = port, tls
        self._kept: Connection | None = None
        credentials = basic(NAME, PASSWORD)
        self._kinds = [
            (request("GET", "/v2/types", credentials=credentials), 200),
            (request("POST", "/v2/share-networks", body=b"{}", credentials=credentials), 422),
            (request("GET", "/v2/shares/detail?limit=100", credentials=credentials), 200),
            (request("GET", "/healthcheck"), 200),
            (request("GET", "/metrics", credentials=credentials), 200),
        ]

    def log_in(self) -> None:
        """Until each process of the API knows the password; which of them answers is left to
        chance."""
        for _ in range(30):
            self._on_a_new_one(self._kinds[0][0])

    def run(self) -> None:
        """Each request on a connection that is kept, then on a new one."""
        pause = threading.Event()
        while True:
            for data, status in self._kinds:
                for ask in (self._on_the_kept, self._on_a_new_one):
                    self.notes.timed(
                        lambda ask=ask, data=data, status=status: self._noted(ask, data, status)  # type: ignore[misc]
                    )
                    pause.wait(PAUSE)

    def _noted(self, ask: object, data: bytes, status: int) -> None:
        try:
            found = ask(data)  # type: ignore[operator]
        except OSError as error:
            self._kept = None
            self.notes.error(repr(error))
            return
        if found != status:
            self.notes.error(f"{data.split(b' HTTP')[0].decode()}: {found} instead of {status}")

    def _on_the_kept(self, data: bytes) -> int:
        """A server may end a connection between two requests; a client connects again then, as all
        do."""
        if self._kept is not None:
            try:
                self._kept.send(data)
                answer = self._kept.answer()
            except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                answer = None
            if answer is not None:
                return answer.status
            self.notes.reconnect()
        self._kept = Connection(self._port, SECONDS, tls=self._tls)
        self._kept.send(data)
        answer = self._kept.answer()
        return answer.status if answer else 0

    def _on_a_new_one(self, data: bytes) -> int:
        with Connection(self._port, SECONDS, tls=self._tls) as connection:
            connection.send(data)
            answer = connection.answer()
            return answer.status if answer else 0


def main(port: int, tls: bool) -> None:
    """Work, and report when asked."""
    work = Work(port, tls)
    work.log_in()
    threading.Thread(target=work.run, daemon=True).start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(work.notes.report()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "tls")
