"""The harness's own scrape over HTTP (BEP 48) and UDP (BEP 15).

It shares no code with the tracker or its client library: what it reads is what a stranger's program would read. And it
asks from an address of its own, never the tracker's: to a caller on the same address the kernel would hide that a
tracker answers from another address than the one it was asked at, and then clients seem to wait without a reason.
"""

import http.client
import os
import socket
import struct
from typing import NamedTuple
from urllib.parse import quote_from_bytes

import torrentfile

CONNECT_MAGIC = 0x41727101980
CONNECT, SCRAPE = 0, 2
FROM = {4: "10.77.0.4", 6: "fd77::4"}


class Counts(NamedTuple):
    complete: int
    incomplete: int
    downloaded: int


class ScrapeError(Exception):
    """The tracker did not answer a scrape, or answered with something else."""


def over_http(address, port, info_hash):
    """Scrapes one info hash. A tracker may leave out a torrent it does not know; that reads as all zero."""
    source = FROM[6 if ":" in address else 4]
    connection = http.client.HTTPConnection(address, port, timeout=5, source_address=(source, 0))
    try:
        connection.request("GET", "/scrape?info_hash=" + quote_from_bytes(info_hash, safe=""))
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise ScrapeError(f"HTTP scrape: status {response.status}: {body[:200]!r}")
        answer = torrentfile.decode(body)
        if b"files" not in answer:
            raise ScrapeError(f"HTTP scrape: {body[:200]!r}")
        entry = answer[b"files"].get(info_hash, {})
        if answer[b"files"].keys() - {info_hash}:
            raise ScrapeError("HTTP scrape: an entry nobody asked for")
        return Counts(*(entry.get(key, 0) for key in (b"complete", b"incomplete", b"downloaded")))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ScrapeError(f"HTTP scrape at {address}: {error!r}") from error
    finally:
        connection.close()


def over_udp(address, port, info_hash):
    """Connects and scrapes one info hash, each sent up to three times."""
    family, source = (socket.AF_INET6, FROM[6]) if ":" in address else (socket.AF_INET, FROM[4])
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        try:
            # A connected socket takes answers from the address that was asked only.
            sock.bind((source, 0))
            sock.connect((address, port))
            connection_id = _ask(sock, struct.pack("!Q", CONNECT_MAGIC), CONNECT, b"", 8)
            body = _ask(sock, connection_id, SCRAPE, info_hash, 12)
        except OSError as error:
            raise ScrapeError(f"UDP scrape at {address}: {error!r}") from error
    complete, downloaded, incomplete = struct.unpack("!III", body)
    return Counts(complete, incomplete, downloaded)


def _ask(sock, connection_id, action, payload, answer_bytes):
    transaction = os.urandom(4)
    head = struct.pack("!I", action) + transaction
    for _ in range(3):
        sock.send(connection_id + head + payload)
        try:
            answer = sock.recv(2048)
            while answer[4:8] != transaction:
                answer = sock.recv(2048)
        except TimeoutError:
            continue
        if answer[:8] != head or len(answer) != 8 + answer_bytes:
            raise ScrapeError(f"UDP action {action}: answered with {answer[:200]!r}")
        return answer[8:]
    addresses = f"from {sock.getpeername()[0]} to {sock.getsockname()[0]}"
    raise ScrapeError(f"UDP action {action}: no answer {addresses} (answers from another address do not count)")
