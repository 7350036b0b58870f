//! Runs `tests/scripts/*.txt`: commands, and behind each the answer that it must give, marked `>`.
//!
//! `set RULE VALUE` changes a rule, `at SECS` moves the clock, `announce TORRENT ADDRESS [name=value]...`
//! announces (`id`, `key`, `left`, `event`, `up`, `down`, `user` = whose account it is booked to, `hybrid` = of
//! which torrent it is the other info hash, `want`, `client`, `dialect` = http, udp4, udp6 or ws; `socket` is the number
//! of the WebSocket), `crowd TORRENT COUNT KIND` announces many global peers, `scrape TORRENT`, `sweep`, `full yes|no` and `totals` do what they say.
//! `UPDATE_SCRIPTS=1 cargo test` writes the answers anew: read the difference before you commit it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use evenkeel_core::account::{Account, Allowance, Booking, Factors, TorrentNumber, UserNumber};
use evenkeel_core::{PeerKey, SocketId, WebKey};
use evenkeel_wire::{Endpoint, Event, Failure, InfoHash, Key};

use crate::rig::{Families, Rig, Told, ask};

#[test]
fn every_script_gives_the_answers_that_it_states() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut ran = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = std::fs::read_to_string(&path).unwrap();
        let answered = run(&script);
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(&path, &answered).unwrap();
        } else {
            assert_eq!(answered, script, "{}", path.display());
        }
        ran += 1;
    }
    assert!(ran >= 8, "only {ran} scripts were found");
}

#[test]
fn a_script_that_states_a_wrong_answer_is_caught() {
    let wrong = "scrape a\n> complete 7 incomplete 0 partial 0 downloaded 0\n";
    assert_ne!(run(wrong), wrong);
}

/// The script with the answers as they are now.
fn run(script: &str) -> String {
    let mut rig = Rig::new(1);
    let mut answered = String::new();
    for line in script.lines().filter(|line| !line.starts_with('>')) {
        writeln!(answered, "{line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(answer) = command(&mut rig, &words) {
            writeln!(answered, "> {answer}").unwrap();
        }
    }
    answered
}

fn command(rig: &mut Rig, words: &[&str]) -> Option<String> {
    match *words {
        [] => None,
        [word, ..] if word.starts_with('#') => None,
        ["set", rule, value] => {
            set(rig, rule, value);
            None
        }
        ["at", secs] => {
            rig.now = evenkeel_core::Time(secs.parse().unwrap());
            None
        }
        ["full", state] => {
            rig.store_is_full = state == "yes";
            None
        }
        ["announce", torrent, address, ref options @ ..] => Some(announce(rig, torrent, address, options)),
        ["crowd", torrent, count, kind] => {
            crowd(rig, torrent, count.parse().unwrap(), kind);
            None
        }
        ["scrape", torrent] => {
            let stats = rig.shard.scrape(&InfoHash([torrent.as_bytes()[0]; 20]));
            Some(format!(
                "complete {} incomplete {} partial {} downloaded {}",
                stats.seeders,
                stats.incomplete(),
                stats.partial,
                stats.downloaded
            ))
        }
        ["sweep"] => {
            let mut expired = 0;
            loop {
                // Small slices: the sweep must be able to stop anywhere.
                let swept = rig.sweep(3);
                expired += swept.expired;
                if swept.finished {
                    return Some(format!("expired {expired}"));
                }
            }
        }
        ["totals"] => {
            let totals = rig.shard.totals();
            Some(format!(
                "swarms {} active {} v4 {} v6 {} web {} seeders {} leechers {}",
                totals.swarms,
                totals.active_swarms,
                totals.v4_peers,
                totals.v6_peers,
                totals.web_peers,
                totals.seeders,
                totals.leechers
            ))
        }
        _ => panic!("no such command: {words:?}"),
    }
}

fn set(rig: &mut Rig, rule: &str, value: &str) {
    let number = || value.parse().unwrap();
    match rule {
        "interval_secs" => rig.rules.interval_secs = number(),
        "peers_per_swarm_max" => rig.rules.peers_per_swarm_max = number(),
        "peers_per_address_and_swarm_max" => rig.rules.peers_per_address_and_swarm_max = number(),
        "peers_per_address_max" => rig.rules.peers_per_address_max = number(),
        "clients_per_user_and_torrent_max" => rig.rules.clients_per_user_and_torrent_max = number(),
        "addresses_per_user_max" => rig.rules.addresses_per_user_max = number(),
        "sessions_max" => rig.rules.sessions_max = number(),
        "numwant_default" => rig.rules.numwant_default = number(),
        "numwant_max" => rig.rules.numwant_max = number(),
        "limit_local_addresses" => rig.rules.limit_local_addresses = value == "true",
        _ => panic!("no such rule: {rule}"),
    }
}

