//! The commands that ask a tracker of WebTorrent, against trackers with one fault each.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_websockets::{Message, ServerBuilder};

use super::{HEX, evenkeel, success, url};
use crate::rig::{Way, start, wait_for};

#[test]
fn a_probe_finds_each_fault_of_a_webtorrent_tracker() {
    let probe = |(fault, finding): (Fault, &str)| {
        let tracker = url(faulty_tracker(fault), "ws");
        let output = evenkeel(&["probe", &tracker, "--timeout-secs", "5"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(finding), "{fault:?}: {text}");
        assert_eq!(output.status.code(), Some(i32::from(fault != Fault::None)), "{fault:?}: {text}");
        let failures = text.matches("FAIL").count();
        assert!(failures == usize::from(fault != Fault::None), "{fault:?}: one fault, one finding: {text}");
    };
    // Some faults show only when the time is up: all of them at once.
    std::thread::scope(|scope| {
        for row in [
            (Fault::None, "The tracker works."),
            (Fault::RelaysToNobody, "FAIL  a leecher's offer does not reach the seeder"),
            (Fault::RelaysToTheCaller, "FAIL  a caller is handed its own offer"),
            (Fault::RelaysToEverybody, "FAIL  an offer is handed on 2 times: each is for one peer"),
            (Fault::RelaysOnlyToLeechers, "FAIL  a leecher's offer does not reach the seeder"),
            (Fault::ChangesOffers, "FAIL  an offer is changed on its way"),
            (Fault::HidesTheOfferer, "FAIL  an offer is handed on in the name of another peer"),
            (Fault::MisroutesAnswers, "FAIL  an answer goes to a peer that did not make the offer"),
            (Fault::LosesAnswers, "FAIL  an answer does not come back to the peer that made the offer"),
            (Fault::RepeatsAnswers, "FAIL  an answer comes back 2 times"),
            (Fault::WrongCounts, "FAIL  counts in announces are wrong"),
            (Fault::ScrapeDisagrees, "FAIL  the scrape with three peers disagrees"),
            (Fault::KeepsTheStopped, "FAIL  the scrape after one has said that it stopped disagrees"),
            (Fault::KeepsTheClosed, "FAIL  the scrape after the others have closed their sockets disagrees"),
            (Fault::Refuses, "FAIL  the tracker refuses: not today"),
            (Fault::Garbage, "FAIL  malformed answer"),
            (Fault::Silent, "FAIL  no answer in time"),
        ] {
            scope.spawn(move || probe(row));
        }
    });
}

#[test]
fn what_does_not_speak_websocket_is_found_too() {
    let program = start();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (tracker, finding) in [
        (
            url(super::faulty_tracker(super::Fault::Garbage), "ws"),
            "FAIL  the tracker answered with HTTP status 200",
        ),
        (url(nobody, "ws"), "FAIL  cannot connect"),
        (url(program.address(Way::HttpV4), "wss"), "FAIL  TLS failed"),
    ] {
        let output = evenkeel(&["probe", &tracker]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), text.contains(finding)), (Some(1), true), "{text}");
    }
}

#[test]
fn an_announced_peer_leaves_with_its_socket() {
    let tracker = url(faulty_tracker(Fault::None), "ws");
    let scraped = || {
        let text = success(&["scrape", &tracker, HEX]);
        let row: Vec<String> = text.lines().nth(1).unwrap().split_whitespace().map(String::from).collect();
        row[1..].join(" ")
    };
    let text = success(&["announce", &tracker, HEX, "--left", "0"]);
    assert!(text.contains("seeders     1") && text.contains("leechers    0"), "{text}");
    assert!(!text.contains("peers"), "nobody is handed out over this dialect: {text}");
    wait_for("the peer to be forgotten", || (scraped() == "0 0 0").then_some(()));
    let json: Value = serde_json::from_str(&success(&["announce", &tracker, HEX, "--json"])).unwrap();
    assert_eq!((&json[0]["leechers"], &json[0]["interval_secs"]), (&json!(1), &json!(120)));
    let output = evenkeel(&["announce", &tracker, HEX, "--stay"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("it leaves when its socket closes"));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    RelaysToNobody,
    RelaysToTheCaller,
    RelaysToEverybody,
    RelaysOnlyToLeechers,
    ChangesOffers,
    HidesTheOfferer,
    MisroutesAnswers,
    LosesAnswers,
    RepeatsAnswers,
    WrongCounts,
    ScrapeDisagrees,
    KeepsTheStopped,
    KeepsTheClosed,
    Refuses,
    Garbage,
    Silent,
}

/// A tracker of one swarm with one fault; it lives as long as the test.
fn faulty_tracker(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let swarm = Arc::new(Mutex::new(Swarm { fault, members: Vec::new() }));
        for socket in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(stream, socket, Arc::clone(&swarm)));
        }
    };
    std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
    });
    address
}

