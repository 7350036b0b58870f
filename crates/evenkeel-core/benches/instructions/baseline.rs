//! The counts that are committed, and what is said when new ones are not like them.

use std::fmt::Write as _;

/// How far a count may be from its baseline, in percent; see `main.rs` for what differs without a change.
pub(crate) const TOLERANCE_PERCENT: u64 = 5;

/// The file.
pub(crate) fn write(counts: &[(&str, u64)]) -> String {
    let mut text = String::from(
        "# Instructions of one request (a slice of the sweep), as benches/instructions counts them. Written by\n\
         # `just update-instructions`; raised by a commit of its own that says why.\n",
    );
    for (name, count) in counts {
        writeln!(text, "{name:<36} {count:>8}").unwrap();
    }
    text
}

/// Names and counts of the file.
pub(crate) fn read(text: &str) -> Vec<(&str, u64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| (name, count.trim().parse().unwrap()))
        .collect()
}

/// A line for each case that is not what the baseline says.
pub(crate) fn compare(baseline: &[(&str, u64)], counts: &[(&str, u64)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, new) in counts {
        let Some((_, old)) = baseline.iter().find(|(known, _)| known == name) else {
            wrong.push(format!("{name}: {new} instructions, and no baseline"));
            continue;
        };
        let percent = (*new as f64 / *old as f64 - 1.0) * 100.0;
        if *new * 100 > *old * (100 + TOLERANCE_PERCENT) {
            wrong.push(format!("{name}: {new} instructions instead of {old}: {percent:+.1} %"));
        } else if *new * 100 < *old * (100 - TOLERANCE_PERCENT) {
            wrong.push(format!(
                "{name}: {new} instructions instead of {old}: {percent:+.1} %; lower the baseline, or they creep back"
            ));
        }
    }
    for (name, _) in baseline.iter().filter(|(name, _)| counts.iter().all(|(counted, _)| counted != name)) {
        wrong.push(format!("{name}: in the baseline, and not counted any more"));
    }
    wrong
}
