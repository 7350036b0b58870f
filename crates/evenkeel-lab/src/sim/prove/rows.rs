//! The rows of a proof: what was measured, and what it must reach.

use std::fmt::Write as _;

use evenkeel_core::{Form, Formula, Policy, Preset};
use serde::Serialize;

use super::super::cells::{Arm, find};
use super::super::constants::STEP_SECS;
use super::super::statistics::Estimate;
use super::super::table::signed;

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub what: String,
    target: Target,
    #[serde(skip)]
    unit: Unit,
    measured: Option<Estimate>,
    /// What the program that the policies were designed with has shown for it.
    prototype: &'static str,
}

/// What a figure must reach; the mean is what counts.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    Within(f64, f64),
    /// Nothing: it is there to be known.
    Stated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Ratio,
    /// A ratio that is told as a change.
    Change,
    /// A share, in percent.
    Share,
    Seconds,
}

const RANDOM: Policy = Policy::Random;
const RBS: Policy = Policy::Rbs(Preset::Default);
const AGGRESSIVE: Policy = Policy::Rbs(Preset::Aggressive);
const LITERAL: Policy = Policy::TierBackoff(Form::Literal);
const SYMMETRIC: Policy = Policy::TierBackoff(Form::Symmetric);
const LIST_RATIO: Policy = Policy::ListSize(Formula::Ratio);

/// Rows under way.
struct Rows<'a> {
    arms: &'a [Arm<'a>],
    rows: Vec<Row>,
}

/// All rows, in the order in which they are read.
pub(super) fn all(arms: &[Arm<'_>]) -> Vec<Row> {
    let mut rows = Rows { arms, rows: Vec::new() };
    rows.advantage();
    rows.cost();
    rows.one_seed();
    rows.leaving();
    rows.names_and_newcomers();
    rows.announces();
    rows.comparison();
    rows.leaks();
    rows.rows
}

/// As a table.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut out = "| what | must be | measured | prototype | |\n|---|--:|--:|--:|---|\n".to_owned();
    for row in rows {
        let measured = row.measured.map_or_else(|| "nothing".to_owned(), |estimate| row.unit.text(&estimate));
        let verdict = match row.target {
            Target::Stated => "",
            _ if row.is_missed() => "**FAIL**",
            _ => "pass",
        };
        let target = row.target.text(row.unit);
        writeln!(out, "| {} | {target} | {measured} | {} | {verdict} |", row.what, row.prototype).ok();
    }
    out
}

impl Row {
    /// Whether it falls short, or could not be measured at all.
    pub(super) fn is_missed(&self) -> bool {
        !self.measured.is_some_and(|estimate| self.target.is_reached(estimate.mean))
    }
}

impl Target {
    fn is_reached(self, mean: f64) -> bool {
        match self {
            Self::AtLeast(least) => mean >= least,
            Self::AtMost(most) => mean <= most,
            Self::Below(most) => mean < most,
            Self::Within(low, high) => (low..=high).contains(&mean),
            Self::Stated => true,
        }
    }

    fn text(self, unit: Unit) -> String {
        let number = |number: f64| unit.number(number);
        match self {
            Self::AtLeast(least) => format!(">= {}", number(least)),
            Self::AtMost(most) => format!("<= {}", number(most)),
            Self::Below(most) => format!("< {}", number(most)),
            Self::Within(low, high) => format!("{} to {}", number(low), number(high)),
            Self::Stated => "-".to_owned(),
        }
    }
}

impl Unit {
    fn number(self, number: f64) -> String {
        match self {
            Self::Ratio => format!("{number:.2}"),
            Self::Change => format!("{:+.0} %", (number - 1.0) * 100.0),
            Self::Share => format!("{:.0} %", number * 100.0),
            Self::Seconds => format!("{number:.0} s"),
        }
    }

    fn text(self, estimate: &Estimate) -> String {
        match self {
            Self::Ratio => estimate.text(2),
            Self::Change => signed(&estimate.percent()),
            Self::Share => format!("{:.1} %", estimate.mean * 100.0),
            Self::Seconds => format!("{:.0} s", estimate.mean),
        }
    }
}

