//! The result: JSON for programs, a section in Markdown for people, and whether it is good.

use std::fmt;

use serde::Serialize;

use super::look::{Look, Said};
use super::plan::End;
use super::world::{Counts, World};
use super::{Options, Sample};

/// Memory that may have come to stay: a share of what there was before, or so many bytes, whichever is more. An
/// allocator keeps some 4 MiB more after the first cycles, and little more after those that follow. In an hour some
/// 90,000 sockets open, so that a loss of 100 bytes for each is noticed; in a minute 3,600, and it takes 2.4 KiB.
const GROWTH_SHARE: f64 = 0.1;
const GROWTH_BYTES: u64 = 8 << 20;

/// Rows of the table of samples.
const ROWS: usize = 13;

/// What was seen.
#[derive(Serialize)]
pub(super) struct Report {
    sockets: u16,
    minutes: f64,
    torrents: u32,
    offers: u8,
    interval_secs: f64,
    lifetime_secs: f64,
    seed: u64,
    pub(super) counts: Counts,
    /// How often the tracker did what, and the first cases.
    errors: Vec<(&'static str, u64)>,
    texts: Vec<String>,
    /// After the first cycle, with nobody there; `null` without `--pid`.
    before: Option<Look>,
    after: Option<Look>,
    samples: Vec<Sample>,
    /// What the tracker said when all had left, and how long that took.
    said: Said,
    emptied_secs: f64,
    /// Why it failed; empty when it did not.
    pub(super) failures: Vec<String>,
}

/// What was seen at the end.
pub(super) struct Ending {
    pub before: Option<Look>,
    pub after: Option<Look>,
    pub said: Said,
    pub emptied_secs: f64,
}

impl Report {
    pub(super) fn new(options: &Options, world: &World, samples: Vec<Sample>, ending: &Ending) -> Self {
        let mut report = Self {
            sockets: options.sockets,
            minutes: options.minutes,
            torrents: options.torrents,
            offers: options.offers,
            interval_secs: options.interval,
            lifetime_secs: options.lifetime,
            seed: options.seed,
            counts: world.counts,
            errors: world.wrong.iter().map(|(what, count)| (what.name(), *count)).collect(),
            texts: world.texts.clone(),
            before: ending.before,
            after: ending.after,
            samples,
            said: ending.said,
            emptied_secs: ending.emptied_secs,
            failures: Vec::new(),
        };
        report.failures = report.judge();
        report
    }

    fn judge(&self) -> Vec<String> {
        let mut failures: Vec<_> =
            self.errors.iter().map(|(what, count)| format!("{count} {what}")).collect();
        if !self.said.is_zero() {
            let Said { scraped, stats } = self.said;
            let stats = stats.map_or(String::new(), |peers| format!(", {peers} by /stats.json"));
            failures.push(format!(
                "the tracker still has {scraped} peers{stats}, {:.0} s after all left",
                self.emptied_secs
            ));
        }
        let nothing = [
            (self.counts.replies, "no announce was answered"),
            (self.counts.offers_received, "no offer was handed out"),
            (self.counts.answers_received, "no answer came back"),
        ];
        failures.extend(nothing.iter().filter(|(count, _)| *count == 0).map(|(_, text)| (*text).to_owned()));
        if let (Some(before), Some(after)) = (self.before, self.after) {
            if after.rss_bytes > rss_max(before) {
                let (before, after) = (mib(before.rss_bytes), mib(after.rss_bytes));
                failures.push(format!("memory grew from {before:.1} to {after:.1} MiB"));
            }
            if after.files > before.files {
                failures.push(format!("{} files are open where {} were", after.files, before.files));
            }
        }
        failures
    }
}

/// Most memory that is the same as before.
fn rss_max(before: Look) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a tenth of a memory size")]
    let share = (before.rss_bytes as f64 * GROWTH_SHARE) as u64;
    before.rss_bytes + share.max(GROWTH_BYTES)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failures.is_empty() { "passed".to_owned() } else { self.failures.join("; ") };
        writeln!(f, "* verdict: {verdict}")?;
        writeln!(
            f,
            "* {:.1} minutes, {} sockets at a time, which live {:.0} s on average and announce every {:.0} s with {} \
             offers, on {} torrents (seed {})\n",
            self.minutes,
            self.sockets,
            self.lifetime_secs,
            self.interval_secs,
            self.offers,
            self.torrents,
            self.seed
        )?;
        let Counts { opened, ends, slow, slow_closed, silent_closed, .. } = self.counts;
        writeln!(f, "| sockets | number |\n|---|--:|\n| opened, the first cycle included | {opened} |")?;
        for (end, count) in End::ALL.iter().zip(ends) {
            let note = match end {
                End::Silent => format!(" (closed by the tracker: {silent_closed})"),
                _ => String::new(),
            };
            writeln!(f, "| ended by {} | {count}{note} |", end.name())?;
        }
        writeln!(f, "| never read, then reset | {slow} (closed by the tracker: {slow_closed}) |\n")?;
        let Counts {
            announces, replies, offers_sent, offers_received, answers_sent, answers_received, ..
        } = self.counts;
        writeln!(f, "| messages | sent | came |\n|---|--:|--:|")?;
        writeln!(f, "| announces and their replies | {announces} | {replies} |")?;
        writeln!(f, "| offers | {offers_sent} | {offers_received} |")?;
        writeln!(f, "| answers | {answers_sent} | {answers_received} |")?;
        let errors: u64 = self.errors.iter().map(|(_, count)| count).sum();
        writeln!(f, "| errors | | {errors} |")?;
        for (what, count) in &self.errors {
            writeln!(f, "| {what} | | {count} |")?;
        }
        writeln!(f)?;
        for text in &self.texts {
            writeln!(f, "* {text}")?;
        }
        if !self.texts.is_empty() {
            writeln!(f)?;
        }
        let stats = self.said.stats.map_or("is not served".to_owned(), |peers| format!("says {peers}"));
        writeln!(
            f,
            "{:.0} s after all had left, a scrape of each torrent says {} peers in all, and `/stats.json` {stats}.\n",
            self.emptied_secs, self.said.scraped
        )?;
        self.write_memory(f)
    }
}

