//! BEP 3, BEP 23, BEP 48 against web servers of every kind.

use std::time::Duration;

use evenkeel_client::{Announce, Client, Error, Event, InfoHash};
use tokio::io::AsyncWriteExt;

use crate::fake::{Clock, Web, answer, ask, head, redirect};

const EMPTY: &[u8] = b"d8:intervali60e5:peers0:e";

async fn announced(body: &[u8]) -> (Result<evenkeel_client::AnnounceResponse, Error>, String) {
    let web = Web::bind().await;
    let tracker = Client::new().tracker(&web.url("/announce")).unwrap();
    let ask = ask();
    tokio::join!(tracker.announce(&ask), web.serve(body))
}

#[tokio::test]
async fn an_announce_is_a_get_of_the_announce_url() {
    let web = Web::bind().await;
    let client = Client::builder().user_agent("Test/1").build().unwrap();
    let tracker = client.tracker(&web.url("/secret/announce?x=1")).unwrap();
    let (ask, body) = (ask(), answer(200, EMPTY));
    let (response, request) = tokio::join!(tracker.announce(&ask), web.serve(&body));
    assert_eq!(response.unwrap().interval, Some(Duration::from_secs(60)));
    let hash = "%AB".repeat(20);
    let line = format!("GET /secret/announce?x=1&info_hash={hash}&peer_id=-XX0001-abcdefghijkl&port=6881&");
    assert!(request.starts_with(&line), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", web.address())), "{request}");
    assert!(request.contains("user-agent: Test/1\r\n"), "{request}");
    assert!(!request.to_lowercase().contains("accept-encoding"), "{request}");
}

#[tokio::test]
async fn an_ipv6_tracker_is_named_in_brackets() {
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tracker = Client::new().tracker(&format!("http://{address}/announce")).unwrap();
    let ask = ask();
    let serve = async {
        let (stream, from) = listener.accept().await.unwrap();
        assert!(from.is_ipv6());
        crate::fake::exchange(stream, &answer(200, EMPTY)).await
    };
    let (response, request) = tokio::join!(tracker.announce(&ask), serve);
    assert!(response.is_ok() && request.contains(&format!("host: {address}\r\n")), "{request}");
}

#[tokio::test]
async fn a_chunked_answer_is_put_together() {
    let body =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nd5:pe\r\n4;x=y\r\ners6\r\n8\r\n:\x01\x02\x03\x04\0\x01e\r\n0\r\n\r\n";
    let response = announced(body).await.0.unwrap();
    assert_eq!(response.peers[0].addr, "1.2.3.4:1".parse().unwrap());
}

#[tokio::test]
async fn an_answer_may_end_with_the_connection_and_be_unsorted() {
    let body = b"HTTP/1.0 200 OK\r\n\r\nd5:peersld4:porti5e2:ip7:1.2.3.4ee8:intervali9e8:completei2ee";
    let response = announced(body).await.0.unwrap();
    assert_eq!((response.peers.len(), response.seeders), (1, Some(2)));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read_to_its_end() {
    let declared = b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n".to_vec();
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for head in [[declared, vec![b'x'; 1_048_577]].concat(), [endless, chunk.repeat(17)].concat()] {
        let error = announced(&head).await.0.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1_048_576 }), "{error:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_an_error() {
    let error = announced(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nd5:peers0:e").await.0.unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.is_retryable(), "{error:?}");
    let error = announced(b"").await.0.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    let error = announced(b"not HTTP at all\r\n\r\n").await.0.unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error:?}");
}

#[tokio::test]
async fn a_status_is_an_error_and_keeps_the_tracker_s_text() {
    for (status, body, expected) in [
        (403, &b"d14:failure reason6:bannede"[..], Some("banned")),
        (404, b"404 Not Found", None),
        (503, b"", None),
        (204, b"", None),
    ] {
        let error = announced(&answer(status, body)).await.0.unwrap_err();
        let Error::Status { code, reason, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*code, reason.as_deref()), (status, expected));
        assert_eq!(error.is_retryable(), status == 503);
    }
    let error = announced(&redirect(300, "/x")).await.0.unwrap_err();
    assert!(matches!(error, Error::Status { code: 300, .. }), "{error:?}");
    let error = announced(&answer(302, b"")).await.0.unwrap_err();
    assert!(matches!(error, Error::Status { code: 302, .. }), "a redirect to nowhere: {error:?}");
}

