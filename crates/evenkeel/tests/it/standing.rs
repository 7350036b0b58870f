//! What users earn: added up beside the announces, kept over restarts, and shown to whoever earned it.

use serde_json::Value as Json;

use crate::api;
use crate::bencode::Value;
use crate::private::{self, PASSKEY, Rig};
use crate::rig::{Ask, Program, Way, get, start_with, wait_for};

const TORRENT: [u8; 20] = [7; 20];
const PRIVATE: &str = "preset = \"private\"\n[standing]\nkeep_secs = 1\nevaluation_secs = 10\n";

/// A client of the user says what it has got.
fn got(program: &Program, downloaded: u64, event: &'static str) {
    let query = Ask::leecher(TORRENT, 2001).event(event).query();
    let query = query.replace("downloaded=0", &format!("downloaded={downloaded}"));
    let (_, body) = program.get(&format!("/{PASSKEY}/announce?{query}&compact=1"));
    assert_eq!(Value::read(&body).bytes("failure reason"), None);
}

fn standing(program: &Program, secret: &str) -> Json {
    let json = Some("Accept: application/json\r\n");
    let (status, body) = get(program.address(Way::HttpV4), json, &format!("/standing/{secret}"));
    assert_eq!(status, 200);
    serde_json::from_slice(&body).unwrap()
}

fn charged_mib(program: &Program) -> Option<f64> {
    standing(program, PASSKEY)["figures"]["charged_mib"].as_f64()
}

/// As if somebody had pulled the plug, and then started it again.
fn kill(rig: Rig, postgres: &str) -> Rig {
    private::kill(rig, &format!("[access]\n{PRIVATE}{postgres}"))
}

fn what_is_earned_outlives_a_kill(rig: Rig, postgres: &str) {
    rig.populate();
    assert_eq!(charged_mib(&rig.program), Some(0.0), "it has announced, and got nothing");
    got(&rig.program, 0, "started");
    got(&rig.program, 5 << 20, "");
    wait_for("what was got", || charged_mib(&rig.program).filter(|mib| (4.9..5.1).contains(mib)));
    let kept = "SELECT 1 FROM standings WHERE kind = 1 AND charged_mib > 4900";
    wait_for("the row", || rig.has(kept).then_some(()));
    let rig = kill(rig, postgres);
    let mib = charged_mib(&rig.program).unwrap();
    assert!((4.9..5.1).contains(&mib), "{mib}, before the first announce");
    rig.write("DELETE FROM users");
    assert!(!rig.has("SELECT 1 FROM standings"));
}

#[test]
fn what_is_earned_outlives_a_kill_in_sqlite() {
    what_is_earned_outlives_a_kill(private::sqlite(PRIVATE), "");
}

#[test]
fn what_is_earned_outlives_a_kill_in_postgresql() {
    let (server, name) = crate::postgres::shared();
    let database = format!("[database]\nurl = \"{}\"\n", server.address("evenkeel", &name));
    what_is_earned_outlives_a_kill(private::postgres_on(server, name, PRIVATE), &database);
}

