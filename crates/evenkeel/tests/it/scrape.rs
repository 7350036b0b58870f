//! Scrapes of one and of many torrents, over every dialect and family.

use crate::bencode::Value;
use crate::rig::{Ask, WAYS, Way, escape, start};

#[test]
fn unknown_torrents_are_zeros_and_are_not_created() {
    let program = start();
    for way in WAYS {
        assert_eq!(program.scrape(way, &[[7; 20]]), [(0, 0, 0)], "{way:?}");
    }
    assert_eq!(program.metric("evenkeel_swarms"), 0.0);
}

#[test]
fn many_torrents_are_answered_in_the_order_of_the_question() {
    let program = start();
    let torrents: Vec<[u8; 20]> = (0..74).map(|number| [73 - number; 20]).collect();
    for torrent in torrents.iter().step_by(2) {
        program.announce(Way::HttpV4, &Ask::seeder(*torrent, 1001));
    }
    let expected: Vec<_> = (0..74).map(|number| (u64::from(number % 2 == 0), 0, 0)).collect();
    for way in WAYS {
        assert_eq!(program.scrape(way, &torrents), expected, "{way:?}");
    }
}

#[test]
fn a_torrent_that_is_asked_for_twice_is_answered() {
    let program = start();
    program.announce(Way::HttpV4, &Ask::seeder([1; 20], 1001));
    for way in WAYS {
        assert_eq!(program.scrape(way, &[[1; 20], [2; 20], [1; 20]]), [(1, 0, 0), (0, 0, 0), (1, 0, 0)]);
    }
}

#[test]
fn an_http_scrape_names_partial_seeds_and_a_pause() {
    let program = start();
    program.announce(Way::HttpV4, &Ask::leecher([1; 20], 1001));
    program.announce(Way::HttpV4, &Ask::leecher([1; 20], 1002).event("paused"));
    let (_, body) = program.get(&format!("/scrape?info_hash={}", escape(&[1; 20])));
    let answer = Value::read(&body);
    assert_eq!(answer.get("flags").unwrap().number("min_request_interval"), Some(300));
    let Some(Value::Dictionary(files)) = answer.get("files") else { panic!() };
    let file = &files[&[1_u8; 20][..]];
    assert_eq!((file.number("incomplete"), file.number("downloaders")), (Some(2), Some(1)));
}

#[test]
fn a_scrape_without_a_torrent_does_not_list_the_store() {
    let program = start();
    program.announce(Way::HttpV4, &Ask::seeder([1; 20], 1001));
    let (status, body) = program.get("/scrape");
    let answer = Value::read(&body);
    assert_eq!(status, 200);
    assert!(answer.get("files").is_none() && answer.bytes("failure reason").is_some());
}
