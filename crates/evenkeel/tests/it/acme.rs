//! Certificates from an authority: the first one, its renewal, and what holds while the authority is away.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::authority::{connect_as, trusting};
use crate::bencode::Value;
use crate::pebble::Pebble;
use crate::rig::{Ask, Program, command, get_over, start, start_in, start_with, wait_for};
use crate::tls::secure_address;

const NAME: &str = "tracker.example.org";
const NAMES: [&str; 2] = [NAME, "www.tracker.example.org"];
const DAY: Duration = Duration::from_secs(24 * 3600);
const FAILURES: &str = "evenkeel_tls_certificate_failures_total";
const RENEWALS: &str = "evenkeel_tls_certificate_renewals_total";
const ENDS_SOON: &str = "evenkeel_tls_certificate_expires_soon";
const ENDS: &str = "evenkeel_tls_certificate_expiry_timestamp_seconds";

/// Waits until the program has asked in vain so often.
fn wait_for_failures(program: &Program, count: f64) {
    wait_for("a failure", || (program.metric(FAILURES) >= count).then_some(()));
}

/// The certificate that a client is shown who trusts it.
fn shown(client: &Arc<ClientConfig>, address: SocketAddr, name: &str) -> Option<Vec<u8>> {
    let stream = connect_as(client, address, name).ok()?;
    Some(stream.conn.peer_certificates().unwrap()[0].to_vec())
}

fn wait_for_certificate(client: &Arc<ClientConfig>, program: &Program) -> Vec<u8> {
    wait_for("a certificate", || shown(client, secure_address(program), NAME))
}

/// An old certificate, in the state directory as if the program had got it: 80 days old, and 10 from its end.
fn keep_old(
    folder: &std::path::Path,
    pebble: &Pebble,
    account: &serde_json::Value,
) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - 80 * DAY).into(), (now + 10 * DAY + DAY / 2).into());
    let made = params.self_signed(&key).unwrap();
    let kept = serde_json::json!({
        "directory_url": pebble.directory_url(),
        "account": account,
        "domains": NAMES,
        "certificate": key.serialize_pem() + &made.pem(),
    });
    std::fs::create_dir_all(folder.join("state")).unwrap();
    std::fs::write(folder.join("state/acme.json"), kept.to_string()).unwrap();
    made.der().clone()
}

fn kept(program: &Program) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(program.folder.path().join("state/acme.json")).unwrap()).unwrap()
}

/// The first certificate, and a restart that needs no other.
fn is_issued_once(challenge: &str) {
    let mut pebble = Pebble::new();
    let config = pebble.config(&NAMES, challenge);
    let program = start_with(&config);
    wait_for_failures(&program, 1.0);
    assert_eq!((program.metric(ENDS_SOON), program.metric(ENDS)), (1.0, 0.0));
    let missing = "degraded: there is no certificate for TLS yet\n".to_owned();
    assert_eq!(program.get_admin("/ready"), (200, missing));

    pebble.start(program.port, secure_address(&program).port());
    let client = pebble.trusted();
    assert_eq!(shown(&client, secure_address(&program), NAME), None, "the pause is not over");
    program.signal("HUP");
    let first = wait_for_certificate(&client, &program);
    assert_eq!(shown(&client, secure_address(&program), NAMES[1]), Some(first.clone()));
    let mut stream = connect_as(&client, secure_address(&program), NAME).unwrap();
    let ask = format!("/announce?{}&compact=1", Ask::leecher([1; 20], 1001).query());
    let (status, body) = get_over(&mut stream, None, &ask).unwrap();
    assert_eq!((status, Value::read(&body).number("incomplete")), (200, Some(1)));
    assert_eq!(program.get_admin("/ready"), (200, "ready\n".to_owned()));
    assert_eq!((program.metric(ENDS_SOON), program.metric(RENEWALS)), (0.0, 1.0));
    assert!(program.metric(ENDS) > 1.7e9);
    let file = program.folder.path().join("state/acme.json");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(program.get("/.well-known/acme-challenge/x").0, 404, "nothing is shown when no order runs");

    pebble.stop();
    program.signal("TERM");
    let (status, folder) = program.wait();
    assert!(status.success());
    let program = start_in(folder, &config);
    assert_eq!(wait_for_certificate(&client, &program), first);
    assert_eq!((program.metric(RENEWALS), program.metric(FAILURES)), (0.0, 0.0), "nobody was asked");
}