impl Report {
    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(before), Some(after)) = (self.before, self.after) else { return Ok(()) };
        writeln!(
            f,
            "Before is the least after a first short cycle of as many sockets, with nobody there any more; after is \
             the least once all have left, when some come and leave at once. It may be {:.0} % or {:.0} MiB more, \
             whichever is more: at most {:.1} MiB here. Not one more file may be open.\n",
            GROWTH_SHARE * 100.0,
            mib(GROWTH_BYTES),
            mib(rss_max(before))
        )?;
        writeln!(
            f,
            "| seconds | open sockets | memory of the tracker, MiB | its open files |\n|---|--:|--:|--:|"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, when: &str, open: usize, look: Look| {
            writeln!(f, "| {when} | {open} | {:.1} | {} |", mib(look.rss_bytes), look.files)
        };
        row(f, "before", 0, before)?;
        let last = self.samples.len().saturating_sub(1);
        let mut shown: Vec<usize> = (0..ROWS).map(|at| at * last / (ROWS - 1)).collect();
        shown.dedup();
        for sample in shown.into_iter().filter_map(|at| self.samples.get(at)) {
            row(f, &format!("{:.0}", sample.secs), sample.open, sample.look)?;
        }
        row(f, "after", 0, after)
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::Wrong;
    use super::*;

    fn look(mib: u64, files: usize) -> Option<Look> {
        Some(Look { rss_bytes: mib << 20, files })
    }

    fn report(world: &World, before: Option<Look>, after: Option<Look>, scraped: u64) -> Report {
        let samples: Vec<_> =
            (0..100).map(|at| Sample { secs: f64::from(at), open: 3, look: Look::default() }).collect();
        let ending = Ending { before, after, said: Said { scraped, stats: Some(0) }, emptied_secs: 2.0 };
        Report::new(&Options::example(), world, samples, &ending)
    }

    fn good() -> World {
        let mut world = World::new(1, 3);
        (world.counts.replies, world.counts.offers_received, world.counts.answers_received) = (9, 9, 9);
        world
    }

    #[test]
    fn what_is_left_behind_is_a_failure() {
        let failures = |before, after, scraped| report(&good(), before, after, scraped).failures;
        assert_eq!(failures(look(10, 20), look(18, 20), 0), Vec::<String>::new());
        assert_eq!(failures(look(100, 20), look(110, 20), 0), Vec::<String>::new());
        assert_eq!(failures(look(10, 20), look(19, 20), 0), ["memory grew from 10.0 to 19.0 MiB"]);
        assert_eq!(failures(look(10, 20), look(10, 21), 0), ["21 files are open where 20 were"]);
        assert!(failures(None, None, 5)[0].contains("still has 5 peers"));
        assert_eq!(report(&World::new(1, 3), None, None, 0).failures.len(), 3, "nothing happened");
    }

    #[test]
    fn mistakes_are_failures_and_told() {
        let mut world = good();
        world.wrong(Wrong::AnswerTwice, || "the case".into());
        let report = report(&world, look(1, 1), look(1, 1), 0);
        assert_eq!(report.failures, ["1 second answers to one offer"]);
        let text = report.to_string();
        assert!(text.contains("second answers to one offer: the case"), "{text}");
        assert!(text.lines().filter(|line| line.starts_with("| ")).count() > 2 * ROWS, "{text}");
    }
}
