//! Load over TLS, on a server that says the same to everybody.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::number;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\nd5:peers6:abcdefe";

/// Answers for as long as the tests run, a thread for each connection.
fn serve() -> SocketAddr {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    config.ticketer = Ticketer::new().unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, tcp.unwrap());
            std::thread::spawn(move || {
                // A request fits into one read. Who ends before it is answered wants no answer.
                if stream.read(&mut [0; 4096]).is_ok_and(|len| len > 0) {
                    stream.write_all(ANSWER).and_then(|()| stream.flush()).ok();
                }
            });
        }
    });
    address
}

/// Counts of handshakes: whole ones, and those that went on with a session.
fn load(address: SocketAddr, handshakes: &str) -> (u64, u64) {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel-lab"))
        .args(["load", "--json", "-", "--warmup", "0", "--duration", "1", "--connections", "2"])
        .args(["--target", &address.to_string(), "--protocol", "http-close", "--tls", handshakes])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((number(&result, "errors"), number(&result, "lost")), (0, 0), "{result}");
    assert_eq!(result["mean_peers"], 1.0);
    (number(&result["handshakes"], "full"), number(&result["handshakes"], "resumed"))
}

#[test]
fn each_connection_shakes_hands_as_it_was_told() {
    let address = serve();
    let (full, resumed) = load(address, "full");
    assert!(full > 0 && resumed == 0, "{full} and {resumed}");
    let (full, resumed) = load(address, "resumed");
    assert!(full == 0 && resumed > 0, "{full} and {resumed}");
}
