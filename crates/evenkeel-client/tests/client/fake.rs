//! What the tests have in common: a question, a clock that only the test moves, and a web server that says
//! what it is told to say.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use evenkeel_client::{Announce, Event, InfoHash, Key, PeerId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A regular question.
pub(crate) fn ask() -> Announce {
    Announce {
        info_hash: InfoHash([0xAB; 20]),
        peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: Some(1),
        event: Event::Started,
        numwant: Some(50),
        key: Key::from_number(7),
    }
}

/// Stops tokio's clock. By itself the paused clock jumps whenever all tasks wait, even when they wait for a
/// datagram that is already on its way; a thread that blocks keeps it from doing so.
pub(crate) struct Clock {
    _release: mpsc::Sender<()>,
}

impl Clock {
    pub(crate) fn stop() -> Self {
        tokio::time::pause();
        let (release, released) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || released.recv());
        Self { _release: release }
    }

    pub(crate) async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
        // Whoever was woken runs now, and whoever they wake.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

/// Serves one canned answer for each connection, in order, and hands back the heads of the requests.
pub(crate) struct Web {
    listener: TcpListener,
}

impl Web {
    pub(crate) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Takes one request and sends these bytes.
    pub(crate) async fn serve(&self, answer: &[u8]) -> String {
        let (stream, _) = self.listener.accept().await.unwrap();
        exchange(stream, answer).await
    }

    pub(crate) async fn accept(&self) -> tokio::net::TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

/// Reads the head of a request and answers it.
pub(crate) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> String {
    let head = head(&mut stream).await;
    // The client may hang up in the middle of an answer that is too long for it.
    drop(stream.write_all(answer).await);
    drop(stream.shutdown().await);
    head
}

pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A whole HTTP answer.
pub(crate) fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub(crate) fn redirect(status: u16, location: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}