#[test]
fn a_certificate_is_issued_over_http_and_outlives_a_restart() {
    is_issued_once("http-01");
}

#[test]
fn a_certificate_is_issued_over_tls_and_outlives_a_restart() {
    is_issued_once("tls-alpn-01");
}

#[test]
fn an_old_certificate_stays_while_the_authority_is_away_and_is_replaced_when_it_is_back() {
    let mut pebble = Pebble::new();
    let folder = tempfile::tempdir().unwrap();
    let old = keep_old(folder.path(), &pebble, &serde_json::Value::Null);
    let program = start_in(folder, &pebble.config(&NAMES, "http-01"));
    wait_for_failures(&program, 1.0);
    let trusting_old = trusting(old.clone(), &[]);
    assert_eq!(shown(&trusting_old, secure_address(&program), NAME).unwrap(), old.to_vec());
    let warned = "degraded: the certificate for TLS expires in 10 days\n".to_owned();
    assert_eq!(program.get_admin("/ready"), (200, warned));
    assert_eq!(program.metric(ENDS_SOON), 1.0);

    pebble.start(program.port, secure_address(&program).port());
    program.signal("HUP");
    wait_for_certificate(&pebble.trusted(), &program);
    assert_eq!(program.get_admin("/ready"), (200, "ready\n".to_owned()));
    let account = kept(&program)["account"].clone();
    assert!(account.is_object());

    // It comes again with the account that it has. An authority that has forgotten it gets another.
    let renew = |pebble: &mut Pebble, program: Program| {
        program.signal("TERM");
        let (_, folder) = program.wait();
        keep_old(folder.path(), pebble, &account);
        let program = start_in(folder, &pebble.config(&NAMES, "http-01"));
        pebble.start(program.port, secure_address(&program).port());
        program
    };
    let program = renew(&mut pebble, program);
    wait_for_failures(&program, 1.0);
    program.signal("HUP");
    wait_for("the forgotten account", || {
        program.signal("HUP");
        (program.metric(RENEWALS) == 1.0).then_some(())
    });
    assert_ne!(kept(&program)["account"], account);
}

#[test]
fn an_authority_that_finds_something_else_issues_nothing_until_it_finds_the_answer() {
    let mut pebble = Pebble::new();
    let elsewhere = start();
    for challenge in ["http-01", "tls-alpn-01"] {
        let program = start_with(&pebble.config(&NAMES, challenge));
        pebble.start(elsewhere.port, elsewhere.port);
        wait_for_failures(&program, 1.0);
        program.signal("HUP");
        wait_for_failures(&program, 2.0);
        assert_eq!((program.metric(RENEWALS), program.metric(ENDS)), (0.0, 0.0), "{challenge}");
        pebble.start(program.port, secure_address(&program).port());
        let client = pebble.trusted();
        wait_for("a certificate", || {
            program.signal("HUP");
            shown(&client, secure_address(&program), NAME)
        });
    }
}

#[test]
fn what_the_state_directory_has_and_cannot_be_read_is_one_sentence_and_status_2() {
    let pebble = Pebble::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    std::fs::write(folder.path().join("evenkeel.toml"), pebble.config(&NAMES, "http-01")).unwrap();
    for content in ["", "{}", "{\"directory_url\":\"\",\"domains\":[],\"certificate\":\"nonsense\"}"] {
        std::fs::write(folder.path().join("state/acme.json"), content).unwrap();
        let output = command(folder.path()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("acme.json"), "{text}");
    }
}
