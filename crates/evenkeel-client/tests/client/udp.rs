//! BEP 15 and BEP 41 against trackers that lose, forge and cut off packets.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_client::{AnnounceResponse, Client, Error, Family, InfoHash, Stats, Tracker};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::fake::{Clock, ask};

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// Interval 1800, 2 leechers, 3 seeders, one peer.
const BODY: [u8; 18] = [0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 0, 80];

struct Fake {
    socket: UdpSocket,
}

/// A packet that the client sent.
struct Packet {
    from: SocketAddr,
    connection_id: u64,
    action: u32,
    transaction: u32,
    body: Vec<u8>,
}

impl Fake {
    async fn bind(address: &str) -> Self {
        Self { socket: UdpSocket::bind(address).await.unwrap() }
    }

    async fn start() -> (Self, Tracker) {
        Self::with(&Client::new()).await
    }

    async fn with(client: &Client) -> (Self, Tracker) {
        let fake = Self::bind("127.0.0.1:0").await;
        let tracker = client.tracker(&fake.url()).unwrap();
        (fake, tracker)
    }

    fn url(&self) -> String {
        format!("udp://{}", self.socket.local_addr().unwrap())
    }

    async fn receive(&self, action: u32) -> Packet {
        let mut bytes = [0; 4096];
        let (len, from) = self.socket.recv_from(&mut bytes).await.unwrap();
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let packet = Packet {
            from,
            connection_id: u64::from_be_bytes(bytes[..8].try_into().unwrap()),
            action: number(8),
            transaction: number(12),
            body: bytes[16..len].to_vec(),
        };
        assert_eq!(packet.action, action);
        packet
    }

    fn is_quiet(&self) -> bool {
        self.socket.try_recv_from(&mut [0; 1]).is_err()
    }

    async fn reply(&self, to: &Packet, action: u32, body: &[u8]) {
        self.socket.send_to(&reply(action, to.transaction, body), to.from).await.unwrap();
    }

    async fn connect(&self, id: u64) {
        let packet = self.receive(CONNECT).await;
        assert_eq!(packet.connection_id, 0x0417_2710_1980);
        self.reply(&packet, CONNECT, &id.to_be_bytes()).await;
    }

    async fn announce(&self, id: u64) -> Packet {
        let packet = self.receive(ANNOUNCE).await;
        assert_eq!(packet.connection_id, id);
        self.reply(&packet, ANNOUNCE, &BODY).await;
        packet
    }
}

fn reply(action: u32, transaction: u32, body: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes(), &transaction.to_be_bytes(), body].concat()
}

type Asked = JoinHandle<Result<AnnounceResponse, Error>>;

fn asks(tracker: &Tracker) -> Asked {
    let tracker = tracker.clone();
    tokio::spawn(async move { tracker.announce(&ask()).await })
}

async fn answered(asked: Asked) {
    let response = asked.await.unwrap().unwrap();
    assert_eq!((response.seeders, response.leechers), (Some(3), Some(2)));
    assert_eq!(response.peers[0].addr, "1.2.3.4:80".parse().unwrap());
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test]
async fn a_lost_packet_is_sent_again_after_15_seconds() {
    let (fake, tracker) = Fake::start().await;
    let clock = Clock::stop();
    let asked = asks(&tracker);
    let lost = fake.receive(CONNECT).await;
    clock.advance(secs(15) - Duration::from_millis(2)).await;
    assert!(fake.is_quiet());
    clock.advance(Duration::from_millis(4)).await;
    let again = fake.receive(CONNECT).await;
    assert_eq!((again.transaction, again.from), (lost.transaction, lost.from));
    fake.reply(&again, CONNECT, &[7; 8]).await;
    fake.receive(ANNOUNCE).await; // lost as well; the second try waits 30 s for each answer
    clock.advance(secs(30) - Duration::from_millis(2)).await;
    assert!(fake.is_quiet());
    clock.advance(Duration::from_millis(4)).await;
    fake.announce(0x0707_0707_0707_0707).await;
    answered(asked).await;
}

#[tokio::test]
async fn silence_ends_after_nine_tries_that_wait_twice_as_long_each() {
    let (fake, tracker) = Fake::start().await;
    let clock = Clock::stop();
    let start = Instant::now();
    let asked = asks(&tracker);
    for n in 0..9 {
        fake.receive(CONNECT).await;
        let elapsed = start.elapsed().as_secs();
        assert_eq!(elapsed, 15 * ((1 << n) - 1));
        clock.advance(secs(15 << n) + Duration::from_millis(1)).await;
    }
    assert!(matches!(asked.await.unwrap(), Err(Error::Timeout)));
    assert!(fake.is_quiet());
}