impl Rows<'_> {
    fn push(
        &mut self,
        what: &str,
        (target, unit): (Target, Unit),
        measured: Option<Estimate>,
        prototype: &'static str,
    ) {
        self.rows.push(Row { what: what.to_owned(), target, unit, measured, prototype });
    }

    fn arm(&self, cell: &str, policy: Policy) -> Option<Arm<'_>> {
        find(self.arms, cell, policy)
    }

    /// A ratio within the runs of one arm.
    fn ratio(&mut self, (cell, policy, name): (&str, Policy, &str), target: Target, prototype: &'static str) {
        let measured = self.arm(cell, policy).and_then(|arm| arm.ratio(name));
        self.push(&format!("{cell}: {name}, {policy}"), (target, Unit::Ratio), measured, prototype);
    }

    /// A figure over that of `random`.
    fn over_random(
        &mut self,
        (cell, policy, name): (&str, Policy, &str),
        target: (Target, Unit),
        prototype: &'static str,
    ) {
        let pair = self.arm(cell, policy).zip(self.arm(cell, RANDOM));
        let measured = pair.and_then(|(arm, base)| arm.over(&base, name));
        self.push(&format!("{cell}: {name}, {policy} / random"), target, measured, prototype);
    }

    fn share(&mut self, (cell, policy): (&str, Policy), target: Target, prototype: &'static str) {
        let measured = self.arm(cell, policy).and_then(|arm| arm.level("empty first lists"));
        self.push(
            &format!("{cell}: empty first lists, {policy}"),
            (target, Unit::Share),
            measured,
            prototype,
        );
    }

    fn advantage(&mut self) {
        self.ratio(("scarce", RBS, "free/good"), Target::AtLeast(1.5), "1.61");
        self.ratio(("scarce", AGGRESSIVE, "free/good"), Target::AtLeast(1.7), "1.79");
        self.ratio(("scarce", RANDOM, "free/good"), Target::Within(0.97, 1.03), "1.00");
    }

    fn cost(&mut self) {
        for (cell, all, most, p95, moved) in [
            ("scarce", "-0.3 %", 1.0, "+0.8 %", "+0.7 %"),
            ("balanced", "+1.6 %", 1.03, "+1.6 %", "-0.6 %"),
            ("plenty", "+4.3 %", 1.05, "+4.7 %", "-0.4 %"),
        ] {
            self.over_random((cell, RBS, "all"), (Target::AtMost(most), Unit::Change), all);
            self.over_random((cell, RBS, "all p95"), (Target::AtMost(1.05), Unit::Change), p95);
            self.over_random((cell, RBS, "GB moved"), (Target::AtLeast(0.99), Unit::Change), moved);
            self.share((cell, RBS), Target::AtMost(0.0), "0 %");
        }
    }

    fn one_seed(&mut self) {
        self.over_random(("one-seed", RBS, "all"), (Target::Within(0.99, 1.01), Unit::Change), "+0.5 %");
        let pair = self.arm("one-seed", RBS).zip(self.arm("one-seed", RANDOM));
        // The very last of some 40,000 downloads is chance; where the last one in a thousand is, is not.
        let target = (Target::AtMost(f64::from(STEP_SECS)), Unit::Seconds);
        let later = pair.and_then(|(arm, base)| arm.beyond(&base, "first byte p99.9"));
        self.push("one-seed: 99.9 % of first bytes, rbs later than random", target, later, "0 s");
        let stated = (Target::Stated, Unit::Seconds);
        let latest =
            |policy: Policy| Estimate::of(&[self.arm("one-seed", policy)?.most("first byte max")?]);
        let (own, of_random) = (latest(RBS), latest(RANDOM));
        self.push("one-seed: latest first byte, rbs", stated, own, "30 s");
        self.push("one-seed: latest first byte, random", stated, of_random, "30 s");
        self.share(("one-seed", RBS), Target::AtMost(0.0), "0 %");
    }

    fn leaving(&mut self) {
        let name = "selfish/good";
        self.ratio(("seeding 50 %", RBS, name), Target::AtLeast(1.8), "2.04");
        self.ratio(("seeding 90 %", RBS, name), Target::AtLeast(2.5), "3.07");
        self.ratio(("seeding 50 %", RANDOM, name), Target::Stated, "1.03");
        self.ratio(("seeding 90 %", RANDOM, name), Target::Stated, "0.98");
    }

    fn names_and_newcomers(&mut self) {
        self.ratio(("scarce", RBS, "whitewasher/free"), Target::AtLeast(0.95), "0.98 to 1.03");
        for (name, target, prototype) in [
            ("newcomer 1st", Target::AtMost(1.5), "1.17"),
            ("newcomer 2nd", Target::Stated, "0.92"),
            ("newcomer 3rd", Target::Below(1.0), "0.87"),
            ("newcomer later", Target::Below(1.0), "0.82"),
        ] {
            self.over_random(("newcomers", RBS, name), (target, Unit::Ratio), prototype);
        }
    }

    fn announces(&mut self) {
        for (cell, prototype) in [("scarce", "+7 %"), ("balanced", "+1 %"), ("plenty", "+2 %")] {
            self.over_random((cell, RBS, "announces"), (Target::AtMost(1.10), Unit::Change), prototype);
        }
    }

    /// Other ideas, with their bad figures.
    fn comparison(&mut self) {
        for (cell, policy, free, all, empty) in [
            ("scarce", LITERAL, "1.24", "+4.1 %", "24.5 %"),
            ("balanced", LITERAL, "1.87", "+32.8 %", "37.2 %"),
            ("plenty", LITERAL, "2.26", "+46.3 %", "34.9 %"),
            ("scarce", SYMMETRIC, "1.31", "+5.1 %", "0 %"),
            ("balanced", SYMMETRIC, "1.95", "+33.7 %", "0 %"),
            ("plenty", SYMMETRIC, "3.06", "+73.2 %", "0 %"),
            ("scarce", LIST_RATIO, "1.14", "0.0 %", "0 %"),
            ("balanced", LIST_RATIO, "1.21", "+4.4 %", "0 %"),
            ("plenty", LIST_RATIO, "1.59", "+16.4 %", "0 %"),
        ] {
            self.ratio((cell, policy, "free/good"), Target::Stated, free);
            self.over_random((cell, policy, "all"), (Target::Stated, Unit::Change), all);
            if policy == LITERAL {
                self.share((cell, policy), Target::Stated, empty);
            }
        }
    }

    fn leaks(&mut self) {
        self.ratio(("pex 1", RBS, "free/good"), Target::Stated, "1.18");
        self.ratio(("pex 1", RANDOM, "free/good"), Target::Stated, "0.99");
        self.ratio(("connectable 60 %", RBS, "free/good"), Target::Stated, "1.38");
        self.ratio(("large", RBS, "free/good"), Target::Stated, "1.54");
        self.over_random(("large", RBS, "all"), (Target::Stated, Unit::Change), "+3.9 %");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: Target, mean: f64) -> Row {
        let measured = Estimate::of(&[mean]);
        Row { what: "it".to_owned(), target, unit: Unit::Change, measured, prototype: "-" }
    }

    #[test]
    fn a_row_fails_that_falls_short_or_was_not_measured() {
        assert!(row(Target::AtLeast(1.5), 1.49).is_missed() && !row(Target::AtLeast(1.5), 1.5).is_missed());
        assert!(row(Target::AtMost(1.0), 1.01).is_missed() && !row(Target::AtMost(1.0), 1.0).is_missed());
        assert!(row(Target::Below(1.0), 1.0).is_missed());
        assert!(row(Target::Within(0.9, 1.1), 1.2).is_missed());
        assert!(row(Target::AtMost(1.0), f64::NAN).is_missed());
        let unknown = Row { measured: None, ..row(Target::Stated, 1.0) };
        assert!(unknown.is_missed());
        let text = markdown(&[row(Target::AtMost(1.03), 1.05), unknown]);
        assert!(
            text.contains("| it | <= +3 % | +5.0 % | - | **FAIL** |") && text.contains("nothing"),
            "{text}"
        );
    }
}
