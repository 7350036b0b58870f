//! Figures of the report: what is compared in a row, and whether it is as good as it must be.

use serde::Deserialize;
use serde_json::Value;

/// One row of the report.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub number: u8,
    pub metric: String,
    /// How it is to be read.
    pub note: Option<String>,
    pub figure: Vec<Figure>,
}

/// One comparison of two turns of a workload, or one figure of a single turn.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figure {
    pub workload: String,
    pub kind: Kind,
    /// Whose figure, and whose it is compared with.
    pub of: String,
    pub over: Option<String>,
    /// Without it, the figure is shown and not judged.
    pub must: Option<f64>,
    pub aim: Option<f64>,
    /// The first one's median latency may be this at most.
    pub p50_us_max: Option<f64>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// CPU time of the server for each reply.
    Cost,
    /// The same without the thread that is the database of a server with one of its own.
    AnswerCost,
    /// Replies a second.
    Rate,
    /// CPU time of the server for each message that came out of it: replies, offers and answers.
    MessageCost,
    /// Such messages a second.
    MessageRate,
    /// Memory for each peer of the fill.
    Memory,
    /// What one in a hundred waited at least.
    P99Latency,
    /// The longest that anything waited.
    MaxLatency,
    /// Stalls that the other does not show, all rounds together.
    Stalls,
    /// Times that a shard was held for more than a millisecond while the load went on, all rounds together.
    LongHolds,
    /// The longest time that a shard was held since the start, in any round.
    Hold,
    /// Memory at the end of the load beyond that at the end of the fill, the most of any round.
    Growth,
    /// What senders got that had proven nothing, all rounds together.
    Unproven,
}

impl Kind {
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Cost | Self::AnswerCost | Self::MessageCost => "ns",
            Self::Rate | Self::MessageRate => "/s",
            Self::Memory => "B",
            Self::P99Latency | Self::MaxLatency | Self::Hold => "ms",
            Self::Stalls => "stalls",
            Self::LongHolds => "holds",
            Self::Growth => "MiB",
            Self::Unproven => "B",
        }
    }

    pub(super) fn digits(self) -> usize {
        match self {
            Self::Cost
            | Self::AnswerCost
            | Self::Rate
            | Self::MessageCost
            | Self::MessageRate
            | Self::Stalls
            | Self::LongHolds
            | Self::Unproven => 0,
            Self::Memory | Self::MaxLatency | Self::Growth => 1,
            Self::P99Latency | Self::Hold => 3,
        }
    }

    pub(super) fn is_better_high(self) -> bool {
        matches!(self, Self::Rate | Self::MessageRate)
    }

    /// The figure of one result.
    pub(super) fn of(self, result: &Value) -> Option<f64> {
        let read = |name: &str| result.pointer(name)?.as_f64();
        let (name, scale) = match self {
            Self::Cost => ("/server/cpu_ns_per_reply", 1.0),
            Self::AnswerCost => ("/server/answer_ns_per_reply", 1.0),
            Self::Rate => ("/replies_per_sec", 1.0),
            Self::MessageCost => ("/server/cpu_ns_per_message", 1.0),
            Self::MessageRate => ("/messages_per_sec", 1.0),
            Self::Memory => ("/filled/server/rss_bytes_per_peer", 1.0),
            Self::P99Latency => ("/latency_us/p99", 1e-3),
            Self::MaxLatency => ("/latency_us/max", 1e-3),
            Self::Stalls => ("/stalls", 1.0),
            Self::LongHolds => {
                let name = "evenkeel_shard_long_holds_total";
                return Some(read(&format!("/metrics/{name}"))? - read(&format!("/metrics_before/{name}"))?);
            }
            Self::Hold => ("/metrics/evenkeel_shard_hold_max_seconds", 1e3),
            Self::Growth => {
                let filled = read("/filled/server/rss_after_bytes")?;
                return Some((read("/server/rss_after_bytes")? - filled) / f64::from(1 << 20));
            }
            Self::Unproven => ("/hostile_bytes_back", 1.0),
        };
        Some(read(name)? * scale)
    }
}

/// What a figure came to.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub own: Vec<f64>,
    pub other: Vec<f64>,
    /// Round by round, where two are compared by their ratio.
    pub ratios: Vec<f64>,
    /// What is held against `must`.
    pub value: f64,
    pub verdict: Verdict,
}

/// How good that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Aim,
    Must,
    Missed,
    Unjudged,
}

impl Verdict {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Aim => "met, the aim too",
            Self::Must => "met",
            Self::Missed => "**missed**",
            Self::Unjudged => "no bound",
        }
    }
}

