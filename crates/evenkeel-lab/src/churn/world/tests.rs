use evenkeel_wire::PeerId;

use super::*;
use crate::churn::Options;
use crate::churn::plan::Draw;
use crate::webtorrent::{self, Announcing, Heard};

/// Two sockets in torrent 0, which both had their reply.
fn two() -> (World, Plan, Plan) {
    let mut world = World::new(1, 3);
    let mut draw = Draw::new(&Options::example());
    let mut open = |world: &mut World| {
        let plan = Plan { torrents: vec![0], is_shared: false, ..draw.plan() };
        world.open(&plan);
        world.settle(0);
        plan
    };
    let (one, two) = (open(&mut world), open(&mut world));
    (world, one, two)
}

/// Text of an offer, as a tracker passes it on.
fn offer(world: &World, number: OfferNumber, peer_id: &PeerId) -> String {
    let said = Announcing { info_hash: &world.hashes()[0], peer_id, left: 0, event: "" };
    let announce = webtorrent::announce(&said, number, 1);
    let mut value: serde_json::Value = serde_json::from_str(&announce).unwrap();
    let offer = value["offers"][0].take();
    serde_json::json!({
        "action": "announce", "offer": offer["offer"], "offer_id": offer["offer_id"],
        "peer_id": value["peer_id"], "info_hash": value["info_hash"],
    })
    .to_string()
}

fn hear_offer(world: &mut World, plan: &Plan, text: &str) -> Option<OfferNumber> {
    let Heard::Offer(offer) = webtorrent::read(text).unwrap() else { panic!("{text}") };
    world.hear_offer(plan, &offer)
}

fn hear_answer(world: &mut World, plan: &Plan, to_offer: &str, by: &Plan) {
    let Heard::Offer(offer) = webtorrent::read(to_offer).unwrap() else { panic!("{to_offer}") };
    let text = webtorrent::answer(&offer, &by.peer_id(0), OfferNumber::of(&offer.offer_id).unwrap());
    let Heard::Answer(answer) = webtorrent::read(&text).unwrap() else { panic!("{text}") };
    world.hear_answer(plan.number, &answer);
}

fn mistakes(world: &World) -> Vec<(Wrong, u64)> {
    world.wrong.iter().map(|(what, count)| (*what, *count)).collect()
}

#[test]
fn an_offer_and_its_answer_are_good_once() {
    let (mut world, one, two) = two();
    let number = world.offer(one.number, 0, 5);
    let text = offer(&world, number, &one.peer_id(0));
    assert_eq!(hear_offer(&mut world, &two, &text), Some(number));
    world.answer(two.number, number);
    hear_answer(&mut world, &one, &text, &two);
    world.sweep(Duration::ZERO);
    assert_eq!(mistakes(&world), []);
    hear_offer(&mut world, &two, &text);
    hear_answer(&mut world, &one, &text, &two);
    assert_eq!(mistakes(&world), [(Wrong::OfferTwice, 1), (Wrong::AnswerTwice, 1)]);
}

#[test]
fn what_goes_astray_is_noticed() {
    let (mut world, one, two) = two();
    let number = world.offer(one.number, 0, 5);
    let text = offer(&world, number, &one.peer_id(0));
    assert_eq!(hear_offer(&mut world, &one, &text), None);
    hear_offer(&mut world, &Plan { torrents: vec![1], ..two.clone() }, &text);
    let strange = offer(&world, number, &two.peer_id(0));
    hear_offer(&mut world, &two, &strange);
    hear_answer(&mut world, &two, &text, &one);
    let expected = [Wrong::OfferToMaker, Wrong::OfferAstray, Wrong::OfferChanged, Wrong::AnswerAstray];
    assert_eq!(mistakes(&world), expected.map(|what| (what, 1)));
}

#[test]
fn an_answer_that_never_comes_is_missed_unless_somebody_left() {
    let (mut world, one, two) = two();
    let numbers = world.offer(one.number, 0, 5);
    world.answer(two.number, numbers);
    world.sweep(PATIENCE);
    assert_eq!(mistakes(&world), []);
    world.sweep(Duration::ZERO);
    assert_eq!(mistakes(&world), [(Wrong::AnswerLost, 1)]);
    world.answer(two.number, numbers);
    world.close(two.number);
    world.sweep(Duration::ZERO);
    world.answer(two.number, numbers);
    world.leave(one.number, [0].into_iter());
    world.sweep(Duration::ZERO);
    assert_eq!(mistakes(&world), [(Wrong::AnswerLost, 1)]);
}

#[test]
fn counts_must_lie_between_the_certain_and_the_possible() {
    let (mut world, one, two) = two();
    let third = Plan { number: 99, ..one.clone() };
    let asked = world.ask(0, false);
    world.reply(0, &asked, 2);
    world.open(&third);
    // It may be known already.
    [2, 3].into_iter().for_each(|peers| world.reply(0, &asked, peers));
    let own = world.ask(0, true);
    assert_eq!(mistakes(&world), []);
    world.reply(0, &own, 2);
    world.reply(0, &own, 4);
    assert_eq!(mistakes(&world), [(Wrong::Counts, 2)]);
    world.leave(two.number, [0].into_iter());
    // Asked before it began to leave: it may be counted or not.
    [1, 2, 3].into_iter().for_each(|peers| world.reply(0, &asked, peers));
    world.gone(&[0]);
    [1, 2, 3].into_iter().for_each(|peers| world.reply(0, &asked, peers));
    let later = world.ask(0, false);
    world.reply(0, &later, 2);
    assert_eq!(mistakes(&world), [(Wrong::Counts, 2)]);
    world.reply(0, &later, 3);
    assert_eq!(mistakes(&world), [(Wrong::Counts, 3)]);
}
