//! Pages for people and monitors.

use crate::rig::{Ask, Way, get, start, start_with, wait_for};

#[test]
fn health_and_readiness_are_told() {
    let program = start();
    assert_eq!(program.get("/health"), (200, b"ok\n".to_vec()));
    assert_eq!(program.get_admin("/ready"), (200, "ready\n".to_owned()));
    assert_eq!(program.get_admin("/announce").0, 404, "the admin port is no tracker");
}

#[test]
fn statistics_have_the_keys_and_lines_that_programs_read() {
    let program = start();
    let qbittorrent = |port| Ask { peer_id: *b"-qB4620-abcdefghijkl", ..Ask::seeder([1; 20], port) };
    program.announce(Way::HttpV4, &qbittorrent(1001));
    program.announce(Way::HttpV4, &Ask { left: 9, info_hash: [2; 20], ..qbittorrent(1001) });
    program.announce(Way::HttpV6, &Ask { peer_id: *b"-<b>001-abcdefghijkl", ..Ask::leecher([1; 20], 1002) });
    program.announce(Way::UdpV4, &Ask { peer_id: *b"-TR3000-abcdefghijkl", ..Ask::leecher([3; 20], 1003) });
    program.announce(
        Way::UdpV4,
        &Ask { peer_id: *b"-TR3000-abcdefghijkl", ..Ask::leecher([3; 20], 1003) }.event("stopped"),
    );
    let json = "{\"torrents\":3,\"activeTorrents\":2,\"peersAll\":2,\"peersSeederOnly\":0,\"peersLeecherOnly\":1,\
                \"peersSeederAndLeecher\":1,\"peersIPv4\":1,\"peersIPv6\":1,\"clients\":{\"qBittorrent\":{\"4.6.2\":1},\
                \"unknown\":{\"-<b>001-\":1}},\"estimated\":false}\n";
    let (status, body) = program.get("/stats.json");
    assert_eq!((status, String::from_utf8(body).unwrap().as_str()), (200, json));
    let (_, body) = get(program.address(Way::HttpV4), Some("Accept: application/json\r\n"), "/stats");
    assert_eq!(String::from_utf8(body).unwrap(), json);

    let (_, body) = program.get("/stats?x");
    let html = String::from_utf8(body).unwrap();
    let numbers: Vec<String> = html
        .lines()
        .take(7)
        .filter_map(|line| {
            // Readers take the first digits that stand behind neither v nor h.
            let text = ["h1>", "h2>", "h3>", "v4", "v6"]
                .iter()
                .fold(line.to_owned(), |line, no| line.replace(no, ""));
            let digits =
                text.split(|letter: char| !letter.is_ascii_digit()).find(|digits| !digits.is_empty());
            digits.map(str::to_owned)
        })
        .collect();
    assert_eq!(numbers, ["3", "2", "0", "1", "1", "1", "1"], "{html}");
    assert!(
        html.contains("<strong>unknown</strong> -&lt;b&gt;001- : 1"),
        "what strangers send is escaped: {html}"
    );
}

#[test]
fn what_peers_report_is_told_when_it_is_kept() {
    let program = start_with("[announce]\nkeep_reports = true\n");
    let announce = |peer: char, uploaded: u64, downloaded: u64, rest: &str| {
        let path = format!(
            "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX0001-{}&port={}&uploaded={}&downloaded={}{rest}",
            peer.to_string().repeat(12),
            u32::from(peer),
            uploaded << 20,
            downloaded << 20
        );
        assert_eq!(program.get(&path).0, 200);
    };
    let reported = || {
        let body = String::from_utf8(program.get("/stats.json").1).unwrap();
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        ["uploadedBytes", "downloadedBytes", "leftBytes"]
            .map(|key| json["reported"][key].as_u64().unwrap() >> 20)
    };
    let moved = || {
        ["up", "down"]
            .map(|way| program.metric(&format!("evenkeel_reported_{way}loaded_bytes_total")) / 1_048_576.0)
    };
    announce('a', 100, 0, "&left=0");
    announce('b', 0, 3, &format!("&left={}", 7 << 20));
    assert_eq!(
        (reported(), moved()),
        ([100, 3, 7], [0.0, 0.0]),
        "what was moved before the first announce is not ours"
    );
    announce('a', 106, 0, "&left=0");
    announce('b', 1, 10, "&left=0&event=completed");
    assert_eq!((reported(), moved()), ([107, 10, 0], [7.0, 7.0]));
    announce('b', 4, 10, "&left=0&event=stopped");
    assert_eq!((reported(), moved()), ([106, 0, 0], [10.0, 7.0]), "the last announce counts, too");
    let html = String::from_utf8(program.get("/stats").1).unwrap();
    assert!(html.contains("As the peers report: 111149056 bytes sent, 0 got, 0 lacking;"), "{html}");
}

#[test]
fn the_landing_page_names_the_urls_and_can_be_switched_off() {
    let program = start_with("[server]\npublic_url = \"https://tracker.example.org\"\n");
    let (status, body) = program.get("/");
    let html = String::from_utf8(body).unwrap();
    assert_eq!(status, 200);
    assert!(html.contains("https://tracker.example.org/announce"), "{html}");
    assert!(html.contains(&format!("udp://tracker.example.org:{}/announce", program.port)), "{html}");
    assert!(program.banner.contains("https://tracker.example.org/announce"), "{}", program.banner);
    let program = start_with("[server]\nlanding_page = false\n");
    assert_eq!(program.get("/").0, 404);
}

#[test]
fn metrics_count_every_request_once() {
    let program = start();
    program.announce(Way::HttpV4, &Ask::seeder([1; 20], 1001));
    program.announce(Way::UdpV6, &Ask::leecher([1; 20], 1002));
    program.scrape(Way::UdpV4, &[[1; 20], [2; 20]]);
    program.scrape(Way::HttpV4, &[[1; 20], [2; 20]]);
    program.get("/announce?port=1");
    program.raw(b"nonsense\r\n\r\n");
    for (labels, count) in [
        ("dialect=\"http\",reason=\"announced\"", 1.0),
        ("dialect=\"udp\",reason=\"announced\"", 1.0),
        ("dialect=\"udp\",reason=\"connected\"", 2.0),
        ("dialect=\"udp\",reason=\"scraped\"", 1.0),
        ("dialect=\"http\",reason=\"scraped\"", 1.0),
        ("dialect=\"http\",reason=\"failed_info_hash\"", 1.0),
        ("dialect=\"http\",reason=\"head_malformed\"", 1.0),
    ] {
        assert_eq!(program.metric(&format!("evenkeel_requests_total{{{labels}}}")), count, "{labels}");
    }
    assert_eq!(program.metric("evenkeel_peers{family=\"v4\"}"), 1.0);
    assert_eq!(program.metric("evenkeel_peers{family=\"v6\"}"), 1.0);
    assert_eq!(program.metric("evenkeel_seeders"), 1.0);
    assert_eq!(program.metric("evenkeel_panics_total"), 0.0);
    wait_for("latencies", || {
        (program.metric("evenkeel_request_duration_seconds_count{dialect=\"udp\"}") >= 4.0).then_some(())
    });
}