/// Serves one socket to its end.
async fn converse(stream: TcpStream, socket: usize, swarm: Arc<Mutex<Swarm>>) {
    let Ok((_, mut stream)) = ServerBuilder::new().accept(stream).await else { return };
    let (out, mut queue) = unbounded_channel::<String>();
    loop {
        tokio::select! {
            Some(text) = queue.recv() => {
                if stream.send(Message::text(text)).await.is_err() { break }
            }
            message = stream.next() => {
                let Some(Ok(message)) = message else { break };
                let Some(text) = message.as_text() else { continue };
                swarm.lock().unwrap().take(socket, &out, &serde_json::from_str(text).unwrap());
            }
        }
    }
    swarm.lock().unwrap().close(socket);
}

struct Swarm {
    fault: Fault,
    members: Vec<Member>,
}

#[derive(Clone)]
struct Member {
    socket: usize,
    peer_id: Value,
    is_seeder: bool,
    out: UnboundedSender<String>,
}

/// A member whose socket was closed meanwhile hears nothing.
fn send(to: &UnboundedSender<String>, message: &Value) {
    to.send(message.to_string()).ok();
}

impl Swarm {
    fn take(&mut self, socket: usize, out: &UnboundedSender<String>, message: &Value) {
        match self.fault {
            Fault::Silent => {}
            Fault::Garbage => drop(out.send("<html>".into())),
            Fault::Refuses => send(out, &json!({"action": "announce", "failure reason": "not today"})),
            _ if message["action"] == "scrape" => self.scrape(out, message),
            _ if message["answer"].is_object() => self.answer(message),
            _ => {
                let is_seeder = message["left"] == 0;
                let peer_id = message["peer_id"].clone();
                self.announce(&Member { socket, peer_id, is_seeder, out: out.clone() }, message);
            }
        }
    }

    fn close(&mut self, socket: usize) {
        self.members.retain(|member| member.socket != socket || self.fault == Fault::KeepsTheClosed);
    }

    fn counts(&self) -> (usize, usize) {
        let seeders = self.members.iter().filter(|member| member.is_seeder).count();
        (seeders, self.members.len() - seeders)
    }

    fn scrape(&self, out: &UnboundedSender<String>, message: &Value) {
        let (seeders, leechers) = self.counts();
        let wrong = usize::from(self.fault == Fault::ScrapeDisagrees && self.members.len() == 3);
        let counts = json!({"complete": seeders + wrong, "incomplete": leechers, "downloaded": 0});
        let info_hash = message["info_hash"][0].as_str().unwrap();
        send(out, &json!({"action": "scrape", "files": {info_hash: counts}}));
    }

    fn announce(&mut self, caller: &Member, message: &Value) {
        let is_stopped = message["event"] == "stopped";
        if !(is_stopped && self.fault == Fault::KeepsTheStopped) {
            self.members.retain(|member| member.peer_id != caller.peer_id);
        }
        let mut others: Vec<Member> = self.members.clone();
        if !is_stopped {
            self.members.push(caller.clone());
        }
        let (seeders, leechers) = self.counts();
        let seeders = seeders + usize::from(self.fault == Fault::WrongCounts);
        let info_hash = &message["info_hash"];
        send(
            &caller.out,
            &json!({"action": "announce", "info_hash": info_hash, "interval": 120, "complete": seeders,
                    "incomplete": leechers}),
        );
        for offer in message["offers"].as_array().unwrap() {
            let receivers = match self.fault {
                Fault::RelaysToNobody => Vec::new(),
                Fault::RelaysToTheCaller => {
                    others.drain(..others.len().min(1)).chain([caller.clone()]).collect()
                }
                Fault::RelaysToEverybody => others.clone(),
                Fault::RelaysOnlyToLeechers => others.iter().filter(|one| !one.is_seeder).cloned().collect(),
                _ => others.drain(..others.len().min(1)).collect(),
            };
            let mut relay = json!({"action": "announce", "info_hash": info_hash, "peer_id": caller.peer_id,
                                   "offer_id": offer["offer_id"], "offer": offer["offer"]});
            match self.fault {
                Fault::ChangesOffers => relay["offer"]["sdp"] = json!("v=0\n"),
                Fault::HidesTheOfferer => relay["peer_id"] = json!("somebody-else-0000-0"),
                _ => {}
            }
            receivers.iter().for_each(|receiver| send(&receiver.out, &relay));
        }
    }

    fn answer(&self, message: &Value) {
        let relay = json!({"action": "announce", "info_hash": message["info_hash"],
                           "peer_id": message["peer_id"], "offer_id": message["offer_id"],
                           "answer": message["answer"]});
        let misroutes = self.fault == Fault::MisroutesAnswers;
        let receiver = self.members.iter().find(|one| (one.peer_id == message["to_peer_id"]) != misroutes);
        let times = match self.fault {
            Fault::LosesAnswers => 0,
            Fault::RepeatsAnswers => 2,
            _ => 1,
        };
        (0..times).for_each(|_| send(&receiver.unwrap().out, &relay));
    }
}
