"""Bencoding and private torrents.

The harness makes its torrents itself, so that one info hash can be given to two clients with two different announce
URLs, and so that nothing but the announce URL can introduce the clients: `private` is set, and there are no nodes, web
seeds or further trackers in the file.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

PIECE_BYTES = 64 * 1024


def encode(value):
    """The bencoding of an int, bytes, str, list or dict."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l%se" % b"".join(map(encode, value))
    return b"d%se" % b"".join(encode(key) + encode(value[key]) for key in sorted(value))


def decode(text):
    """The one value that `text` is the bencoding of; ValueError if there is less or more in it."""
    value, end = _decode_at(text, 0)
    if end != len(text):
        raise ValueError(f"{len(text) - end} bytes after the bencoded value")
    return value


def _decode_at(text, at):
    kind = text[at : at + 1]
    if kind == b"i":
        end = text.index(b"e", at)
        return int(text[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while text[at : at + 1] != b"e":
            item, at = _decode_at(text, at)
            items.append(item)
        if kind == b"l":
            return items, at + 1
        if items[::2] != sorted(set(items[::2])) or len(items) % 2:
            raise ValueError("dictionary keys unsorted, repeated or without a value")
        return dict(zip(items[::2], items[1::2])), at + 1
    colon = text.index(b":", at)
    end = colon + 1 + int(text[at:colon])
    if end > len(text):
        raise ValueError("a string ends behind the end of the text")
    return text[colon + 1 : end], end


@dataclass(frozen=True)
class Torrent:
    """A single-file torrent: its content and its info dictionary, without an announce URL."""

    name: str
    content: bytes
    info: bytes

    @property
    def info_hash(self):
        return hashlib.sha1(self.info).digest()

    @property
    def sha256(self):
        return hashlib.sha256(self.content).digest()

    def write(self, path, announce):
        """Writes the .torrent file with this announce URL. The info dictionary goes in as it is, and "info" sorts
        after "announce", so there is nothing to encode anew."""
        path.write_bytes(b"d" + encode("announce") + encode(announce) + encode("info") + self.info + b"e")

    def is_in(self, folder: Path):
        """Whether the folder holds the complete file, by SHA-256. Clients may create the file before they fill it."""
        path = folder / self.name
        if not path.is_file() or path.stat().st_size != len(self.content):
            return False
        return hashlib.sha256(path.read_bytes()).digest() == self.sha256


def make(content_bytes):
    """A new private torrent with random content: no other run and no other tracker has ever seen its info hash."""
    return of(f"transfer-{os.urandom(4).hex()}.bin", os.urandom(content_bytes))


def of(name, content):
    """The private torrent of this content."""
    pieces = b"".join(
        hashlib.sha1(content[at : at + PIECE_BYTES]).digest() for at in range(0, len(content), PIECE_BYTES)
    )
    info = {"length": len(content), "name": name, "piece length": PIECE_BYTES, "pieces": pieces, "private": 1}
    return Torrent(name, content, encode(info))