impl Figure {
    /// Compares the results of both sides, round by round. `None` where a side has none.
    pub(super) fn judge(&self, of: &[Value], over: &[Value]) -> Option<Outcome> {
        let kind = self.kind;
        let all = |results: &[Value]| results.iter().filter_map(|result| kind.of(result)).collect::<Vec<_>>();
        let (own, other) = (all(of), all(over));
        if own.is_empty() || (self.over.is_some() && other.is_empty()) {
            return None;
        }
        let mut ratios = Vec::new();
        let value = match kind {
            Kind::Stalls | Kind::LongHolds | Kind::Unproven => {
                (own.iter().sum::<f64>() - other.iter().sum::<f64>()).max(0.0)
            }
            Kind::Hold | Kind::Growth => own.iter().copied().fold(0.0, f64::max),
            _ => {
                let ratio = |(own, other)| Some(kind.of(own)? / kind.of(other)?);
                ratios = of.iter().zip(over).filter_map(ratio).filter(|ratio| ratio.is_finite()).collect();
                median(&ratios)?
            }
        };
        let p50 = median(
            &of.iter().filter_map(|result| result.pointer("/latency_us/p50")?.as_f64()).collect::<Vec<_>>(),
        );
        let is_prompt = self.p50_us_max.is_none_or(|most| p50.is_some_and(|p50| p50 <= most));
        let reaches =
            |bound: f64| is_prompt && if kind.is_better_high() { value >= bound } else { value <= bound };
        let verdict = match (self.must, self.aim) {
            (None, _) => Verdict::Unjudged,
            (Some(must), Some(aim)) if reaches(aim) && reaches(must) => Verdict::Aim,
            (Some(must), _) if reaches(must) => Verdict::Must,
            _ => Verdict::Missed,
        };
        Some(Outcome { own, other, ratios, value, verdict })
    }
}

/// The one in the middle, or between the two in the middle.
pub(super) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = sorted.get(half)?;
    Some(if sorted.len() % 2 == 1 { *upper } else { f64::midpoint(sorted[half - 1], *upper) })
}

