//! Load and long test of WebTorrent, on trackers that are good and on some that are not.

use std::process::{Command, Output};

use serde_json::Value;

use super::number;
use super::ws_tracker::{Fault, WsTracker};

fn lab(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel-lab"))
        .args(arguments.split_ascii_whitespace())
        .output()
        .unwrap()
}

/// Loads `tracker` and answers the result.
fn load(tracker: &WsTracker, arguments: &str) -> Value {
    let line = format!(
        "load --protocol ws --json - --warmup 0.05 --duration 1 --torrents 10 --target {} {arguments}",
        tracker.address
    );
    let output = lab(&line);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn offers_and_answers_go_both_ways() {
    let tracker = WsTracker::start(Fault::None);
    for sockets in ["", "--torrents-per-socket 4"] {
        let result = load(&tracker, &format!("--peers 60 --scrapes 0.1 {sockets}"));
        assert!(number(&result, "announces") > 0 && number(&result, "scrapes") > 0, "{result}");
        assert_eq!(number(&result, "errors") + number(&result, "lost") + number(&result, "unexpected"), 0);
        let relayed = |name: &str| number(&result["relayed"], name);
        // Those that are under way at the start or the end of the measured time are counted on one side.
        assert!(relayed("offers_received") > 0 && relayed("offers_sent") > number(&result, "announces"));
        assert!(relayed("answers_sent") > relayed("offers_received") / 4, "{result}");
        assert!(relayed("answers_received") > 0);
        let came_out = number(&result, "replies") + relayed("offers_received") + relayed("answers_received");
        assert_eq!(number(&result, "messages"), came_out);
        assert!(result["latency_us"]["p50"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_fill_makes_each_peer_known_and_holds_it() {
    let tracker = WsTracker::start(Fault::None);
    let pid = std::process::id();
    let arguments = format!("--peers 100 --torrents-per-socket 3 --fill --hold 0.1 --server-pid {pid}");
    let result = load(&tracker, &arguments);
    assert_eq!((tracker.peers(), number(&result, "announces")), (100, 100));
    let sockets = number(&result, "connections");
    // Three torrents on most; those of one socket are not the same.
    assert!((34..50).contains(&sockets), "{result}");
    assert!(result["server"]["rss_bytes_per_connection"].is_number());
}

#[test]
fn a_rate_is_kept_and_refusals_are_errors() {
    let tracker = WsTracker::start(Fault::None);
    let result = load(&tracker, "--peers 20 --rate 100 --offers 0");
    assert!((1..=200).contains(&number(&result, "replies")), "{result}");
    assert_eq!(number(&result["relayed"], "offers_sent"), 0);
    let result = load(&WsTracker::start(Fault::Refuses), "--peers 20 --rate 100");
    assert!(number(&result, "errors") > 0 && number(&result, "replies") == 0, "{result}");
    assert_eq!(result["first_error"], "not today");
    let result = load(&WsTracker::start(Fault::Hangs), "--peers 20 --rate 200");
    assert!(number(&result, "errors") > 0 && number(&result, "replies") > 0, "{result}");
}

#[test]
fn more_sockets_than_files_are_refused() {
    let output = lab("load --protocol ws --target 127.0.0.1:1 --peers 100000000 --torrents 1000");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--torrents-per-socket"), "{output:?}");
}

/// A churn of three seconds.
fn churn(fault: Fault, arguments: &str) -> (bool, String) {
    let tracker = WsTracker::start(fault);
    let output = lab(&format!(
        "churn --url ws://{}/announce --sockets 40 --minutes 0.05 --lifetime 1 --interval 0.3 --torrents 8 \
         --sources 2 {arguments}",
        tracker.address
    ));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_good_tracker_passes_the_long_test() {
    let (passed, text) = churn(Fault::None, "--wait 10");
    assert!(passed, "{text}");
    assert!(text.contains("* verdict: passed") && text.contains("| errors | | 0 |"), "{text}");
    assert!(text.contains("a scrape of each torrent says 0 peers"), "{text}");
}

#[test]
fn the_long_test_shows_the_memory_of_the_tracker() {
    // Other tests run in this process: what is said of its memory means nothing, and may be a failure.
    let (_, text) = churn(Fault::None, &format!("--wait 10 --pid {}", std::process::id()));
    assert!(text.contains("| before | 0 |") && text.contains("| after | 0 |"), "{text}");
}

#[test]
fn a_tracker_that_makes_mistakes_fails_the_long_test() {
    let mistakes = [
        (Fault::MisroutesAnswers, "answers to who did not offer"),
        (Fault::RepeatsAnswers, "second answers to one offer"),
        (Fault::ReturnsOffers, "offers that came back to their maker"),
        (Fault::Miscounts, "counts that cannot be"),
        (Fault::Refuses, "a scrape was answered by Failure"),
        (Fault::Hangs, "sockets that behaved and broke"),
        (Fault::KeepsTheClosed, "the tracker still has peers"),
    ];
    std::thread::scope(|scope| {
        for (fault, complaint) in mistakes {
            scope.spawn(move || {
                let (passed, text) = churn(fault, "--wait 2");
                assert!(!passed && text.contains(complaint), "{fault:?}: {text}");
            });
        }
    });
}
