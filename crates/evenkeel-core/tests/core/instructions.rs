//! How the counts of `benches/instructions` are judged; the counting itself is `cargo bench`.

use baseline::{compare, read, write};

#[path = "../../benches/instructions/baseline.rs"]
mod baseline;

#[test]
fn a_count_that_grows_by_more_than_five_percent_is_named() {
    let text = write(&[("announce", 1000), ("scrape", 200)]);
    let baseline = read(&text);
    assert_eq!(compare(&baseline, &[("announce", 1050), ("scrape", 190)]), [""; 0]);
    assert_eq!(
        compare(&baseline, &[("announce", 1051), ("scrape", 200)]),
        ["announce: 1051 instructions instead of 1000: +5.1 %"]
    );
}

#[test]
fn a_count_that_shrinks_asks_for_a_lower_baseline() {
    let [wrong] = &compare(&[("announce", 1000)], &[("announce", 900)])[..] else { panic!() };
    assert!(wrong.starts_with("announce: 900 instructions instead of 1000: -10.0 %; lower the baseline"));
}

#[test]
fn cases_and_baseline_are_the_same_ones() {
    assert_eq!(compare(&[], &[("announce", 9)]), ["announce: 9 instructions, and no baseline"]);
    assert_eq!(compare(&[("announce", 9)], &[]), ["announce: in the baseline, and not counted any more"]);
}
