//! The commands that ask a tracker, against the real program and against trackers with one fault each.

mod webtorrent;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};

use crate::rig::{Ask, WAYS, Way, command, start, start_with, wait_for};

const HEX: &str = "0101010101010101010101010101010101010101";

fn evenkeel(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(folder.path()).args(arguments).output().unwrap()
}

fn success(arguments: &[&str]) -> String {
    let output = evenkeel(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn url(address: SocketAddr, scheme: &str) -> String {
    format!("{scheme}://{address}/announce")
}

#[test]
fn announce_and_scrape_print_what_the_tracker_says() {
    let program = start();
    program.announce(Way::UdpV4, &Ask::seeder([1; 20], 1001));
    program.announce(Way::HttpV6, &Ask::leecher([1; 20], 1002));
    for way in WAYS {
        let url = url(program.address(way), if way.is_udp() { "udp" } else { "http" });
        let text = success(&["announce", &url, HEX, "--port", "7000"]);
        assert!(text.contains("seeders     1") && text.contains("leechers    2"), "{way:?}: {text}");
        assert!(text.contains(if way.is_v4() { "127.0.0.1:1001" } else { "[::1]:1002" }), "{way:?}: {text}");
        let text = success(&["scrape", &url, HEX, &format!("magnet:?xt=urn:btih:{}", "ab".repeat(20))]);
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(rows[0], [HEX, "1", "1", "0"], "{way:?}: the announced peer has left again");
        assert_eq!(rows[1][1..], ["0", "0", "0"], "{way:?}");
    }
    let url = url(program.address(Way::HttpV4), "http");
    success(&["announce", &url, HEX, "--stay", "--left", "0", "--port", "7001"]);
    let json: serde_json::Value = serde_json::from_str(&success(&["scrape", &url, HEX, "--json"])).unwrap();
    assert_eq!((json[0]["info_hash"].as_str(), json[0]["seeders"].as_u64()), (Some(HEX), Some(2)));
    let json: serde_json::Value = serde_json::from_str(&success(&["announce", &url, HEX, "--json"])).unwrap();
    assert_eq!(json[0]["peers"].as_array().unwrap().len(), 3);
}

#[test]
fn what_cannot_be_asked_is_one_sentence_and_status_2() {
    let program = start();
    let good = url(program.address(Way::HttpV4), "http");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, sentence) in [
        (vec!["scrape", "ftp://x/announce", HEX], "ftp"),
        (vec!["scrape", "nonsense", HEX], "URL"),
        (vec!["scrape", &good, "nonsense"], "neither an info hash"),
        (vec!["probe", &good, "ftp://127.0.0.1/announce"], "ftp"),
        (vec!["scrape", &url(nobody, "http"), HEX], "connect"),
        (vec!["announce", &url(nobody, "udp"), HEX, "--timeout-secs", "1"], ""),
    ] {
        let output = evenkeel(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(sentence) && text.lines().count() == 1, "{arguments:?}: {text}");
    }
}

#[test]
fn health_follows_the_tracker() {
    let program = start();
    let port = program.port.to_string();
    assert!(evenkeel(&["health", "--port", &port]).status.success());
    drop(program);
    let output = evenkeel(&["health", "--port", &port]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no tracker answers")
    );
}

#[test]
fn the_dns_record_is_that_of_the_configuration() {
    assert_eq!(success(&["dns-record", "--port", "7000"]), "BITTORRENT UDP:7000 TCP:7000\n");
}

#[test]
fn a_probe_passes_this_tracker_over_every_dialect_and_family() {
    let program = start_with("[server]\naddresses = [\"127.0.0.1\", \"::1\"]\n");
    let mut urls: Vec<String> =
        WAYS.map(|way| url(program.address(way), if way.is_udp() { "udp" } else { "http" })).to_vec();
    urls.extend([Way::HttpV4, Way::HttpV6].map(|way| url(program.address(way), "ws")));
    let arguments: Vec<&str> = ["probe"].into_iter().chain(urls.iter().map(String::as_str)).collect();
    let text = success(&arguments);
    assert_eq!(text.matches("a leecher is handed the seeder").count(), 4, "{text}");
    assert_eq!(text.matches("each answer goes back to the peer that made the offer").count(), 2, "{text}");
    assert!(!text.contains("FAIL") && text.ends_with("The tracker works.\n"), "{text}");
    // It leaves nothing behind.
    assert_eq!(program.metric("evenkeel_seeders") + program.metric("evenkeel_leechers"), 0.0);
}

#[test]
fn a_probe_announces_the_info_hash_that_it_is_told() {
    let program = start();
    program.announce(Way::UdpV4, &Ask::seeder([1; 20], 1001));
    let url = url(program.address(Way::HttpV4), "http");
    success(&["probe", &url, "--info-hash", &"ab".repeat(20)]);
    let output = evenkeel(&["probe", &url, "--info-hash", HEX]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAIL  counts in announces are wrong: 2 seeders"), "somebody has it: {text}");
    let output = evenkeel(&["probe", &url, "--info-hash", &HEX[1..]]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("an info hash is 40 hex digits"));
}

#[test]
fn a_probe_finds_each_fault() {
    for (fault, finding) in [
        (Fault::None, "The tracker works."),
        (Fault::HandsOutNobody, "FAIL  a leecher is not handed the seeder"),
        (Fault::HandsOutTheCaller, "FAIL  a caller is handed itself"),
        (Fault::ScrapeDisagrees, "FAIL  the scrape with three peers disagrees"),
        (Fault::IgnoresNumwant, "FAIL  numwant is ignored"),
        (Fault::WrongCounts, "FAIL  counts in announces are wrong"),
        (Fault::KeepsTheStopped, "FAIL  the scrape after all have left disagrees"),
        (Fault::Refuses, "FAIL  the tracker refuses: not today"),
        (Fault::Garbage, "FAIL  malformed answer"),
    ] {
        let address = faulty_tracker(fault);
        let output = evenkeel(&["probe", &url(address, "http"), "--timeout-secs", "5"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(finding), "{fault:?}: {text}");
        assert_eq!(output.status.code(), Some(i32::from(fault != Fault::None)), "{fault:?}: {text}");
        let failures = text.matches("FAIL").count();
        assert!(failures == usize::from(fault != Fault::None), "{fault:?}: one fault, one finding: {text}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = evenkeel(&["probe", &url(nobody, "http")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAIL  cannot connect"));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    HandsOutNobody,
    HandsOutTheCaller,
    ScrapeDisagrees,
    IgnoresNumwant,
    WrongCounts,
    KeepsTheStopped,
    Refuses,
    Garbage,
}

/// A tracker of one swarm with one fault; it lives as long as the test.
fn faulty_tracker(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Port and whether it is a seeder.
    let swarm: Arc<Mutex<Vec<(u16, bool)>>> = Arc::default();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            serve(stream, fault, &mut swarm.lock().unwrap());
        }
    });
    address
}

