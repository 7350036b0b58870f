"""One libtorrent session in a process of its own: the bindings as a program.

A process each, because libtorrent keeps UDP connection ids in a cache that all sessions of a process share, by the
tracker's address alone: a second session would use an id that was issued to the first one's address, and a tracker
that checks ids rightly says nothing to it.

    python3 libtorrent_session.py ADDRESS PORT TORRENT DATA

Alerts go to standard output, one JSON object a line. SIGUSR1 asks for a scrape; SIGINT removes the torrent, which
sends `stopped`, and a last line says what the session counted until then; the process lives on until it is killed.
"""

import json
import signal
import sys

import libtorrent as lt


def main(address, port, torrent_path, data):
    session = lt.session(settings(address, port))
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent_path)
    params.save_path = data
    params.flags |= lt.torrent_flags.disable_dht | lt.torrent_flags.disable_lsd | lt.torrent_flags.disable_pex
    torrent = session.add_torrent(params)
    wanted = []
    signal.signal(signal.SIGUSR1, lambda *_: wanted.append(torrent.scrape_tracker))
    signal.signal(signal.SIGINT, lambda *_: wanted.append(lambda: leave(session, torrent)))
    while True:
        # Alerts are waited for at most so long, so that a signal is obeyed soon.
        session.wait_for_alert(50)
        while wanted:
            wanted.pop()()
        for alert in session.pop_alerts():
            print(json.dumps(facts(alert)), flush=True)


def leave(session, torrent):
    uploaded = torrent.status().total_payload_upload
    session.remove_torrent(torrent)
    print(json.dumps({"what": "left", "message": "the torrent is removed", "uploaded": uploaded}), flush=True)


def settings(address, port):
    host = f"[{address}]" if ":" in address else address
    categories = lt.alert.category_t
    return {
        # Trackers are asked from the address that is listened on, but peers are dialled from any.
        "listen_interfaces": f"{host}:{port}",
        "outgoing_interfaces": address,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "stop_tracker_timeout": 1,
        "alert_mask": categories.error_notification
        | categories.status_notification
        | categories.tracker_notification
        | categories.connect_notification,
    }


def facts(alert):
    """What is needed of an alert, copied: the object is dead after the next call of pop_alerts."""
    copied = {"what": alert.what().removesuffix("_alert"), "message": alert.message()}
    for field in ("num_peers", "complete", "incomplete"):
        if hasattr(alert, field):
            copied[field] = getattr(alert, field)
    return copied


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4])
