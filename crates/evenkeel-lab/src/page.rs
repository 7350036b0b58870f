//! The ceiling over HTTP: what the library costs that most servers are made of, when there is nothing to think about.
//!
//! It answers every request with the same page, which the load tester takes for a tracker's, so that both are measured
//! by the same means. hyper, one thread, no router and no date.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::system;

/// Head of each response, but for the three digits of the length of its body.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 123\r\n\r\n";

/// What stands around the peers of the page, three digits of their length included.
const AROUND: &str = "d8:intervali1800e5:peers123:e";

/// How it answers.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Address and port to listen on; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// Bytes of each response on a connection that stays open, head included.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u16).range(200..=1_000))]
    reply_bytes: u16,
    /// Core to stay on.
    #[arg(long)]
    core: Option<usize>,
}

/// Answers until it is killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(
        options.address.ip().is_loopback(),
        "--address must be a loopback address: it is for measurements"
    );
    if let Some(core) = options.core {
        system::pin(core).with_context(|| format!("cannot run on core {core}"))?;
    }
    let page = Bytes::from(page(usize::from(options.reply_bytes)));
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(options.address, page))
}

async fn serve(address: SocketAddr, page: Bytes) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let mut out = std::io::stdout();
    writeln!(out, "page is ready on {}", listener.local_addr()?)?;
    out.flush()?;
    loop {
        // One that is gone before it was accepted is not missed.
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true)?;
        let page = page.clone();
        let answer = service_fn(move |_: Request<Incoming>| {
            let mut response = Response::new(Full::new(page.clone()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let connection =
            http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), answer);
        // Whatever ends a connection, the caller counts what it misses.
        tokio::spawn(async move { connection.await.ok() });
    }
}

/// A body that makes a response of so many bytes.
fn page(reply_bytes: usize) -> Vec<u8> {
    let peers = reply_bytes - HEAD.len() - AROUND.len();
    let mut page = format!("d8:intervali1800e5:peers{peers:03}:").into_bytes();
    page.resize(page.len() + peers, b'p');
    page.push(b'e');
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fills_a_response_to_the_byte() {
        for bytes in [200, 400, 1_000] {
            assert_eq!(page(bytes).len() + HEAD.len(), bytes);
        }
        assert!(page(200).starts_with(b"d8:intervali1800e5:peers105:p"));
    }
}
