//! WebTorrent against a tracker that speaks, pings, refuses and hangs up.

use std::time::Duration;

use evenkeel_client::ws::{Answer, Offer, OfferId, Relay, Session};
use evenkeel_client::{Client, Error, InfoHash, PeerId};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

use crate::fake::{Clock, Web, answer, ask, redirect};

const HASH: InfoHash = InfoHash([0xAB; 20]);

fn chars(byte: u8) -> String {
    String::from(char::from(byte)).repeat(20)
}

fn counts() -> Value {
    json!({"action": "announce", "info_hash": chars(0xAB), "interval": 120, "complete": 1, "incomplete": 2})
}

struct Fake<S = TcpStream> {
    socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Fake<S> {
    async fn accept(stream: S) -> Self {
        Self { socket: ServerBuilder::new().accept(stream).await.unwrap().1 }
    }

    async fn receive(&mut self) -> Value {
        let message = self.socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.as_text().unwrap()).unwrap()
    }

    async fn send(&mut self, message: impl ToString) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }
}

/// Answers one announce and waits for the client to hang up.
pub(crate) async fn answer_once(stream: impl AsyncRead + AsyncWrite + Unpin) -> Value {
    let mut fake = Fake::accept(stream).await;
    let message = fake.receive().await;
    fake.send(counts()).await;
    assert!(fake.socket.next().await.is_none_or(|last| last.is_ok_and(|last| last.is_close())));
    message
}

async fn connected() -> (Fake, Session, evenkeel_client::ws::Relays) {
    connected_with(Client::new()).await
}

async fn connected_with(client: Client) -> (Fake, Session, evenkeel_client::ws::Relays) {
    let web = Web::bind().await;
    let url = format!("ws://{}/", web.address());
    let accept = async { Fake::accept(web.accept().await).await };
    let (session, fake) = tokio::join!(Session::connect(&client, &url), accept);
    let (session, relays) = session.unwrap();
    (fake, session, relays)
}

#[tokio::test]
async fn one_call_announces_and_hangs_up() {
    let web = Web::bind().await;
    let tracker = Client::new().tracker(&format!("ws://{}/secret?x", web.address())).unwrap();
    let serve = async { answer_once(web.accept().await).await };
    let ask = ask();
    let (response, message) = tokio::join!(
        async {
            let response = tracker.announce(&ask).await;
            drop(tracker);
            response
        },
        serve
    );
    let response = response.unwrap();
    assert_eq!((response.seeders, response.leechers), (Some(1), Some(2)));
    assert_eq!(response.interval, Some(Duration::from_secs(120)));
    assert_eq!((&message["info_hash"], &message["event"]), (&json!(chars(0xAB)), &json!("started")));
    assert_eq!(message["offers"], json!([]));
}

#[tokio::test]
async fn one_call_scrapes_in_parts_and_keeps_what_was_asked_for() {
    let web = Web::bind().await;
    let tracker = Client::new().tracker(&format!("ws://{}/", web.address())).unwrap();
    let hashes: Vec<InfoHash> = (0..75).map(|byte| InfoHash([byte; 20])).collect();
    let serve = async {
        let mut fake = Fake::accept(web.accept().await).await;
        for count in [74, 1] {
            let message = fake.receive().await;
            let asked = message["info_hash"].as_array().unwrap();
            assert_eq!((asked.len(), &message["action"]), (count, &json!("scrape")));
            let first = asked[0].as_str().unwrap();
            let files = json!({first: {"complete": 4}, chars(200): {"complete": 5}});
            fake.send(json!({"action": "scrape", "files": files})).await;
        }
    };
    let (response, ()) = tokio::join!(tracker.scrape(&hashes), serve);
    let response = response.unwrap();
    assert_eq!(response.torrents.keys().copied().collect::<Vec<_>>(), [hashes[0], hashes[74]]);
}

