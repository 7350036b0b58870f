//! The load tester on a tracker so small that it can be seen through: what it says must be what happened.
//! The comparison of servers on two echoes. The long test of WebTorrent on trackers that make mistakes.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod tls;
mod tracker;
mod webtorrent;
mod ws_tracker;

use std::process::{Command, Output};

use serde_json::Value;

use self::tracker::{Faults, Tracker};

/// Loads `tracker` and answers the result.
fn load(tracker: &Tracker, arguments: &str) -> Value {
    let output = run(tracker, arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn run(tracker: &Tracker, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel-lab"))
        .args(["load", "--json", "-", "--warmup", "0.05", "--duration", "0.15"])
        .args(["--window", "32", "--connections", "8", "--target", &tracker.address.to_string()])
        .args(arguments.split_ascii_whitespace())
        .output()
        .unwrap()
}

fn number(result: &Value, name: &str) -> u64 {
    result[name].as_u64().unwrap_or_else(|| panic!("{name} in {result}"))
}

#[test]
fn a_fill_announces_each_peer_once() {
    for (address, protocol) in
        [("127.0.0.1", "udp"), ("::1", "udp"), ("127.0.0.1", "http"), ("::1", "http-close")]
    {
        let tracker = Tracker::start(address, protocol, Faults::default());
        let result =
            load(&tracker, &format!("--protocol {protocol} --fill --peers 1000 --torrents 50 --zipf 1"));
        assert_eq!(tracker.peers(), 1_000, "{address} {protocol}");
        assert_eq!((number(&result, "replies"), number(&result, "announces")), (1_000, 1_000));
        assert_eq!((number(&result, "lost"), number(&result, "errors")), (0, 0));
    }
}

#[test]
fn a_fill_makes_lost_announces_again() {
    let tracker = Tracker::start("127.0.0.1", "udp", Faults { drop_every: 10, ..Faults::default() });
    let result = load(&tracker, "--fill --peers 1000 --timeout 0.1");
    assert_eq!((tracker.peers(), number(&result, "replies")), (1_000, 1_000));
    assert!(number(&result, "repeated") >= 100, "{result}");
}

#[test]
fn replies_are_measured() {
    for protocol in ["udp", "http", "http-close"] {
        let tracker = Tracker::start("127.0.0.1", protocol, Faults::default());
        let result = load(&tracker, &format!("--protocol {protocol} --scrapes 0.2"));
        assert!(number(&result, "announces") > 0 && number(&result, "scrapes") > 0, "{result}");
        assert_eq!(number(&result, "errors") + number(&result, "lost") + number(&result, "unexpected"), 0);
        assert_eq!(result["mean_peers"], 3.0);
        assert!(result["latency_us"]["p50"].as_f64().unwrap() > 0.0);
        assert_eq!(
            result["checks_connection_ids"],
            if protocol == "udp" { true.into() } else { Value::Null }
        );
    }
}

#[test]
fn a_rate_is_kept_and_the_server_metered() {
    let tracker = Tracker::start("127.0.0.1", "udp", Faults::default());
    let result = load(&tracker, &format!("--rate 100 --server-pid {}", std::process::id()));
    // 15 or so; more by what a late machine makes up for. A closed loop has thousands.
    assert!((1..=200).contains(&number(&result, "replies")), "{result}");
    assert!(result["server"]["cpu_ns_per_reply"].as_f64().unwrap() > 0.0);
    assert!(result["server"]["rss_after_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn lost_replies_are_counted() {
    let tracker = Tracker::start("127.0.0.1", "udp", Faults { drop_every: 5, ..Faults::default() });
    let result = load(&tracker, "--rate 1000 --timeout 0.1");
    assert!(number(&result, "lost") > 0 && number(&result, "replies") > 0, "{result}");
}

#[test]
fn hostile_packets_get_silence_or_the_load_fails() {
    for address in ["127.0.0.1", "::1"] {
        let tracker = Tracker::start(address, "udp", Faults::default());
        let result = load(&tracker, "--hostile 0.5 --timeout 0.3");
        assert!(number(&result, "hostile_sent") > 0 && tracker.refused() > 0, "{result}");
        assert_eq!(number(&result, "hostile_bytes_back"), 0);
    }
    let careless = Tracker::start("127.0.0.1", "udp", Faults { believes_all: true, ..Faults::default() });
    let output = run(&careless, "--hostile 0.5 --timeout 0.3");
    assert!(!output.status.success());
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(number(&result, "hostile_bytes_back") > 0);
    assert_eq!(result["checks_connection_ids"], false);
}

#[test]
fn hostile_clients_come_beside_a_load_over_tcp_which_fails_if_anybody_else_is_left_waiting() {
    let tracker = Tracker::start("127.0.0.1", "http", Faults::default());
    let arguments = "--protocol http --hostile 0.5 --timeout 0.3 --scrapes 0";
    let result = load(&tracker, arguments);
    let crowd = &result["hostile_clients"];
    assert!(number(crowd, "opened") >= 8 && number(crowd, "bytes_sent") > 0, "{result}");
    assert!(number(&result, "replies") > 0 && number(&result, "errors") == 0, "{result}");
    assert_eq!(load(&tracker, "--protocol http")["hostile_clients"], Value::Null);
    let forgetful = Tracker::start("127.0.0.1", "http", Faults { drop_every: 5, ..Faults::default() });
    let output = run(&forgetful, arguments);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("never came"), "{text}");
}

#[test]
fn other_machines_are_left_alone() {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel-lab"))
        .args(["load", "--target", "192.0.2.1:6969"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--i-own-this-server"));
}

#[test]
fn the_echo_is_taken_for_a_tracker() {
    let echo = tracker::Echo::start(env!("CARGO_BIN_EXE_evenkeel-lab"), &["echo"]);
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel-lab"))
        .args(["load", "--json", "-", "--warmup", "0", "--duration", "0.1", "--target", &echo.address])
        .output()
        .unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["mean_peers"], &result["mean_reply_bytes"]), (&30.0.into(), &200.0.into()));
    assert_eq!(number(&result, "errors"), 0);
}

#[test]
fn the_page_is_taken_for_a_tracker_and_is_as_long_as_it_was_told() {
    let page = tracker::Echo::start(env!("CARGO_BIN_EXE_evenkeel-lab"), &["page", "--reply-bytes", "321"]);
    // One that closes says so, which takes 19 bytes.
    for (protocol, bytes) in [("http", 321.0), ("http-close", 340.0)] {
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel-lab"))
            .args(["load", "--json", "-", "--warmup", "0", "--duration", "0.1", "--target", &page.address])
            .args(["--protocol", protocol])
            .output()
            .unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(number(&result, "replies") > 0, "{result}");
        assert_eq!((number(&result, "errors"), &result["mean_reply_bytes"]), (0, &bytes.into()));
    }
}

/// A plan of one short load; `servers` stands in it as TOML.
fn bench(servers: &str, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.toml");
    let workload = r#"
        [[workload]]
        key = "short"
        name = "a short one"
        fill = false
        load = ["--warmup", "0", "--duration", "0.1", "--window", "16"]
    "#;
    std::fs::write(&plan, format!("rounds = 2\n{servers}\n{workload}")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_evenkeel-lab")).arg("bench").arg(plan).args(arguments).output().unwrap()
}

fn echo_server(name: &str, is_echo: bool) -> String {
    let program = env!("CARGO_BIN_EXE_evenkeel-lab");
    format!(
        r#"
        [[server]]
        name = "{name}"
        command = ["{program}", "echo", "--address", "127.0.0.1:{{port}}"]
        version = ["{program}", "--version"]
        is_echo = {is_echo}
        "#
    )
}

#[test]
fn servers_are_compared_in_turn() {
    let output = bench(&(echo_server("one", true) + &echo_server("two", true)), &[]);
    let (table, turns) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let turns: Vec<_> = turns.lines().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
    assert_eq!(
        turns,
        [
            "short IPv4, round 1 of 2, one",
            "short IPv4, round 1 of 2, two",
            "short IPv4, round 2 of 2, one",
            "short IPv4, round 2 of 2, two"
        ]
    );
    assert!(table.contains("* one: evenkeel-lab ") && table.contains("### short: a short one"), "{table}");
    assert_eq!(
        table.lines().filter(|line| line.starts_with("| one | ") || line.starts_with("| two | ")).count(),
        2
    );
}

#[test]
fn a_comparison_that_was_stopped_goes_on_where_it_was() {
    let kept = tempfile::tempdir().unwrap();
    let turns = |rounds: &str| {
        let folder = kept.path().to_str().unwrap();
        let output = bench(&echo_server("one", true), &["--rounds", rounds, "--resume", folder]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap().matches(" left): ").count()
    };
    assert_eq!([turns("1"), turns("3"), turns("3")], [1, 2, 0]);
}

#[test]
fn another_version_than_the_expected_one_is_not_measured() {
    let server = echo_server("one", true) + "expect_version = '0.0.7'\n";
    let output = bench(&server, &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("one must be 0.0.7"));
}

#[test]
fn a_tracker_with_settings_of_its_own_is_no_fair_comparison() {
    let shown = |setting: &str| {
        let show =
            format!("settings = ['echo', \"\"\"[server]\nport = 1 # flag; default 6969\n{setting}\"\"\"]\n");
        bench(&(echo_server("ours", true) + &show), &["--rounds", "1"])
    };
    assert!(shown("workers = 0").status.success());
    let output = shown("workers = 3 # file; default 0");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("settings are no defaults: server.workers"), "{text}");
}

#[test]
fn a_tracker_that_believes_all_is_no_fair_comparison() {
    let output = bench(&echo_server("careless", false), &["--rounds", "1"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("careless does not check connection ids"), "{text}");
}