/// Median and range, or a dash.
pub(super) fn with_range(figures: &[f64], digits: usize) -> String {
    let least = figures.iter().copied().fold(f64::MAX, f64::min);
    let most = figures.iter().copied().fold(f64::MIN, f64::max);
    match median(figures) {
        Some(median) if least < most => format!("{median:.digits$} ({least:.digits$} to {most:.digits$})"),
        Some(median) => format!("{median:.digits$}"),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figure(kind: &str, must: f64, aim: f64) -> Figure {
        serde_json::from_value(json!({
            "workload": "w", "kind": kind, "of": "a", "over": "b", "must": must, "aim": aim,
        }))
        .unwrap()
    }

    fn results(name: &str, figures: &[f64]) -> Vec<Value> {
        let mut result = json!({});
        let (outer, inner) = name.split_once('/').unwrap_or((name, ""));
        figures
            .iter()
            .map(|figure| {
                result[outer] = if inner.is_empty() { json!(figure) } else { json!({ inner: figure }) };
                result.clone()
            })
            .collect()
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        assert_eq!(median(&[2.0, 1.0]), Some(1.5));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
        assert_eq!(with_range(&[3.0, 1.0, 2.0], 1), "2.0 (1.0 to 3.0)");
        assert_eq!(with_range(&[3.0, 3.0], 0), "3");
        assert_eq!(with_range(&[], 0), "-");
    }

    #[test]
    fn ratios_are_of_rounds_and_not_of_medians() {
        let cost = |figures: &[f64]| results("server/cpu_ns_per_reply", figures);
        // The second round was disturbed: both sides are dearer, and their ratio is what it was.
        let outcome = figure("cost", 0.78, 0.7)
            .judge(&cost(&[75.0, 300.0, 90.0]), &cost(&[100.0, 400.0, 100.0]))
            .unwrap();
        assert_eq!(outcome.ratios, [0.75, 0.75, 0.9]);
        assert_eq!((outcome.value, outcome.verdict), (0.75, Verdict::Must));
    }

    #[test]
    fn a_ratio_is_met_at_its_bound_and_missed_beyond_it() {
        let verdict = |kind, own, must, aim| {
            let name = match kind {
                "rate" => "replies_per_sec",
                "message-rate" => "messages_per_sec",
                "message-cost" => "server/cpu_ns_per_message",
                "p99-latency" => "latency_us/p99",
                _ => "server/cpu_ns_per_reply",
            };
            figure(kind, must, aim).judge(&results(name, &[own]), &results(name, &[100.0])).unwrap().verdict
        };
        assert_eq!(verdict("cost", 78.0, 0.78, 0.7), Verdict::Must);
        assert_eq!(verdict("cost", 79.0, 0.78, 0.7), Verdict::Missed);
        assert_eq!(verdict("cost", 70.0, 0.78, 0.7), Verdict::Aim);
        assert_eq!(verdict("rate", 125.0, 1.25, 1.4), Verdict::Must);
        assert_eq!(verdict("rate", 124.0, 1.25, 1.4), Verdict::Missed);
        assert_eq!(verdict("rate", 140.0, 1.25, 1.4), Verdict::Aim);
        assert_eq!(verdict("message-rate", 1_000.0, 10.0, 15.0), Verdict::Must);
        assert_eq!(verdict("message-rate", 999.0, 10.0, 15.0), Verdict::Missed);
        assert_eq!(verdict("message-cost", 70.0, 0.7, 0.5), Verdict::Must);
        assert_eq!(verdict("message-cost", 71.0, 0.7, 0.5), Verdict::Missed);
        assert_eq!(verdict("p99-latency", 110.0, 1.1, 1.0), Verdict::Must);
        assert_eq!(verdict("p99-latency", 111.0, 1.1, 1.0), Verdict::Missed);
    }

    #[test]
    fn a_figure_without_a_bound_is_shown_and_not_judged() {
        let figure = Figure { must: None, ..figure("rate", 1.0, 1.0) };
        let outcome =
            figure.judge(&results("replies_per_sec", &[1.0]), &results("replies_per_sec", &[2.0])).unwrap();
        assert_eq!((outcome.ratios, outcome.verdict), (vec![0.5], Verdict::Unjudged));
    }

    #[test]
    fn a_round_that_one_side_lacks_gives_no_ratio() {
        let full = results("latency_us/max", &[1000.0, 2000.0]);
        let mut half = full.clone();
        half[0] = Value::Null;
        let outcome = figure("max-latency", 2.0, 1.0).judge(&half, &full).unwrap();
        assert_eq!((outcome.own, outcome.ratios), (vec![2.0], vec![1.0]));
        assert_eq!(figure("max-latency", 2.0, 1.0).judge(&half[..1], &full[..1]), None);
    }

    #[test]
    fn cheap_answers_that_come_late_are_missed() {
        let mut own = results("server/cpu_ns_per_reply", &[10.0]);
        own[0]["latency_us"] = json!({ "p50": 251.0 });
        let other = results("server/cpu_ns_per_reply", &[100.0]);
        let figure = Figure { p50_us_max: Some(250.0), ..figure("cost", 0.5, 0.4) };
        assert_eq!(figure.judge(&own, &other).unwrap().verdict, Verdict::Missed);
        own[0]["latency_us"]["p50"] = json!(250.0);
        assert_eq!(figure.judge(&own, &other).unwrap().verdict, Verdict::Aim);
    }

    #[test]
    fn stalls_count_beyond_the_echos_and_holds_count() {
        let stalls = |own: &[f64], echo: &[f64]| {
            let outcome = figure("stalls", 0.0, 0.0).judge(&results("stalls", own), &results("stalls", echo));
            outcome.map(|outcome| (outcome.value, outcome.verdict)).unwrap()
        };
        assert_eq!(stalls(&[0.0, 1.0], &[1.0, 0.0]), (0.0, Verdict::Aim));
        assert_eq!(stalls(&[1.0, 1.0], &[1.0, 0.0]), (1.0, Verdict::Missed));
        let long = |before: u32, after: u32| {
            let held = |times: u32| json!({ "evenkeel_shard_long_holds_total": times });
            json!({ "metrics_before": held(before), "metrics": held(after) })
        };
        let in_load = Figure { over: None, ..figure("long-holds", 0.0, 0.0) };
        let verdict = |rounds: &[Value]| in_load.judge(rounds, &[]).unwrap().verdict;
        assert_eq!(verdict(&[long(3, 3), long(0, 0)]), Verdict::Aim);
        assert_eq!(verdict(&[long(3, 3), long(1, 2)]), Verdict::Missed);
        let hold = Figure { over: None, ..figure("hold", 1.0, 0.3) };
        let held = results("metrics/evenkeel_shard_hold_max_seconds", &[0.0002, 0.0011, 0.0003]);
        let outcome = hold.judge(&held, &[]).unwrap();
        assert_eq!(outcome.verdict, Verdict::Missed);
        assert!((outcome.value - 1.1).abs() < 1e-9);
    }

    #[test]
    fn memory_that_grew_in_any_round_and_every_byte_to_strangers_count() {
        let round = |after: u32, back: u32| {
            json!({
                "filled": { "server": { "rss_after_bytes": 3 << 20 } },
                "server": { "rss_after_bytes": after << 20 }, "hostile_bytes_back": back,
            })
        };
        let rounds = [round(3, 0), round(5, 16), round(2, 20)];
        let judge = |kind: &str| {
            let figure = Figure { over: None, ..figure(kind, 1.0, 0.0) };
            let outcome = figure.judge(&rounds, &[]).unwrap();
            (outcome.value, outcome.verdict)
        };
        assert_eq!(judge("growth"), (2.0, Verdict::Missed));
        assert_eq!(judge("unproven"), (36.0, Verdict::Missed));
    }
}