#[tokio::test]
async fn every_kind_of_redirect_is_followed_to_another_server() {
    for status in [301, 302, 303, 307, 308] {
        let (first, second) = (Web::bind().await, Web::bind().await);
        let tracker = Client::new().tracker(&first.url("/announce")).unwrap();
        let (away, body, ask) = (redirect(status, &second.url("/b?c")), answer(200, EMPTY), ask());
        let serve = async {
            first.serve(&away).await;
            second.serve(&body).await
        };
        let (response, request) = tokio::join!(tracker.announce(&ask), serve);
        assert!(response.is_ok() && request.starts_with("GET /b?c HTTP/1.1\r\n"), "{status}: {request}");
    }
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    for (max, requests) in [(5, 6), (0, 1)] {
        let web = Web::bind().await;
        let client = Client::builder().max_redirects(max).build().unwrap();
        let tracker = client.tracker(&web.url("/announce")).unwrap();
        let (again, ask) = (redirect(302, "/announce"), ask());
        let serve = async {
            for _ in 0..requests {
                web.serve(&again).await;
            }
        };
        let (response, ()) = tokio::join!(tracker.announce(&ask), serve);
        assert!(matches!(response, Err(Error::TooManyRedirects)), "{response:?}");
    }
}

#[tokio::test]
async fn the_tracker_id_is_sent_back_until_the_torrent_stops() {
    let web = Web::bind().await;
    let tracker = Client::new().tracker(&web.url("/announce")).unwrap();
    let named = answer(200, b"d10:tracker id3:a\xff e");
    let unnamed = answer(200, b"de");
    let update = Announce { event: Event::Update, ..ask() };
    let other = Announce { info_hash: InfoHash([1; 20]), ..update.clone() };
    let stopped = Announce { event: Event::Stopped, ..ask() };
    for (ask, body, sent_back) in [
        (&ask(), &named, false),
        (&update, &unnamed, true),
        (&other, &unnamed, false),
        (&update, &unnamed, true),
        (&stopped, &named, true),
        (&update, &unnamed, false),
    ] {
        let (response, request) = tokio::join!(tracker.announce(ask), web.serve(body));
        response.unwrap();
        assert_eq!(request.contains("&trackerid=a%FF%20 HTTP"), sent_back, "{request}");
    }
}

#[tokio::test]
async fn a_long_scrape_is_split() {
    let web = Web::bind().await;
    let tracker = Client::new().tracker(&web.url("/announce.php?x=1")).unwrap();
    let hashes: Vec<InfoHash> = (0..75).map(|byte| InfoHash([byte; 20])).collect();
    let body = |byte: u8| {
        let body = [b"d5:filesd20:".as_slice(), &[byte; 20], b"d8:completei3eeee"].concat();
        answer(200, &body)
    };
    let (first, second) = (body(0), body(74));
    let serve = async { [web.serve(&first).await, web.serve(&second).await] };
    let (response, requests) = tokio::join!(tracker.scrape(&hashes), serve);
    let response = response.unwrap();
    assert_eq!(requests.map(|request| request.matches("info_hash=").count()), [74, 1]);
    assert_eq!(
        [hashes[0], hashes[1], hashes[74]].map(|hash| response.get(hash).is_some()),
        [true, false, true]
    );
}

#[tokio::test]
async fn what_cannot_be_scraped_is_not_asked() {
    let tracker = Client::new().tracker("http://127.0.0.1:1/a").unwrap();
    assert!(matches!(tracker.scrape(&[InfoHash([1; 20])]).await, Err(Error::ScrapeUnsupported)));
    assert!(matches!(tracker.scrape(&[]).await, Err(Error::InvalidRequest(_))));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let web = Web::bind().await;
    for (builder, limit) in [
        (Client::builder(), 30),
        (Client::builder().request_timeout(Duration::from_secs(3)), 3),
        (Client::builder().deadline(Duration::from_secs(2)), 2),
    ] {
        let tracker = builder.build().unwrap().tracker(&web.url("/announce")).unwrap();
        let clock = Clock::stop();
        let asked = tokio::spawn(async move { tracker.announce(&ask()).await });
        let mut stream = web.accept().await;
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        clock.advance(Duration::from_secs(limit) - Duration::from_millis(10)).await;
        assert!(!asked.is_finished());
        clock.advance(Duration::from_millis(20)).await;
        let response = asked.await.unwrap();
        assert!(matches!(response, Err(Error::Timeout)), "{response:?}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn nobody_there_is_an_io_error() {
    let url = Web::bind().await.url("/announce"); // the listener is gone again
    let error = Client::new().tracker(&url).unwrap().announce(&ask()).await.unwrap_err();
    assert!(matches!(error, Error::Io { doing: "connect", .. }) && error.is_retryable(), "{error:?}");
}