fn serve(mut stream: TcpStream, fault: Fault, swarm: &mut Vec<(u16, bool)>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let target = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let body = match fault {
        Fault::Refuses => b"d14:failure reason9:not todaye".to_vec(),
        Fault::Garbage => b"<html>".to_vec(),
        _ if target.contains("/scrape") => scrape_body(&target, fault, swarm),
        _ => announce_body(&target, fault, swarm),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).ok();
}

fn counts(swarm: &[(u16, bool)]) -> (usize, usize) {
    let seeders = swarm.iter().filter(|(_, is_seeder)| *is_seeder).count();
    (seeders, swarm.len() - seeders)
}

fn scrape_body(target: &str, fault: Fault, swarm: &[(u16, bool)]) -> Vec<u8> {
    let (seeders, leechers) = counts(swarm);
    let wrong = usize::from(fault == Fault::ScrapeDisagrees && !swarm.is_empty());
    let entry = format!("d8:completei{}e10:downloadedi0e10:incompletei{leechers}ee", seeders + wrong);
    [b"d5:filesd20:", &hash_of(target)[..], entry.as_bytes(), b"ee"].concat()
}

fn announce_body(target: &str, fault: Fault, swarm: &mut Vec<(u16, bool)>) -> Vec<u8> {
    let field = |name: &str| {
        let rest = target.split(&format!("{name}=")).nth(1).unwrap_or_default();
        rest.split(['&', ' ']).next().unwrap_or_default().to_owned()
    };
    let port: u16 = field("port").parse().unwrap();
    if !(field("event") == "stopped" && fault == Fault::KeepsTheStopped) {
        swarm.retain(|(other, _)| *other != port);
    }
    let mut peers: Vec<u16> = swarm.iter().map(|(other, _)| *other).filter(|other| *other != port).collect();
    if field("event") == "stopped" {
        peers.clear();
    } else {
        swarm.push((port, field("left") == "0"));
    }
    match fault {
        Fault::HandsOutNobody => peers.clear(),
        // Once is enough to be found.
        Fault::HandsOutTheCaller if swarm.len() == 2 => peers.push(port),
        Fault::IgnoresNumwant => {}
        _ => peers.truncate(field("numwant").parse().unwrap()),
    }
    let (seeders, leechers) = counts(swarm);
    let seeders = seeders + usize::from(fault == Fault::WrongCounts);
    let mut body =
        format!("d8:completei{seeders}e10:incompletei{leechers}e8:intervali60e5:peers{}:", 6 * peers.len())
            .into_bytes();
    for port in peers {
        body.extend([127, 0, 0, 1]);
        body.extend(port.to_be_bytes());
    }
    body.push(b'e');
    body
}

