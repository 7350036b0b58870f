//! Starting, failing to start, reloading, stopping.

use std::iter;
use std::net::{TcpListener, UdpSocket};
use std::process::Output;
use std::time::Instant;

use crate::rig::{Ask, PATIENCE, Way, command, start, start_in, start_with, wait_for};

/// Runs the program where it must refuse to start; answers what it says.
fn refused(arguments: &[&str], config: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evenkeel.toml"), config).unwrap();
    refusal(&command(folder.path()).args(arguments).output().unwrap())
}

fn refusal(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn the_banner_says_where_the_tracker_is() {
    let program = start();
    for url in
        ["http://127.0.0.1", "http://[::1]", "udp://127.0.0.1", "udp://[::1]", "ws://127.0.0.1", "ws://[::1]"]
    {
        assert!(program.banner.contains(&format!("{url}:{}/announce\n", program.port)), "{}", program.banner);
    }
    assert!(program.banner.contains(&format!("http://127.0.0.1:{}/stats", program.port)));
    assert!(
        program.banner.contains("state")
            && program.banner.contains("HTTP connections and WebSockets at a time")
    );
}

#[test]
fn a_bound_port_is_one_sentence_and_status_2() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    // Of a port that nobody has over TCP: that is tried first.
    let is_free = |udp: &UdpSocket| TcpListener::bind(udp.local_addr().unwrap()).is_ok();
    let udp = iter::repeat_with(|| UdpSocket::bind("127.0.0.1:0").unwrap()).find(is_free).unwrap();
    for (port, transport) in
        [(tcp.local_addr().unwrap().port(), "TCP"), (udp.local_addr().unwrap().port(), "UDP")]
    {
        let text = refused(&["--port", &port.to_string()], "[server]\naddresses = [\"127.0.0.1\"]\n");
        assert!(text.contains(&format!("cannot listen on 127.0.0.1:{port} ({transport})")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_second_tracker_on_one_state_directory_is_refused() {
    let program = start();
    let text = refusal(&command(program.folder.path()).output().unwrap());
    assert!(text.contains("in use by another evenkeel"), "{text}");
    assert_eq!(program.get("/health").0, 200, "the first one does not mind");
}

#[test]
fn a_state_directory_that_cannot_be_is_refused() {
    let text = refused(&["--state-dir", "/proc/nowhere"], "");
    assert!(text.contains("/proc/nowhere") && text.lines().count() == 1, "{text}");
}

#[test]
fn every_mistake_in_the_configuration_is_told_at_once() {
    let text = refused(
        &[],
        "[server]\nprot = 1\n[announce]\ninterval_secs = 1\n[limits]\npeers_max = \"many\"\n[serber]\n",
    );
    for part in ["prot", "port", "interval_secs", "30", "peers_max", "serber", "server"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    for arguments in
        [&["--nonsense"][..], &["--port", "65536"], &["config", "check", "--config", "missing.toml"]]
    {
        refused(arguments, "");
    }
}

#[test]
fn hang_up_changes_limits_and_a_bad_file_changes_nothing() {
    let program = start_with("[announce]\nnumwant_default = 3\n");
    for port in 1001..1011 {
        program.announce(Way::UdpV4, &Ask::leecher([1; 20], port));
    }
    let peers = || {
        program
            .announce(Way::UdpV4, &Ask { numwant: -1, ..Ask::leecher([1; 20], 1020) }.event(""))
            .peers
            .len()
    };
    assert_eq!(peers(), 3);
    let file = program.folder.path().join("evenkeel.toml");
    std::fs::write(&file, "[announce]\nnumwant_default = 5\n").unwrap();
    program.signal("HUP");
    wait_for("the new limit", || (peers() == 5).then_some(()));
    std::fs::write(&file, "[announce]\nnumwant_default = 7\nnonsense = 1\n").unwrap();
    program.signal("HUP");
    std::fs::write(&file, "[announce]\nnumwant_default = 8\n").unwrap();
    // Signals are handled in order: were the bad file obeyed, 7 would be seen before 8.
    program.signal("HUP");
    wait_for("the next limit", || {
        let peers = peers();
        assert_ne!(peers, 7, "a bad file was obeyed");
        (peers == 8).then_some(())
    });
}

#[test]
fn terminate_and_interrupt_stop_at_once_even_with_open_connections() {
    for signal in ["TERM", "INT"] {
        let program = start();
        // Many: their farewells once locked out the signal to stop, now and then and for ever.
        let _idle: Vec<_> = (0..60).map(|_| program.connect()).collect();
        assert_eq!(program.get("/health").0, 200);
        let began = Instant::now();
        program.signal(signal);
        let (status, _) = program.wait();
        assert!(status.success(), "{signal}: {status}");
        assert!(began.elapsed() < PATIENCE / 4, "{signal}: took {:?}", began.elapsed());
    }
}

#[test]
fn a_killed_tracker_starts_again_in_its_directory() {
    let program = start();
    program.signal("KILL");
    let (_, folder) = program.wait();
    let program = start_in(folder, "");
    assert_eq!(program.announce(Way::HttpV4, &Ask::seeder([1; 20], 1001)).complete, 1);
}

#[test]
fn one_dialect_can_be_switched_off() {
    let program = start_with("[server]\nudp = false\n");
    assert!(!program.banner.contains("udp://"));
    assert_eq!(program.announce(Way::HttpV4, &Ask::seeder([1; 20], 1001)).complete, 1);
    let program = start_with("[server]\nhttp = false\nwebtorrent = false\n");
    assert!(!program.banner.contains("/stats"));
    assert_eq!(program.announce(Way::UdpV4, &Ask::seeder([1; 20], 1001)).complete, 1);
}
