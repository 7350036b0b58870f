//! The report: what was measured on what, each row with its verdict, and what is to be said about it.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::ensure;
use socket2::SockRef;

use super::fair::{self, Marks};
use super::figure::{Figure, Kind, Outcome, Row, with_range};
use super::plan::Plan;
use super::record::spoken;
use super::{Family, Group};

/// One line of the table of rows.
pub(super) struct Line<'a> {
    row: &'a Row,
    measured: Measured<'a>,
}

struct Measured<'a> {
    figure: &'a Figure,
    family: Family,
    outcome: Option<Outcome>,
    marks: Marks,
    /// Whether all sides had a turn: in a smoke, some servers may not be installed.
    is_complete: bool,
}

/// Judges every figure of every row, over IPv4 and, where it was measured, IPv6.
pub(super) fn rows<'a>(plan: &'a Plan, groups: &[Group]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for row in &plan.row {
        for figure in &row.figure {
            for group in groups.iter().filter(|group| group.key == figure.workload) {
                let measured = Measured::new(figure, group);
                // Nobody misses a peer over IPv6 that cannot do it.
                if group.family == Family::V4 || measured.is_complete {
                    lines.push(Line { row, measured });
                }
            }
        }
    }
    lines
}

impl<'a> Measured<'a> {
    fn new(figure: &'a Figure, group: &Group) -> Self {
        let of = group.side(&figure.of);
        let over = figure.over.as_ref().and_then(|name| group.side(name));
        let is_complete = of.is_some() && (figure.over.is_none() || over.is_some());
        let results =
            |side: Option<fair::Side<'_>>| side.map(|side| side.results.to_vec()).unwrap_or_default();
        let outcome = figure.judge(&results(of), &results(over));
        let sides: Vec<_> = of.into_iter().chain(over).collect();
        Self { figure, family: group.family, outcome, marks: fair::judge(figure, &sides), is_complete }
    }

    fn verdict(&self) -> &'static str {
        match &self.outcome {
            None => "not measured",
            Some(_) if !self.marks.unfair.is_empty() || self.marks.apart.is_some() => "unfair, see below",
            Some(outcome) => outcome.verdict.text(),
        }
    }

    fn cells(&self) -> [String; 7] {
        let Figure { kind, over, must, aim, .. } = self.figure;
        let digits = kind.digits();
        let side = |figures: &[f64]| match figures {
            [] => "-".to_owned(),
            figures => format!("{} {}", with_range(figures, digits), kind.unit()),
        };
        let (own, other) = self
            .outcome
            .as_ref()
            .map_or((vec![], vec![]), |outcome| (outcome.own.clone(), outcome.other.clone()));
        let value = match &self.outcome {
            None => "-".to_owned(),
            Some(outcome) if outcome.ratios.is_empty() => {
                format!("{:.*} {}", digits, outcome.value, kind.unit())
            }
            Some(outcome) => with_range(&outcome.ratios, 2),
        };
        let sign = if kind.is_better_high() { "≥" } else { "≤" };
        let unit = match kind {
            Kind::Hold | Kind::Growth | Kind::Unproven => format!(" {}", kind.unit()),
            _ => String::new(),
        };
        let with = over.as_ref().map_or(String::new(), |name| format!(" / {name}"));
        let prompt = self.figure.p50_us_max.map_or(String::new(), |most| format!(", p50 ≤ {most} us"));
        [
            format!("{}{with}", self.figure.of),
            side(&own),
            side(&other),
            value,
            must.map_or("-".to_owned(), |must| format!("{sign} {must}{unit}{prompt}")),
            aim.map_or("-".to_owned(), |aim| format!("{aim}{unit}")),
            self.verdict().to_owned(),
        ]
    }
}