/// The raw info hash of a target; the client escapes every byte or leaves letters and digits as they are.
fn hash_of(target: &str) -> [u8; 20] {
    let text = target.split("info_hash=").nth(1).unwrap().split(['&', ' ']).next().unwrap();
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some(first) = rest.first() {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&rest[1..3]).unwrap(), 16).unwrap());
            rest = &rest[3..];
        } else {
            bytes.push(*first);
            rest = &rest[1..];
        }
    }
    bytes.try_into().unwrap()
}

#[test]
fn redirects_are_followed_to_the_tracker_that_answers_and_not_for_ever() {
    let there = start();
    there.announce(Way::HttpV4, &Ask::seeder([1; 20], 1001));
    let to = url(there.address(Way::HttpV4), "http");
    let scrape = to.replace("/announce", "/scrape");
    for status in [301, 302, 307] {
        let here = start_with(&format!(
            "[server]\nredirects = [\"/announce {status} {to}\", \"/scrape {status} {scrape}\"]\n"
        ));
        let asked = url(here.address(Way::HttpV4), "http");
        let text = success(&["announce", &asked, HEX, "--port", "7000"]);
        assert!(text.contains("127.0.0.1:1001"), "{text}");
        assert!(success(&["scrape", &asked, HEX]).contains(HEX));
        assert_eq!(here.metric("evenkeel_swarms"), 0.0);
        assert!(here.metric("evenkeel_http_redirects_total") >= 3.0, "announce, farewell, scrape");
    }
    // Two trackers that send everybody to each other.
    let (one, other) = (start(), start());
    for (from, to) in [(&one, &other), (&other, &one)] {
        let rule =
            format!("[server]\nredirects = [\"/announce 302 {}\"]\n", url(to.address(Way::HttpV4), "http"));
        std::fs::write(from.folder.path().join("evenkeel.toml"), rule).unwrap();
        from.signal("HUP");
        wait_for("the rule", || (from.get("/announce").0 == 302).then_some(()));
    }
    let output = evenkeel(&["announce", &url(one.address(Way::HttpV4), "http"), HEX]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("redirect"));
    let asked = |program: &crate::rig::Program| program.metric("evenkeel_http_redirects_total");
    assert!(asked(&one) + asked(&other) < 20.0);
}
