//! The UDP listener: one plain thread for each core, datagrams read and answered in batches.

#[cfg(target_os = "linux")]
#[path = "udp/batch_linux.rs"]
mod batch;
#[cfg(not(target_os = "linux"))]
#[path = "udp/batch_portable.rs"]
mod batch;

mod wait;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use evenkeel_core::connection::Epoch;
use evenkeel_core::{Handout, Reason};
use evenkeel_wire::limits::{UDP_V6_PEERS_MAX, URL_BYTES_MAX};
use evenkeel_wire::udp::{self, ANNOUNCE_HEAD_BYTES, Ask, Request, UrlData};
use evenkeel_wire::{Announce, Endpoint, Failure, InfoHash, Stats, secret};
use socket2::Socket;

pub(crate) use self::batch::prepare;
use self::batch::{BATCH, Batch};
use crate::access::Found;
use crate::control;
use crate::counters::add;
use crate::log;
use crate::node::{Ahead, Announcer, Node, Worker};
use crate::store::Hash32;

/// How long a thread waits for a packet before it looks whether it shall stop.
const WAIT_MILLIS: i32 = 250;

/// A thread that reads less than this from each socket has time to wait for more.
const FEW: usize = BATCH.div_ceil(2);

/// Answers what comes in on `sockets` until `stop`.
///
/// When little comes in it naps after each round, so that one wake-up answers several packets: at a tenth of its capacity
/// a thread would else spend more time on waking up than on answering. A packet that comes alone is answered at once.
pub(crate) fn run(
    node: &Node,
    mut worker: Worker,
    sockets: &[Socket],
    nap: Duration,
    stop: &AtomicBool,
) -> io::Result<()> {
    wait::sleep_precisely();
    let mut batches: Vec<Batch> = sockets.iter().map(|_| Batch::new()).collect();
    let mut waiting: Vec<libc::pollfd> = sockets
        .iter()
        .map(|socket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    while !stop.load(Ordering::Relaxed) {
        wait::wait(&mut waiting, WAIT_MILLIS)?;
        let mut most = 0;
        for ((socket, waiting), batch) in sockets.iter().zip(&waiting).zip(&mut batches) {
            if waiting.revents != 0 {
                most = most.max(serve_socket(node, &mut worker, socket, batch));
            }
        }
        if (1..FEW).contains(&most) && !nap.is_zero() {
            std::thread::sleep(nap);
        }
    }
    Ok(())
}

/// Reads one batch and answers it; answers how many packets it had. More may be left: the other socket has its turn first.
fn serve_socket(node: &Node, worker: &mut Worker, socket: &Socket, batch: &mut Batch) -> usize {
    // Spurious wake-ups, and errors that strangers can cause (ICMP answers): the socket is still good.
    let Ok(received) = batch.receive(socket) else { return 0 };
    let began = Instant::now();
    add(&worker.counters.receive_drops, batch.take_drops());
    let mut senders = [const { None }; BATCH];
    let mut ahead = [const { None }; BATCH];
    let mut found = [const { None }; BATCH];
    let epoch = node.epoch();
    for (at, (sender, ahead)) in senders.iter_mut().zip(&mut ahead).enumerate().take(received) {
        let (packet, source) = batch.request(at);
        let Some(source) = source else { continue };
        let seen = node.catch(|| Sender::of(node, packet, source, epoch));
        (*sender, *ahead) = seen.map_or((None, None), |(who, what)| (Some(who), what));
    }
    if received > 1 {
        // What a panic leaves undone is looked up by each announce alone.
        node.catch(|| node.prefetch(&ahead, &mut found));
    }
    for (at, (sender, ahead)) in senders.iter().zip(&ahead).enumerate().take(received) {
        let ahead = ahead.as_ref().map(|ahead| (ahead, found[at].as_ref()));
        batch.answer(at, |packet, out| {
            let Some(sender) = sender else { return 0 };
            let answered = node.catch(|| answer(node, worker, packet, (sender, ahead), out));
            answered.unwrap_or_else(|| {
                worker.counters.count(Reason::Failed(Failure::Internal));
                0
            })
        });
    }
    let unsent = batch.send(socket);
    add(&worker.counters.send_failures, unsent);
    if received > 0 {
        worker.counters.count_latency(began.elapsed(), received as u64);
    }
    received
}

/// Who sent a packet.
struct Sender {
    source: SocketAddr,
    ip: IpAddr,
    /// It got the connection id that it shows, at this address and not long ago.
    is_proven: bool,
}

impl Sender {
    /// With what it announces, if it is proven.
    fn of(node: &Node, packet: &[u8], source: SocketAddr, epoch: Epoch) -> (Self, Option<Ahead>) {
        let ip = source.ip().to_canonical();
        let glance = udp::glance(packet);
        let is_proven = glance.is_some_and(|seen| node.verify_connection_id(seen.connection_id, epoch, ip))
            && source.port() != 0;
        let announce = glance.filter(|_| is_proven).and_then(|seen| seen.announce);
        let ahead = announce.map(|(info_hash, port, url_data)| {
            let secret = node.asks_for_secrets().then(|| secret_of(url_data)).flatten();
            let (endpoint, place) = (Endpoint::new(ip, port), node.place(&info_hash));
            Ahead { endpoint, info_hash, place, secret }
        });
        (Self { source, ip, is_proven }, ahead)
    }
}

/// The hash of the secret in a URL, if there is one.
fn secret_of(url_data: UrlData<'_>) -> Option<Hash32> {
    let mut room = [0; URL_BYTES_MAX];
    secret::of_url(url_data.join(&mut room)).map(control::hash)
}

/// Writes the answer to one packet to `out`; 0 bytes are silence.
///
/// Until the sender has proven its address, the answer is no longer than the packet: a slice sees to it.
fn answer(
    node: &Node,
    worker: &mut Worker,
    packet: &[u8],
    (sender, ahead): (&Sender, Option<(&Ahead, Option<&Found>)>),
    out: &mut [u8],
) -> usize {
    let (transaction, ask) = match udp::decode(packet) {
        None => {
            worker.counters.count(Reason::Garbage);
            return 0;
        }
        Some(Request::Connect { transaction }) => {
            worker.counters.count(Reason::Connected);
            let unproven = &mut out[..packet.len()];
            return udp::write_connect(unproven, transaction, node.issue_connection_id(sender.ip));
        }
        Some(Request::Claimed { transaction, ask, .. }) => (transaction, ask),
    };
    if !sender.is_proven {
        worker.counters.count(Reason::ConnectionId);
        log::peer_caused(format_args!("a UDP packet of {} has a wrong or old connection id", sender.source));
        return 0;
    }
    match ask {
        Ok(Ask::Announce(ask, _)) => {
            // Whoever announces was seen to do so at a glance.
            let Some((Ahead { endpoint, place, secret, .. }, found)) = ahead else { return 0 };
            let (key, place, secret) = ((*endpoint).into(), *place, *secret);
            let caller = Announcer { key, place, secret, found };
            answer_announce(node, worker, caller, &ask, (transaction, out))
        }
        Ok(Ask::Scrape(scrape)) => match node.admit_udp_scrape(worker) {
            Ok(()) => {
                worker.counters.count(Reason::Scraped);
                answer_scrape(node, scrape, transaction, out)
            }
            Err(failure) => udp::write_failure(out, transaction, failure),
        },
        Err(failure) => {
            worker.counters.count(Reason::Failed(failure));
            udp::write_failure(out, transaction, failure)
        }
    }
}

fn answer_announce(
    node: &Node,
    worker: &mut Worker,
    caller: Announcer<'_>,
    ask: &Announce,
    (transaction, out): (udp::Transaction, &mut [u8]),
) -> usize {
    let (head, peers) = out.split_at_mut(ANNOUNCE_HEAD_BYTES);
    let mut handout = match caller.key.source() {
        Endpoint::V4(_) => Handout::new(peers, &mut []),
        Endpoint::V6(_) => Handout::new(&mut [], &mut peers[..UDP_V6_PEERS_MAX * 18]),
    };
    let answered = node.announce(worker, caller, ask, &mut handout);
    let peers_bytes = handout.v4_bytes() + handout.v6_bytes();
    match answered {
        Ok(reply) => udp::write_announce(head, transaction, &reply, peers_bytes),
        // A client asks again by itself, sooner than after a failure.
        Err(Failure::NotReady) => 0,
        Err(failure) => udp::write_failure(out, transaction, failure),
    }
}

fn answer_scrape(node: &Node, scrape: &[InfoHash], transaction: udp::Transaction, out: &mut [u8]) -> usize {
    let mut stats = [Stats::default(); evenkeel_wire::limits::SCRAPE_HASHES_MAX];
    for (stats, info_hash) in stats.iter_mut().zip(scrape) {
        *stats = node.scrape(info_hash);
    }
    udp::write_scrape(out, transaction, &stats[..scrape.len()])
}

/// The fallback for other systems, compiled here too so that it stays sound.
#[cfg(all(test, target_os = "linux"))]
#[path = "udp/batch_portable.rs"]
mod portable;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Dialect;
    use crate::node::{Orders, SECRETS};
    use evenkeel_wire::limits::UDP_REPLY_BYTES_MAX;

    const SOURCE: &str = "192.0.2.1:6881";

    fn rig() -> (Node, Worker) {
        let node = Node::new(Orders::default(), &SECRETS);
        let worker = node.worker(Dialect::Udp, 1);
        (node, worker)
    }

    fn ask(node: &Node, worker: &mut Worker, packet: &[u8]) -> Vec<u8> {
        let mut out = [0; UDP_REPLY_BYTES_MAX];
        let (sender, ahead) = Sender::of(node, packet, SOURCE.parse().unwrap(), node.epoch());
        let ahead = ahead.as_ref().map(|ahead| (ahead, None));
        let len = answer(node, worker, packet, (&sender, ahead), &mut out);
        out[..len].to_vec()
    }

    #[test]
    fn whatever_an_unproven_sender_sends_it_never_gets_more_back() {
        let (node, mut worker) = rig();
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut packet: Vec<u8> = (0..rng.usize(..300)).map(|_| rng.u8(..)).collect();
            if rng.bool() && packet.len() >= 16 {
                packet[..8].copy_from_slice(&udp::PROTOCOL_ID.to_be_bytes());
                packet[8..12].copy_from_slice(&rng.u32(..4).to_be_bytes());
            }
            assert!(ask(&node, &mut worker, &packet).len() <= packet.len());
        }
    }

    #[test]
    fn a_failure_is_told_to_proven_senders_only() {
        let (node, mut worker) = rig();
        let id = node.issue_connection_id("192.0.2.1".parse().unwrap());
        let packet = |id: u64| [&id.to_be_bytes()[..], &[0, 0, 0, 9, 1, 2, 3, 4]].concat();
        assert_eq!(ask(&node, &mut worker, &packet(id ^ 1)), b"");
        let told = ask(&node, &mut worker, &packet(id));
        assert_eq!(told[..8], [0, 0, 0, 3, 1, 2, 3, 4]);
        assert_eq!(told[8..], *Failure::Action.text().as_bytes());
        assert_eq!(worker.counters.of(Reason::ConnectionId), 1);
        assert_eq!(worker.counters.of(Reason::Failed(Failure::Action)), 1);
    }

    /// One scenario for both ways of talking to the system.
    macro_rules! echoes {
        ($name:ident, $batch:ident) => {
            #[test]
            fn $name() {
                for any in ["127.0.0.1:0", "[::1]:0"] {
                    let address: SocketAddr = any.parse().unwrap();
                    let server =
                        crate::listen::bind(crate::listen::Transport::Udp, address, 1).unwrap().remove(0);
                    super::$batch::prepare(&server, address.is_ipv6()).unwrap();
                    let client = std::net::UdpSocket::bind(any).unwrap();
                    client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
                    client.connect(crate::listen::local_address(&server).unwrap()).unwrap();
                    let mut batch = super::$batch::Batch::new();
                    assert!(batch.receive(&server).is_err(), "nothing is there, and nobody waits");
                    for number in 1..=40 {
                        client.send(&[number; 9]).unwrap();
                    }
                    let mut answered = 0;
                    while answered < 40 {
                        let mut waiting =
                            [libc::pollfd { fd: server.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
                        super::wait::wait(&mut waiting, 10_000).unwrap();
                        let received = batch.receive(&server).unwrap();
                        assert!((1..=super::$batch::BATCH).contains(&received));
                        for at in 0..received {
                            let (packet, source) = batch.request(at);
                            assert_eq!((packet.len(), source), (9, client.local_addr().ok()));
                            batch.answer(at, |packet, out| {
                                assert_eq!(packet.len(), 9);
                                out[0] = packet[0];
                                // Every fourth is not answered.
                                usize::from(packet[0] % 4 != 0)
                            });
                        }
                        assert_eq!((batch.send(&server), batch.take_drops()), (0, 0));
                        answered += received;
                    }
                    let mut reply = [0; 10];
                    for number in (1..=40).filter(|number| number % 4 != 0) {
                        assert_eq!((client.recv(&mut reply).unwrap(), reply[0]), (1, number));
                    }
                }
            }
        };
    }

    echoes!(batches_are_answered_one_for_one, batch);
    echoes!(single_datagrams_are_answered_one_for_one, portable);
}
