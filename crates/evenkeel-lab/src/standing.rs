//! What identities earn in a month: honest members with all that goes wrong for them beside those who cheat, each announce through
//! the real core, each tier from its analyst. And how soon ten million of them have their tiers back after a restart.

mod community;
mod member;
mod restart;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::ensure;

use self::community::{Community, Fate};
use self::member::Kind;

/// What is simulated.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seeds of chance: a run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Days of a run.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Honest members.
    #[arg(long, default_value_t = 300)]
    members: usize,
    /// Identities that are restored after a restart; 0 for none.
    #[arg(long, default_value_t = 10_000_000)]
    identities: u32,
    /// File for the report; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// What has to hold of every run.
const FAKE_MOST: f64 = 0.06;
const HONEST_MEAN_LEAST: f64 = 0.80;
const HONEST_FIFTH_LEAST: f64 = 0.70;
/// Tier of a cheater at most, once an evaluation has seen a day of it.
const CHEATER_TIER_MOST: u8 = 1;
/// Honest members of a hundred that may ever be taken for one who exaggerates.
const FRAMED_MOST: f64 = 0.005;
/// Share of the time of honest members that seed for which their word alone may keep them out of tiers 2 and 3.
const DOUBTED_MOST: f64 = 0.04;
/// Hours within which half of those who seed for a day are of tier 2.
const RISEN_WITHIN_HOURS: f64 = 24.0;
const RESTORED_WITHIN_SECS: f64 = 20.0;

/// Simulates, prints, and fails if something does not hold.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!((1..=90).contains(&options.days), "--days must be from 1 to 90");
    ensure!((20..=10_000).contains(&options.members), "--members must be from 20 to 10000");
    ensure!(!options.seeds.is_empty(), "a seed is needed");
    let mut text = String::new();
    let mut holds = true;
    for seed in &options.seeds {
        let fates = Community::new(options.members, *seed).live(options.days);
        let verdict = Verdict::of(&fates);
        holds &= verdict.holds();
        text += &verdict.markdown(*seed);
        text += &table(&fates);
    }
    if options.identities > 0 {
        let restart = restart::measure(options.identities)?;
        holds &= restart.secs <= RESTORED_WITHIN_SECS;
        text += &restart.markdown(RESTORED_WITHIN_SECS);
    }
    match &options.markdown {
        Some(path) => std::fs::write(path, &text)?,
        None => print!("{text}"),
    }
    ensure!(holds, "something does not hold: see the rows that say so");
    Ok(())
}

/// What a run has to show.
struct Verdict {
    fake: f64,
    honest_mean: f64,
    honest_fifth: f64,
    pretenders: u8,
    inflators: u8,
    /// Share of the time of those who seed in which their word alone kept them out of tiers 2 and 3.
    doubted: f64,
    /// Hours after which half of the good ones were of tier 2.
    risen: f64,
    /// Share of the honest members that were in swarms with inflators.
    framed: f64,
}

impl Verdict {
    fn of(fates: &[Fate]) -> Self {
        let honest = fates.iter().filter(|fate| fate.kind.is_honest() && fate.claimed > 1024.0);
        let mut shares: Vec<f64> = honest.map(|fate| fate.credited / fate.claimed).collect();
        shares.sort_by(f64::total_cmp);
        let cheaters = || fates.iter().filter(|fate| fate.kind.is_judged());
        let beside = || fates.iter().filter(|fate| fate.kind.is_honest() && fate.met_inflators);
        let framed = beside().filter(|fate| fate.was_exaggerating).count();
        let earning = || fates.iter().filter(|fate| fate.kind.earns());
        let good = fates.iter().filter(|fate| fate.kind == Kind::Good);
        let mut rose: Vec<f64> = good.map(|fate| fate.rose.unwrap_or(f64::INFINITY)).collect();
        rose.sort_by(f64::total_cmp);
        let highest = |is_it: &dyn Fn(Kind) -> bool| {
            fates.iter().filter(|fate| is_it(fate.kind)).map(|fate| fate.highest).max().unwrap_or_default()
        };
        let fake: f64 = cheaters().map(|fate| (fate.claimed - fate.sent).max(0.0)).sum();
        let believed: f64 = cheaters().map(|fate| (fate.credited - fate.sent).max(0.0)).sum();
        Self {
            fake: believed / fake.max(1.0),
            honest_mean: shares.iter().sum::<f64>() / shares.len().max(1) as f64,
            honest_fifth: shares.get(shares.len() / 20).copied().unwrap_or_default(),
            pretenders: highest(&|kind| kind.is_judged() && kind != Kind::Inflator),
            inflators: highest(&|kind| kind == Kind::Inflator),
            doubted: earning().map(|fate| fate.doubted).sum::<f64>() / earning().count().max(1) as f64,
            risen: rose.get(rose.len() / 2).copied().unwrap_or_default(),
            framed: framed as f64 / beside().count().max(1) as f64,
        }
    }

