//! The long test of WebTorrent, on trackers that are good and on some that are not.

use std::process::{Command, Output};

use super::ws_tracker::{Fault, WsTracker};

fn lab(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel-lab"))
        .args(arguments.split_ascii_whitespace())
        .output()
        .unwrap()
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