/// The table of rows, and what is to be said about them.
pub(super) fn markdown(plan: &Plan, lines: &[Line<'_>]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "\n## Rows\n\nMedians of {} rounds (least to most). A ratio is that of one round; what counts is their median.\n\n\
         | # | metric | IP | of / over | of | over | ratio | must | aim | verdict |\n|--:|---|---|---|---|---|---|---|---|---|\n",
        plan.rounds
    );
    let mut notes = Vec::new();
    for Line { row, measured } in lines {
        let family = measured.family.name();
        out +=
            &format!("| {} | {} | {family} | {} |\n", row.number, row.metric, measured.cells().join(" | "));
        let Marks { unfair, apart, doubts } = &measured.marks;
        let unfair = unfair.iter().chain(apart).map(|text| format!("unfair: {text}"));
        for text in unfair.chain(doubts.iter().cloned()) {
            let note = format!("* row {}, {family}: {text}\n", row.number);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let read = |row: &Row| Some(format!("* row {}: {}\n", row.number, row.note.as_ref()?));
    let read: String = plan.row.iter().filter_map(read).collect();
    if !read.is_empty() {
        out += "\nHow rows are to be read:\n\n";
        out += &read;
    }
    if !notes.is_empty() {
        out += "\nWhat weakens a figure, or takes it away:\n\n";
        out.extend(notes);
    }
    out + "\n## Workloads\n"
}

/// What the figures were made on.
pub(super) fn header(plan: &Plan, versions: &[String], groups: &[Group]) -> anyhow::Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let core = |core: Option<usize>| core.map_or("any core".to_owned(), |core| format!("core {core}"));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    let mut text = format!(
        "* machine: {}, {cores} cores, Linux {}, loopback; server on {}, generator on {}\n\
         * load of the machine at the end: {}; of 4 MiB of receive buffer the system grants {} KiB\n\
         * {} rounds, servers in turn, each started anew: {} in all\n",
        model.unwrap_or("unknown processor"),
        kernel.trim(),
        core(plan.server_core),
        core(plan.generator_core),
        load.split(' ').next().unwrap_or_default(),
        // Linux doubles what is asked for, and says so.
        SockRef::from(&socket).recv_buffer_size()? / 2048,
        plan.rounds,
        spoken(groups.iter().map(|group| group.took).sum()),
    );
    if !plan.generator.is_empty() {
        text += &format!("* every fill and load: `evenkeel-lab load {}`\n", plan.generator.join(" "));
    }
    for (server, version) in plan.server.iter().zip(versions) {
        let note = server.note.as_ref().map_or(String::new(), |note| format!(". {note}"));
        text += &format!("* {}: {version}{note}\n", server.name);
    }
    Ok(text)
}

/// In a smoke, figures mean nothing; but there must be one wherever both sides are there, got by fair means.
pub(super) fn check_smoke(lines: &[Line<'_>]) -> anyhow::Result<()> {
    for Line { row, measured } in lines {
        if !measured.is_complete {
            continue;
        }
        ensure!(measured.outcome.is_some(), "row {} has no figure", row.number);
        ensure!(measured.marks.unfair.is_empty(), "row {}: {}", row.number, measured.marks.unfair.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::bench::plan::tests::task;

    const ROWS: &str = r#"
        rounds = 2
        server = [{ name = "a", command = ["a"] }, { name = "b", command = ["b"] }]
        workload = [{ key = "w", name = "w", load = ["--duration", "5"] }]
        [[row]]
        number = 1
        metric = "cost"
        note = "nothing to see"
        figure = [
            { workload = "w", kind = "cost", of = "a", over = "b", must = 0.8, aim = 0.5 },
            { workload = "w", kind = "rate", of = "a", over = "b", must = 1.25 },
        ]
    "#;

    fn report(change: impl Fn(&mut Value)) -> (String, anyhow::Result<()>) {
        let plan: Plan = toml::from_str(ROWS).unwrap();
        let result = |cost: f64, rate: f64| {
            json!({
                "server": { "cpu_ns_per_reply": cost }, "replies_per_sec": rate, "mean_peers": 20.0, "lost": 0,
                "replies": 9, "errors": 0, "checks_connection_ids": true, "bottleneck": "server", "asked": {},
            })
        };
        let mut b = vec![result(100.0, 10.0), result(100.0, 10.0)];
        b.iter_mut().for_each(change);
        let groups = [Group {
            key: "w".to_owned(),
            name: "w".to_owned(),
            first: "w".to_owned(),
            family: Family::V4,
            tasks: vec![task("a"), task("b")],
            results: vec![vec![result(70.0, 12.0), result(80.0, 12.0)], b],
            took: Duration::ZERO,
        }];
        let lines = rows(&plan, &groups);
        (markdown(&plan, &lines), check_smoke(&lines))
    }

    #[test]
    fn rows_say_what_was_met_and_what_was_missed() {
        let (text, smoke) = report(|_| {});
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("| 1")).collect();
        assert_eq!(
            lines,
            [
                "| 1 | cost | IPv4 | a / b | 75 (70 to 80) ns | 100 ns | 0.75 (0.70 to 0.80) | ≤ 0.8 | 0.5 | met |",
                "| 1 | cost | IPv4 | a / b | 12 /s | 10 /s | 1.20 | ≥ 1.25 | - | **missed** |",
            ]
        );
        assert!(text.contains("\n* row 1: nothing to see\n"), "{text}");
        assert!(smoke.is_ok() && !text.contains("weakens"), "{text}");
    }

    #[test]
    fn a_broken_rule_takes_the_verdict_away_and_is_said() {
        let (text, smoke) = report(|result| result["checks_connection_ids"] = json!(false));
        assert_eq!(text.matches("| unfair, see below |").count(), 2);
        assert_eq!(
            text.matches("* row 1, IPv4: unfair: b does not check connection ids").count(),
            1,
            "{text}"
        );
        assert!(smoke.is_err());
        let (text, smoke) = report(|result| result["mean_peers"] = json!(21.0));
        assert_eq!(text.matches("| unfair, see below |").count(), 2);
        assert!(smoke.is_ok(), "small samples are apart by chance");
    }

    #[test]
    fn what_failed_is_not_measured() {
        let (text, smoke) = report(|result| *result = Value::Null);
        assert_eq!(text.matches("| not measured |").count(), 2);
        assert!(smoke.is_err());
    }
}