    fn holds(&self) -> bool {
        self.rows().iter().all(|(.., holds)| *holds)
    }

    fn rows(&self) -> [(&'static str, String, String, bool); 8] {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        [
            ("fake bytes that were credited", percent(self.fake), percent(FAKE_MOST), self.fake <= FAKE_MOST),
            (
                "credited of what honest members report, mean",
                percent(self.honest_mean),
                percent(HONEST_MEAN_LEAST),
                self.honest_mean >= HONEST_MEAN_LEAST,
            ),
            (
                "the same, 5th percentile",
                percent(self.honest_fifth),
                percent(HONEST_FIFTH_LEAST),
                self.honest_fifth >= HONEST_FIFTH_LEAST,
            ),
            (
                "highest tier of ghosts, replayers, poisoners and jumpers after their first day",
                self.pretenders.to_string(),
                CHEATER_TIER_MOST.to_string(),
                self.pretenders <= CHEATER_TIER_MOST,
            ),
            (
                "highest tier of those who say four times as much as they sent, after their first day",
                self.inflators.to_string(),
                CHEATER_TIER_MOST.to_string(),
                self.inflators <= CHEATER_TIER_MOST,
            ),
            (
                "honest members in swarms with these that were ever taken for certain to say too much",
                percent(self.framed),
                percent(FRAMED_MOST),
                self.framed <= FRAMED_MOST,
            ),
            (
                "time after the third day in which doubt alone kept honest members that seed out of tiers 2 and 3",
                percent(self.doubted),
                percent(DOUBTED_MOST),
                self.doubted <= DOUBTED_MOST,
            ),
            (
                "hours until half of those that seed for a day were of tier 2",
                format!("{:.1}", self.risen),
                format!("{RISEN_WITHIN_HOURS:.0}"),
                self.risen <= RISEN_WITHIN_HOURS,
            ),
        ]
    }

    fn markdown(&self, seed: u64) -> String {
        let mut text = format!("\n## Seed {seed}\n\n| what | figure | bound | |\n|---|--:|--:|---|\n");
        for (what, figure, bound, holds) in self.rows() {
            let holds = if holds { "holds" } else { "**falls short**" };
            writeln!(text, "| {what} | {figure} | {bound} | {holds} |").ok();
        }
        text
    }
}

/// What became of each kind.
fn table(fates: &[Fate]) -> String {
    let mut text = "\n| kind | members | claimed GiB | sent GiB | credited GiB | score | highest tier | in tiers 0, 1, 2, 3 at the end |\n\
                    |---|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for kind in Kind::ALL {
        let own: Vec<&Fate> = fates.iter().filter(|fate| fate.kind == kind).collect();
        let mean =
            |of: fn(&Fate) -> f64| own.iter().map(|fate| of(fate)).sum::<f64>() / own.len().max(1) as f64;
        let tiers: [usize; 4] =
            std::array::from_fn(|tier| own.iter().filter(|fate| usize::from(fate.tier) == tier).count());
        writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.2} | {} | {} |",
            kind.name(),
            own.len(),
            mean(|fate| fate.claimed) / 1024.0,
            mean(|fate| fate.sent) / 1024.0,
            mean(|fate| fate.credited) / 1024.0,
            mean(|fate| fate.score),
            own.iter().map(|fate| fate.highest).max().unwrap_or_default(),
            tiers.map(|count| count.to_string()).join(", "),
        )
        .ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_members_are_credited_and_cheaters_stay_at_the_bottom() {
        let fates = Community::new(80, 5).live(4);
        let verdict = Verdict::of(&fates);
        // Of those who inflate what they do send some are found out later: the long run tells how many.
        let rows = verdict.rows();
        let holds = rows.iter().take(4).all(|(.., holds)| *holds);
        assert!(holds, "{}{}", verdict.markdown(5), table(&fates));
        let good = fates.iter().filter(|fate| fate.kind == Kind::Good);
        assert!(good.filter(|fate| fate.tier >= 2).count() > 5, "{}", table(&fates));
    }

    #[test]
    fn identities_that_are_restored_have_their_tiers() {
        let restart = restart::measure(5_000).unwrap();
        assert!(restart.published > 1_000 && restart.bytes > 0);
    }
}