#[tokio::test]
async fn offers_and_answers_are_passed_on_both_ways() {
    let (mut fake, session, mut relays) = connected().await;
    let offer = Offer::new(r#"{"sdp":1}"#).unwrap();
    let announce = ask();
    let serve = async {
        let message = fake.receive().await;
        assert_eq!((&message["offers"][0]["offer"], &message["numwant"]), (&json!({"sdp": 1}), &json!(1)));
        let ids = json!({"info_hash": chars(0xAB), "peer_id": chars(b'r'), "offer_id": chars(0xFF)});
        let with = |key: &str| {
            let mut message = ids.clone();
            message[key] = json!({"x": 2});
            message
        };
        // Relays may come before the reply, and a reply about another torrent is for nobody.
        fake.send(with("offer")).await;
        fake.send(r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","complete":9}"#).await;
        fake.send(counts()).await;
        fake.send(with("answer")).await;
    };
    let offers = [offer];
    let (response, ()) = tokio::join!(session.announce(&announce, &offers), serve);
    assert_eq!(response.unwrap().seeders, Some(1));
    let (info_hash, peer_id, offer_id) = (HASH, PeerId([b'r'; 20]), OfferId([0xFF; 20]));
    let json = r#"{"x":2}"#.to_owned();
    let expected = Relay::Offer { info_hash, peer_id, offer_id, json: json.clone() };
    assert_eq!(relays.recv().await, Some(expected));
    let expected = Relay::Answer { info_hash, peer_id, offer_id, json: json.clone() };
    assert_eq!(relays.recv().await, Some(expected));
    let reply = Answer { info_hash, peer_id: announce.peer_id, to_peer_id: peer_id, offer_id, json };
    session.answer(&reply).await.unwrap();
    let message = fake.receive().await;
    assert_eq!((&message["to_peer_id"], &message["answer"]), (&json!(chars(b'r')), &json!({"x": 2})));
}

#[tokio::test]
async fn a_ping_is_answered_while_nobody_asks() {
    let (mut fake, _session, _relays) = connected().await;
    fake.socket.send(Message::ping("are you there")).await.unwrap();
    let pong = fake.socket.next().await.unwrap().unwrap();
    assert!(pong.is_pong() && pong.as_payload()[..] == *b"are you there");
}

#[tokio::test]
async fn a_refusal_reaches_the_one_who_asked() {
    let (mut fake, session, _relays) = connected().await;
    let announce = ask();
    let serve = async {
        let first = fake.receive().await;
        let second = fake.receive().await;
        assert!([&first, &second].iter().any(|message| message["action"] == "scrape"));
        fake.send(json!({"action": "scrape", "failure reason": "no scrapes"})).await;
        fake.send(json!({"failure reason": "no announces"})).await;
    };
    let (announced, scraped, ()) =
        tokio::join!(session.announce(&announce, &[]), session.scrape(&[HASH]), serve);
    assert_eq!(announced.unwrap_err().to_string(), "the tracker refused: no announces");
    assert_eq!(scraped.unwrap_err().to_string(), "the tracker refused: no scrapes");
}

#[tokio::test]
async fn a_message_that_is_not_json_fails_the_question_but_not_the_session() {
    let (mut fake, session, _relays) = connected().await;
    let announce = ask();
    for (message, good) in [("nonsense".to_owned(), false), (counts().to_string(), true)] {
        let serve = async {
            fake.receive().await;
            fake.send(message).await;
        };
        let (response, ()) = tokio::join!(session.announce(&announce, &[]), serve);
        assert_eq!(response.is_ok(), good, "{response:?}");
    }
}

#[tokio::test]
async fn a_tracker_that_hangs_up_ends_the_session() {
    let (mut fake, session, mut relays) = connected().await;
    let announce = ask();
    let serve = async {
        fake.receive().await;
        drop(fake);
    };
    let (response, ()) = tokio::join!(session.announce(&announce, &[]), serve);
    let error = response.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(relays.recv().await, None);
    assert!(matches!(session.scrape(&[HASH]).await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_session() {
    let client = Client::builder().max_answer_bytes(1000).build().unwrap();
    let (mut fake, session, _relays) = connected_with(client).await;
    let announce = ask();
    let serve = async {
        fake.receive().await;
        fake.send("x".repeat(1001)).await;
    };
    let (response, ()) = tokio::join!(session.announce(&announce, &[]), serve);
    assert!(matches!(response, Err(Error::TooLarge { limit: 1000 })), "{response:?}");
}

#[tokio::test]
async fn a_question_without_an_answer_is_given_up_and_forgotten() {
    let (mut fake, session, _relays) = connected().await;
    let clock = Clock::stop();
    let asked = tokio::spawn({
        let session = session.clone();
        async move { session.announce(&ask(), &[]).await }
    });
    fake.receive().await;
    clock.advance(Duration::from_millis(30_001)).await;
    assert!(matches!(asked.await.unwrap(), Err(Error::Timeout)));
    let announce = ask();
    let serve = async {
        fake.receive().await;
        fake.send(counts()).await;
    };
    let (response, ()) = tokio::join!(session.announce(&announce, &[]), serve);
    assert!(response.is_ok(), "{response:?}");
}

#[tokio::test]
async fn a_web_server_that_is_no_websocket_is_a_status() {
    for (body, code) in [(answer(404, b"404 Not Found"), 404), (redirect(302, "/x"), 302)] {
        let web = Web::bind().await;
        let (client, url) = (Client::new(), format!("ws://{}/", web.address()));
        let (session, _) = tokio::join!(Session::connect(&client, &url), web.serve(&body));
        let error = session.unwrap_err();
        assert!(matches!(error, Error::Status { code: got, .. } if got == code), "{error:?}");
    }
    let web = Web::bind().await;
    let (client, url) = (Client::new(), format!("ws://{}/", web.address()));
    let endless = [b"HTTP/1.1 101 x\r\nX: ".as_slice(), &[b'x'; 100_000]].concat();
    let (session, _) = tokio::join!(Session::connect(&client, &url), web.serve(&endless));
    assert!(matches!(session, Err(Error::Io { .. })));
    assert!(
        matches!(Session::connect(&client, "udp://h:1").await, Err(Error::UnsupportedScheme(scheme)) if scheme == "udp")
    );
}