fn announce(rig: &mut Rig, torrent: &str, address: &str, options: &[&str]) -> String {
    let endpoint = Endpoint::from(address.parse::<SocketAddr>().unwrap());
    let mut peer_id = [b'.'; 20];
    let id_len = address.len().min(20);
    peer_id[..id_len].copy_from_slice(&address.as_bytes()[..id_len]);
    let mut ask = ask(torrent.as_bytes()[0], peer_id);
    let (mut client, mut families, mut socket) = (0, Families::Both, 0);
    rig.account = None;
    for option in options {
        let (name, value) = option.split_once('=').unwrap();
        match name {
            "id" => {
                ask.peer_id.0 = [b'.'; 20];
                ask.peer_id.0[..value.len()].copy_from_slice(value.as_bytes());
            }
            "key" => ask.key = Key::from_text(value.as_bytes()),
            "left" => ask.left = value.parse().ok(),
            "event" => ask.event = Event::from_text(value.as_bytes()),
            "up" => ask.uploaded = value.parse().unwrap(),
            "down" => ask.downloaded = value.parse().unwrap(),
            "user" => rig.account = Some(account(value.parse().unwrap(), torrent)),
            "hybrid" => rig.account = rig.account.map(|booked| Account { torrent: number(value), ..booked }),
            "clients" => allow(rig, |allowance| allowance.clients_max = value.parse().ok()),
            "addresses" => allow(rig, |allowance| allowance.addresses_max = value.parse().ok()),
            "want" => ask.numwant = Some(value.parse().unwrap()),
            "client" => client = value.parse().unwrap(),
            "dialect" => {
                families = match value {
                    "udp4" => Families::V4,
                    "udp6" => Families::V6,
                    "ws" => Families::Web,
                    _ => Families::Both,
                }
            }
            "socket" => socket = value.parse().unwrap(),
            _ => panic!("no such option: {option}"),
        }
    }
    let key = match families {
        Families::Web => {
            PeerKey::Web(WebKey { source: endpoint, socket: SocketId::new(0, socket), peer_id: ask.peer_id })
        }
        _ => endpoint.into(),
    };
    let (outcome, peers) = rig.announce(key, client, &ask, families);
    let mut peers: Vec<String> = peers.iter().map(told).collect();
    peers.sort();
    let reason = outcome.reason.name();
    match outcome.answer {
        Err(failure) => format!("{reason}: {}", Failure::text(failure)),
        Ok(reply) => {
            let mut text = format!(
                "{reason}: complete {} incomplete {} interval {} peers",
                reply.stats.seeders,
                reply.stats.incomplete(),
                reply.interval_secs
            );
            if peers.len() > 8 {
                write!(text, " {} of them", peers.len()).unwrap();
            } else {
                peers.iter().for_each(|peer| write!(text, " {peer}").unwrap());
            }
            if let Some(warning) = reply.warning {
                write!(text, " warning: {}", warning.text()).unwrap();
            }
            if let Some(booking) = &rig.booking {
                write!(text, " {}", booked(booking)).unwrap();
            }
            text
        }
    }
}

/// What the class of the user that was named says.
fn allow(rig: &mut Rig, say: impl FnOnce(&mut Allowance)) {
    say(&mut rig.account.as_mut().expect("a user is named before").allowance);
}

/// Downloads are free of charge in half.
fn account(user: u32, torrent: &str) -> Account {
    Account {
        user: UserNumber(user),
        torrent: number(torrent),
        factors: Factors { up_percent: 100, down_percent: 50 },
        allowance: Allowance::default(),
    }
}

fn number(torrent: &str) -> TorrentNumber {
    TorrentNumber(torrent.as_bytes()[0].into())
}

fn booked(booking: &Booking) -> String {
    let Booking { uploaded, downloaded, charged, seeded_secs, leeched_secs, snatched, .. } = *booking;
    let snatched = if snatched { ", snatched" } else { "" };
    format!(
        "booked up {uploaded} down {downloaded} charged {charged}, seeded {seeded_secs} s, leeched {leeched_secs} s{snatched}"
    )
}

fn told(peer: &Told) -> String {
    match peer {
        Told::Dial(endpoint) => format!("{endpoint:?}"),
        Told::Introduce(socket) => format!("{socket:?}"),
    }
}

fn crowd(rig: &mut Rig, torrent: &str, count: u32, kind: &str) {
    for number in 0..count {
        let [_, a, b, c] = number.to_be_bytes();
        let mut ask = ask(torrent.as_bytes()[0], [0; 20]);
        ask.peer_id.0[..4].copy_from_slice(&number.to_be_bytes());
        ask.left = Some(u64::from(kind == "leechers"));
        rig.announce(Endpoint::V4([44, a, b, c, 9, 9]), 0, &ask, Families::V4);
    }
}
