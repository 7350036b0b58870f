//! Policies in the real program: who callers are, and what it changes.

use crate::api;
use crate::bencode::Value;
use crate::rig::{Ask, Program, Way, start_in, start_with, wait_for};

const TORRENT: [u8; 20] = [7; 20];
const OTHER: [u8; 20] = [8; 20];

/// Callers over IPv6 are of the top, those over IPv4 of the newest tier.
const RBS: &str = "[equilibrium]\npolicy = \"rbs-aggressive\"\nration_interval_secs = 600\nnetworks = [\"::1/128 3\", \"127.0.0.0/8 0\"]\n";

/// Sixty seeders, and somebody of the top tier who wants what they have.
fn fill(program: &Program, torrent: [u8; 20]) {
    for port in 1001..1061 {
        program.announce(Way::UdpV4, &Ask::seeder(torrent, port));
    }
    program.announce(Way::HttpV6, &Ask { numwant: 200, ..Ask::leecher(torrent, 2000) });
}

fn newcomer(torrent: [u8; 20]) -> Ask {
    Ask { numwant: 200, ..Ask::leecher(torrent, 3000) }
}

fn rationed(program: &Program) -> f64 {
    ["http", "udp"]
        .map(|dialect| {
            let labels = format!("{{dialect=\"{dialect}\",reason=\"announced_rationed\"}}");
            program.metric(&format!("evenkeel_requests_total{labels}"))
        })
        .iter()
        .sum()
}

#[test]
fn a_newcomer_learns_of_seeders_in_steps_while_the_top_tier_leeches() {
    let program = start_with(RBS);
    fill(&program, TORRENT);
    let top = program.announce(Way::HttpV6, &Ask { numwant: 200, ..Ask::leecher(TORRENT, 2001) });
    assert_eq!(top.peers.len(), 61, "the top tier is given everybody");
    assert_eq!(rationed(&program), 0.0);
    for way in [Way::HttpV4, Way::UdpV4] {
        let answer = program.announce(way, &newcomer(TORRENT));
        let seeders = answer.peers.iter().filter(|peer| peer.port() < 2000).count();
        assert!((1..40).contains(&seeders), "{seeders} of 60 seeders at first");
        assert!((540..=660).contains(&answer.interval), "it is to ask again sooner: {}", answer.interval);
    }
    assert_eq!(rationed(&program), 2.0);
}

#[test]
fn a_torrent_and_a_class_may_have_a_policy_of_their_own() {
    let hash: String = OTHER.iter().map(|byte| format!("{byte:02x}")).collect();
    let program = start_with(&format!("{RBS}torrents = [\"{hash} random\"]\n"));
    for (torrent, expected) in [(TORRENT, 1..40), (OTHER, 60..61)] {
        fill(&program, torrent);
        let answer = program.announce(Way::UdpV4, &newcomer(torrent));
        assert!(expected.contains(&answer.peers.len()), "{}", answer.peers.len());
    }
    let of_class = RBS.replace("127.0.0.0/8 0", "127.0.0.0/8 0 random");
    let program = start_with(&of_class);
    fill(&program, TORRENT);
    assert_eq!(program.announce(Way::UdpV4, &newcomer(TORRENT)).peers.len(), 60);
}

/// How many peers somebody who leeches is told of.
fn told(program: &Program, passkey: &str, port: u16) -> usize {
    let ask = Ask { numwant: 200, ..Ask::leecher(TORRENT, port) };
    let (_, body) = program.get(&format!("/{passkey}/announce?{}&compact=1", ask.query()));
    Value::read(&body).bytes("peers").expect("peers").len() / 6
}

#[test]
fn a_member_has_the_tier_that_it_is_held_at() {
    let program = start_with(
        "[access]\ntorrents = \"any\"\nidentity = \"optional\"\n[equilibrium]\npolicy = \"rbs-aggressive\"\nheld_out_percent = 0\n",
    );
    let token = api::token_in(&program.banner).unwrap();
    wait_for("the tracker", || (program.get_admin("/ready").0 == 200).then_some(()));
    let [ann, bob] = ["ann", "bob"].map(|name| {
        let (_, made) = api::ask(&program, &token, "POST /users", &format!("{{\"name\": \"{name}\"}}"));
        made["passkey"].as_str().unwrap().to_owned()
    });
    for port in 1001..1061 {
        program.announce(Way::UdpV4, &Ask::seeder(TORRENT, port));
    }
    let known = || program.get(&format!("/{bob}/announce?{}", Ask::leecher(OTHER, 1).query())).1;
    wait_for("the members", || (!known().starts_with(b"d14:failure")).then_some(()));
    let mut ports = 3000..;
    let mut told_newcomer = || {
        told(&program, &ann, 2000);
        // A client of its own each time, that leaves again.
        let port = ports.next().unwrap();
        let peers = told(&program, &bob, port);
        let stop = Ask::leecher(TORRENT, port).event("stopped");
        program.get(&format!("/{bob}/announce?{}", stop.query()));
        peers
    };
    assert_eq!(told_newcomer(), 61, "nobody is of a higher tier");
    assert_eq!(api::ask(&program, &token, "PUT /users/1/tier", r#"{"tier": 3}"#).1["pinned_tier"], 3);
    wait_for("the tier", || (told_newcomer() < 40).then_some(()));
    assert_eq!(told(&program, &ann, 2000), 60);
    api::ask(&program, &token, "PUT /users/1/tier", r#"{"tier": null}"#);
    wait_for("its end", || (told_newcomer() == 61).then_some(()));
}

#[test]
fn who_may_know_whom_is_the_same_after_a_restart() {
    let mut program = start_with(RBS);
    let mut lists = Vec::new();
    for _ in 0..2 {
        fill(&program, TORRENT);
        let mut peers = program.announce(Way::UdpV4, &newcomer(TORRENT)).peers;
        peers.sort_unstable();
        lists.push(peers);
        program.signal("TERM");
        let (_, folder) = program.wait();
        program = start_in(folder, RBS);
    }
    assert_eq!(lists[0], lists[1]);
}

#[test]
fn a_policy_changes_at_a_reload_once_reports_are_kept() {
    let program = start_with(RBS);
    fill(&program, TORRENT);
    let told = |program: &Program| program.announce(Way::UdpV4, &newcomer(TORRENT)).peers.len();
    assert!(told(&program) < 40);
    std::fs::write(program.folder.path().join("evenkeel.toml"), "[equilibrium]\npolicy = \"random\"\n")
        .unwrap();
    program.signal("HUP");
    wait_for("the reload", || (told(&program) == 60).then_some(()));

    // Without them lists stay as they were, and nothing is lost.
    let program = start_with("");
    fill(&program, TORRENT);
    std::fs::write(
        program.folder.path().join("evenkeel.toml"),
        format!("[announce]\ninterval_secs = 900\n{RBS}"),
    )
    .unwrap();
    program.signal("HUP");
    let interval = || program.announce(Way::UdpV4, &newcomer(TORRENT)).interval;
    wait_for("the reload", || (interval() < 1000).then_some(()));
    assert_eq!(told(&program), 60);
}