#[tokio::test]
async fn tries_and_deadline_may_be_set() {
    let clock = Clock::stop();
    let impatient = Client::builder().udp_first_timeout(secs(1)).udp_tries(2).build().unwrap();
    let (fake, tracker) = Fake::with(&impatient).await;
    let asked = asks(&tracker);
    for wait in [1, 2] {
        fake.receive(CONNECT).await;
        clock.advance(secs(wait) + Duration::from_millis(1)).await;
    }
    assert!(matches!(asked.await.unwrap(), Err(Error::Timeout)));
    let (fake, tracker) = Fake::with(&Client::builder().deadline(secs(3)).build().unwrap()).await;
    let asked = asks(&tracker);
    fake.receive(CONNECT).await;
    clock.advance(secs(3) + Duration::from_millis(1)).await;
    assert!(matches!(asked.await.unwrap(), Err(Error::Timeout)));
}

#[tokio::test]
async fn a_connection_id_that_ran_out_between_tries_is_asked_for_anew() {
    let (fake, tracker) = Fake::start().await;
    let clock = Clock::stop();
    let asked = asks(&tracker);
    fake.connect(1).await;
    for n in 0..3 {
        assert_eq!(fake.receive(ANNOUNCE).await.connection_id, 1);
        clock.advance(secs(15 << n) + Duration::from_millis(1)).await;
    }
    fake.connect(2).await; // 105 s
    fake.announce(2).await;
    answered(asked).await;
}

#[tokio::test]
async fn a_connection_id_serves_for_a_minute_from_the_same_port() {
    let (fake, tracker) = Fake::start().await;
    let clock = Clock::stop();
    let asked = asks(&tracker);
    fake.connect(1).await;
    let first = fake.announce(1).await;
    answered(asked).await;
    clock.advance(secs(59)).await;
    let asked = asks(&tracker);
    let second = fake.announce(1).await;
    answered(asked).await;
    assert_eq!(first.from, second.from);
    assert_ne!(first.transaction, second.transaction);
    clock.advance(secs(1)).await;
    let asked = asks(&tracker);
    fake.connect(2).await;
    fake.announce(2).await;
    answered(asked).await;
}

#[tokio::test]
async fn a_tracker_that_forgot_the_connection_id_is_asked_for_another() {
    let (fake, tracker) = Fake::start().await;
    let clock = Clock::stop();
    let asked = asks(&tracker);
    fake.connect(1).await;
    fake.announce(1).await;
    answered(asked).await;

    let asked = asks(&tracker);
    let refused = fake.receive(ANNOUNCE).await;
    fake.reply(&refused, ERROR, b"bad connection id").await;
    fake.connect(2).await; // at once
    fake.announce(2).await;
    answered(asked).await;

    let asked = asks(&tracker);
    fake.receive(ANNOUNCE).await;
    clock.advance(secs(15) + Duration::from_millis(1)).await;
    fake.connect(3).await; // after silence
    fake.announce(3).await;
    answered(asked).await;
}

#[tokio::test]
async fn replies_with_another_transaction_id_or_from_another_port_are_ignored() {
    let (fake, tracker) = Fake::start().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let asked = asks(&tracker);
    let packet = fake.receive(CONNECT).await;
    stranger.send_to(&reply(CONNECT, packet.transaction, &[9; 8]), packet.from).await.unwrap();
    stranger.send_to(&reply(ERROR, packet.transaction, b"no"), packet.from).await.unwrap();
    for wrong in [reply(CONNECT, !packet.transaction, &[9; 8]), vec![], vec![0; 7]] {
        fake.socket.send_to(&wrong, packet.from).await.unwrap();
    }
    fake.reply(&packet, CONNECT, &[1; 8]).await;
    let packet = fake.receive(ANNOUNCE).await;
    assert_eq!(packet.connection_id.to_be_bytes(), [1; 8]);
    fake.socket.send_to(&reply(ERROR, !packet.transaction, b"no"), packet.from).await.unwrap();
    fake.reply(&packet, ANNOUNCE, &BODY).await;
    answered(asked).await;
}

#[tokio::test]
async fn an_error_packet_is_a_refusal() {
    let (fake, tracker) = Fake::start().await;
    let asked = asks(&tracker);
    let packet = fake.receive(CONNECT).await;
    fake.reply(&packet, ERROR, b"go away").await;
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the tracker refused: go away");
    let asked = asks(&tracker);
    fake.connect(1).await;
    let packet = fake.receive(ANNOUNCE).await;
    fake.reply(&packet, ERROR, b"\xff\0").await;
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the tracker refused: \u{fffd}");
}

#[tokio::test]
async fn replies_that_are_cut_off_are_malformed() {
    for (connect, announce) in [(4, 0), (8, 11), (8, 17)] {
        let (fake, tracker) = Fake::start().await;
        let asked = asks(&tracker);
        let packet = fake.receive(CONNECT).await;
        fake.reply(&packet, CONNECT, &[0; 8][..connect]).await;
        if connect == 8 {
            let packet = fake.receive(ANNOUNCE).await;
            fake.reply(&packet, ANNOUNCE, &BODY[..announce]).await;
        }
        let response = asked.await.unwrap();
        assert!(matches!(response, Err(Error::Malformed(_))), "{response:?}");
    }
}