#[test]
fn a_score_becomes_a_tier_which_the_policy_sees_and_the_operator_overrides() {
    let config = "torrents = \"any\"\nidentity = \"optional\"\n[equilibrium]\npolicy = \"rbs-aggressive\"\nheld_out_percent = 0\n\
                  [standing]\nevaluation_secs = 10\n";
    let rig = private::sqlite(config);
    let token = api::token_in(&rig.program.banner).unwrap();
    rig.populate();
    // Somebody who has given much, and whom nobody has judged yet.
    rig.write(
        "INSERT INTO standings SELECT 1, id, unixepoch(), 0, 0, unixepoch(), unixepoch(), unixepoch(), 0, 1000000000,
         1000000000, 1000000000, 1000000, 1000000000, 1000000000, 0, 5000, 5000, 0, 0, 0, 0, 0 FROM users",
    );
    let rig = private::kill(rig, &format!("[access]\n{config}"));
    let top = || rig.program.metric("evenkeel_identities{tier=\"3\"}");
    assert_eq!((top(), &standing(&rig.program, PASSKEY)["tier"]), (0.0, &0.into()));
    wait_for("the tier", || (top() == 1.0).then_some(()));
    let shown = standing(&rig.program, PASSKEY);
    assert_eq!((&shown["tier"], &shown["next"]), (&3.into(), &Json::Null));

    for port in 1001..1061 {
        rig.program.announce(Way::UdpV4, &Ask::seeder(TORRENT, port));
    }
    let leecher = |port| Ask { numwant: 200, ..Ask::leecher(TORRENT, port) }.query();
    rig.program.get(&format!("/{PASSKEY}/announce?{}", leecher(2000)));
    let newcomer = rig.program.announce(Way::UdpV4, &Ask { numwant: 200, ..Ask::leecher(TORRENT, 3000) });
    assert!(newcomer.peers.len() < 40, "rationed for the sake of the tier: {}", newcomer.peers.len());

    api::ask(&rig.program, &token, "PUT /users/1/tier", r#"{"tier": 1}"#);
    let held =
        wait_for("the pin", || Some(standing(&rig.program, PASSKEY)).filter(|shown| shown["tier"] == 1));
    assert_eq!(held["pinned_tier"], 1);
    let (_, page) = rig.program.get(&format!("/standing/{PASSKEY}"));
    assert!(String::from_utf8(page).unwrap().contains("The operator holds you at tier 1"));
}

#[test]
fn rules_of_standing_change_at_a_reload() {
    let rig = private::sqlite(PRIVATE);
    rig.populate();
    let weight = || standing(&rig.program, PASSKEY)["parts"][3]["weight"].as_f64().unwrap();
    assert!((0.24..0.26).contains(&weight()));
    let config = format!("[access]\n{PRIVATE}ratio_weight = 100\nkept_weight = 0\n");
    std::fs::write(rig.program.folder.path().join("evenkeel.toml"), config).unwrap();
    rig.program.signal("HUP");
    wait_for("the reload", || (weight() > 0.5).then_some(()));
}

#[test]
fn only_who_shows_a_secret_is_shown_a_standing() {
    let config = format!("{PRIVATE}[proxy]\ntrusted_networks = [\"127.0.0.1\"]\n");
    let rig = private::sqlite(&config);
    rig.populate();
    let (status, page) = rig.program.get(&format!("/standing/{PASSKEY}"));
    let page = String::from_utf8(page).unwrap();
    assert!(status == 200 && page.contains("Tier 0 of 3") && !page.contains(PASSKEY), "{page}");
    for path in ["/standing", "/standing/", "/standing/a/b", "/standing/a%20b"] {
        assert_eq!(rig.program.get(path).0, 404, "{path}");
    }
    let look = |source: &str, secret: &str| {
        let headers = format!("X-Forwarded-For: {source}\r\n");
        let (status, body) =
            get(rig.program.address(Way::HttpV4), Some(&headers), &format!("/standing/{secret}"));
        (status, String::from_utf8(body).unwrap())
    };
    let unknown = "this passkey is not known: download the torrent again from its site\n";
    for guess in 0..10 {
        assert_eq!(look("8.8.8.8", &format!("guess{guess}")), (404, unknown.to_owned()));
    }
    look("8.8.8.8", "guess10");
    assert_eq!(look("8.8.8.8", PASSKEY).0, 429, "whoever guesses is shut out here as from announces");
    assert_eq!(look("8.8.4.4", PASSKEY).0, 200);
    rig.write("UPDATE users SET state = 3");
    wait_for("the ban", || (look("8.8.4.4", PASSKEY).0 == 404).then_some(()));
}

#[test]
fn an_open_tracker_has_no_standing_unless_networks_earn_one() {
    let open = start_with("");
    assert_eq!(open.get("/standing/x").0, 404);
    assert!(!open.get_admin("/metrics").1.contains("evenkeel_identities"));
    let program = start_with("[standing]\nof_networks = true\n");
    assert_eq!(program.metric("evenkeel_identities_limit"), 1_048_576.0);
    program.announce(Way::UdpV4, &Ask::seeder(TORRENT, 1001));
    program.announce(Way::HttpV4, &Ask::leecher(TORRENT, 1002));
    program.announce(Way::HttpV6, &Ask::leecher(TORRENT, 1003));
    wait_for("two networks", || (program.metric("evenkeel_identities{tier=\"0\"}") == 2.0).then_some(()));
    assert_eq!(program.metric("evenkeel_observations_dropped_total"), 0.0);
    assert_eq!(program.get("/standing/x").0, 404, "nobody shows a secret");
}

#[test]
fn what_rationing_does_is_measured_in_swarms_that_are_held_out() {
    let config = "torrents = \"any\"\nidentity = \"optional\"\n[equilibrium]\npolicy = \"rbs\"\nheld_out_percent = 50\n";
    let rig = private::sqlite(config);
    let token = api::token_in(&rig.program.banner).unwrap();
    rig.wait_until_ready();
    let told = || api::ask(&rig.program, &token, "GET /equilibrium", "").1;
    let before = told();
    assert_eq!((&before["held_out_percent"], &before["treated"]["all"]), (&50.into(), &Json::Null));
    // Whoever waits is told apart by the torrent here: 200 of them, of which half are held out.
    let announce = |torrent: u8, downloaded: u64, port: u16| {
        let ask = Ask { left: 1 << 40, ..Ask::leecher([torrent; 20], port) };
        let query = ask.event(if downloaded == 0 { "started" } else { "" }).query();
        let query = query.replace("downloaded=0", &format!("downloaded={downloaded}"));
        rig.program.get(&format!("/announce?{query}&compact=1"));
    };
    for torrent in 0..200 {
        rig.program.announce(Way::UdpV4, &Ask::seeder([torrent; 20], 1001));
        announce(torrent, 0, 1002);
    }
    // A second must go by, of which an announce speaks.
    let mut downloaded = 0;
    let shown = wait_for("both arms", || {
        downloaded += 5_000_000;
        (0..200).for_each(|torrent| announce(torrent, downloaded, 1002));
        let told = told();
        (told["treated"]["all"].is_object() && told["held_out"]["all"].is_object()).then_some(told)
    });
    assert!(shown["cost_percent"]["give_or_take"].as_f64().unwrap() > 0.0, "{shown}");
    assert_eq!(shown["treated"]["all"], shown["treated"]["tiers"][0], "all are of the newest tier");

    let shift = || told()["busy_shift_percent"].as_i64();
    assert_eq!(shift(), Some(0));
    api::ask(&rig.program, &token, "POST /settings", r#"{"name": "busy_shift", "value": "4"}"#);
    wait_for("the threshold", || (shift() == Some(4)).then_some(()));
}