#[tokio::test]
async fn ipv6_peers_have_18_bytes() {
    let fake = Fake::bind("[::1]:0").await;
    let client = Client::builder().family(Family::V6).bind("::1".parse().unwrap()).build().unwrap();
    let asked = asks(&client.tracker(&fake.url()).unwrap());
    fake.connect(1).await;
    let packet = fake.receive(ANNOUNCE).await;
    assert!(packet.from.is_ipv6());
    fake.reply(&packet, ANNOUNCE, &[&BODY[..12], &[0x20; 18]].concat()).await;
    let response = asked.await.unwrap().unwrap();
    let expected = "[2020:2020:2020:2020:2020:2020:2020:2020]:8224".parse().unwrap();
    assert_eq!(response.peers.iter().map(|peer| peer.addr).collect::<Vec<_>>(), [expected]);
}

#[tokio::test]
async fn the_family_and_the_local_address_choose_the_tracker_s_address() {
    let v4 = "127.0.0.1".parse().unwrap();
    let v6 = "::1".parse().unwrap();
    for (builder, url) in [
        (Client::builder().family(Family::V6), "udp://127.0.0.1:1"),
        (Client::builder().family(Family::V4), "udp://[::1]:1"),
        (Client::builder().bind(v6), "udp://127.0.0.1:1"),
        (Client::builder().bind(v4), "http://[::1]:1/announce"),
    ] {
        let response = builder.build().unwrap().tracker(url).unwrap().announce(&ask()).await;
        assert!(matches!(response, Err(Error::NoAddress { .. })), "{url}: {response:?}");
    }
}

#[tokio::test]
async fn path_and_query_travel_behind_an_announce() {
    let fake = Fake::bind("127.0.0.1:0").await;
    let path = format!("/{}/announce?a=b", "x".repeat(300));
    let asked = asks(&Client::new().tracker(&format!("{}{path}", fake.url())).unwrap());
    fake.connect(1).await;
    let body = fake.announce(1).await.body;
    let options = &body[82..];
    assert_eq!(
        (options[0], options[1], options[257], usize::from(options[258])),
        (2, 255, 2, path.len() - 255)
    );
    assert_eq!([&options[2..257], &options[259..]].concat(), path.as_bytes());
    answered(asked).await;
}

#[tokio::test]
async fn a_long_scrape_is_split_and_keeps_its_order() {
    let (fake, tracker) = Fake::start().await;
    let hashes: Vec<InfoHash> = (0..75).rev().map(|byte| InfoHash([byte; 20])).collect();
    let asked = tokio::spawn({
        let hashes = hashes.clone();
        async move { tracker.scrape(&hashes).await }
    });
    fake.connect(1).await;
    for count in [74, 1] {
        let packet = fake.receive(SCRAPE).await;
        assert_eq!((packet.connection_id, packet.body.len()), (1, count * 20));
        let entry = |hash: &[u8]| [[0, 0, 0, hash[0]], [0, 0, 0, 2], [0, 0, 0, 3]].concat();
        let body: Vec<u8> = packet.body.chunks(20).flat_map(entry).collect();
        fake.reply(&packet, SCRAPE, &body).await;
    }
    let response = asked.await.unwrap().unwrap();
    for hash in hashes {
        let expected = Stats { seeders: hash.0[0].into(), leechers: 3, partial: 0, downloaded: 2 };
        assert_eq!(response.get(hash), Some(expected));
    }
}

#[tokio::test]
async fn nobody_there_is_known_at_once() {
    let url = Fake::bind("127.0.0.1:0").await.url(); // the socket is gone again
    let error = Client::new().tracker(&url).unwrap().announce(&ask()).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn requests_at_the_same_time_do_not_share_a_socket() {
    let (fake, tracker) = Fake::start().await;
    let (first, second) = (asks(&tracker), asks(&tracker));
    let packets = [fake.receive(CONNECT).await, fake.receive(CONNECT).await];
    assert_ne!(packets[0].from, packets[1].from);
    for (packet, id) in packets.iter().zip([1_u64, 2]) {
        fake.reply(packet, CONNECT, &id.to_be_bytes()).await;
    }
    for _ in 0..2 {
        let packet = fake.receive(ANNOUNCE).await;
        assert_eq!(packet.connection_id == 1, packet.from == packets[0].from);
        fake.reply(&packet, ANNOUNCE, &BODY).await;
    }
    answered(first).await;
    answered(second).await;
}

#[test]
fn a_client_may_outlive_the_runtime_that_it_was_used_in() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tracker = Client::new().tracker(&format!("udp://{}", socket.local_addr().unwrap())).unwrap();
    let fake = std::thread::spawn(move || {
        for (action, body) in [(CONNECT, &[1; 8][..]), (ANNOUNCE, &BODY)].into_iter().cycle().take(4) {
            let mut bytes = [0; 4096];
            let (_, from) = socket.recv_from(&mut bytes).unwrap();
            let transaction = u32::from_be_bytes(bytes[12..16].try_into().unwrap());
            socket.send_to(&reply(action, transaction, body), from).unwrap();
        }
    });
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { answered(asks(&tracker)).await });
    }
    fake.join().unwrap();
}
