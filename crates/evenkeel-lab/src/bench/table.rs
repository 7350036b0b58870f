//! Results as a Markdown table and as a plot.

use std::fmt::Write as _;

use serde_json::Value;

use super::Group;
use super::figure::{median, with_range};
use super::plan::Task;
use super::record::spoken;

/// Columns: what stands above, where it stands in a result, digits after the point.
const COLUMNS: [(&str, &str, usize); 10] = [
    ("CPU ns/reply", COST, 0),
    ("user", "/server/user_ns_per_reply", 0),
    ("replies/s", "/replies_per_sec", 0),
    ("p50 us", "/latency_us/p50", 0),
    ("p99.9 us", "/latency_us/p999", 0),
    ("max us", "/latency_us/max", 0),
    ("stalls", "/stalls", 0),
    ("lost", "/lost", 0),
    ("peers/reply", "/mean_peers", 2),
    ("B/peer", "/filled/server/rss_bytes_per_peer", 1),
];

/// What is plotted, and compared round by round.
const COST: &str = "/server/cpu_ns_per_reply";

/// The figures of one name, in order of size.
fn sorted(results: &[Value], name: &str) -> Vec<f64> {
    let mut figures: Vec<f64> =
        results.iter().filter_map(|result| result.pointer(name).and_then(Value::as_f64)).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// The table of one workload.
pub(super) fn markdown(group: &Group) -> String {
    let mut out = format!("\n### {}: {}, {}\n\n", group.key, group.name, group.family.name());
    out += &arguments(&group.tasks);
    out += &format!("* took {}\n\n", spoken(group.took));
    out += "| server |";
    COLUMNS.iter().for_each(|(name, ..)| out.extend([" ", name, " |"]));
    out += " cost ratio | bottleneck |\n|---|";
    out += &"---|".repeat(COLUMNS.len() + 2);
    let first = group.results.first().map(Vec::as_slice).unwrap_or_default();
    for (task, results) in group.tasks.iter().zip(&group.results) {
        out.extend(["\n| ", &task.name, " |"]);
        for (_, figure, digits) in COLUMNS {
            out.extend([" ", &with_range(&sorted(results, figure), digits), " |"]);
        }
        let cost = |result: &Value| result.pointer(COST).and_then(Value::as_f64);
        let ratios: Vec<f64> =
            results.iter().zip(first).filter_map(|(own, first)| Some(cost(own)? / cost(first)?)).collect();
        let mut verdicts: Vec<&str> =
            results.iter().filter_map(|result| result["bottleneck"].as_str()).collect();
        verdicts.sort_unstable();
        verdicts.dedup();
        out.extend([" ", &with_range(&ratios, 2), " | ", &verdicts.join(", "), " |"]);
    }
    out.push('\n');
    out
}

/// What the generator was told: in the first turn, and in those that are not like one before.
fn arguments(tasks: &[Task]) -> String {
    let mut lines: Vec<(String, &Task)> = Vec::new();
    for task in tasks {
        let fill = match &task.same_start_as {
            Some(first) => Some(format!("fill: that of `{first}`, on the same start")),
            None => task.fill.as_ref().map(|fill| format!("fill: `{}`", fill.join(" "))),
        };
        let load = task.load.as_ref().map(|load| format!("load: `{}`", load.join(" ")));
        for line in fill.into_iter().chain(load) {
            if lines.iter().all(|(earlier, _)| *earlier != line) {
                lines.push((line, task));
            }
        }
    }
    lines.iter().map(|(line, task)| format!("* {}, {line}\n", task.name)).collect()
}

/// Bars of what a reply costs: median, with the range as a line.
pub(super) fn svg(groups: &[Group]) -> String {
    let (left, width, row) = (190.0, 520.0, 22.0);
    // What only fills costs what a fill costs: another question.
    let loaded = |group: &&Group| group.tasks.iter().any(|task| task.load.is_some());
    let all: Vec<&Group> = groups.iter().filter(loaded).collect();
    let figures = all.iter().flat_map(|group| &group.results).map(|results| sorted(results, COST));
    let most = figures.filter_map(|sorted| sorted.last().copied()).fold(1.0, f64::max);
    let at = |nanos: f64| left + nanos / most * width;
    let (mut body, mut y) = (String::new(), 34.0);
    let mut text = |line: std::fmt::Arguments<'_>| {
        let written = body.write_fmt(line);
        debug_assert!(written.is_ok(), "a String takes any text");
    };
    for group in all {
        text(format_args!(
            "<text x='8' y='{:.0}' font-weight='bold'>{}</text>\n",
            y + 15.0,
            escape(&format!("{}, {}", group.name, group.family.name()))
        ));
        y += row;
        for (task, results) in group.tasks.iter().zip(&group.results) {
            let sorted = sorted(results, COST);
            let (Some(median), Some(least), Some(most)) = (median(&sorted), sorted.first(), sorted.last())
            else {
                continue;
            };
            let middle = y + 9.0;
            text(format_args!(
                "<text x='{:.0}' y='{:.0}' text-anchor='end'>{}</text>\n\
                 <rect x='{left}' y='{:.0}' width='{:.1}' height='14' fill='#4477aa'/>\n\
                 <line x1='{:.1}' x2='{:.1}' y1='{middle}' y2='{middle}' stroke='#222' stroke-width='2'/>\n\
                 <text x='{:.1}' y='{:.0}'>{median:.0}</text>\n",
                left - 8.0,
                y + 13.0,
                escape(&task.name),
                y + 2.0,
                at(median) - left,
                at(*least),
                at(*most),
                at(*most) + 6.0,
                y + 13.0,
            ));
            y += row;
        }
        y += row / 2.0;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='780' height='{y:.0}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n\
         <text x='8' y='20'>CPU nanoseconds of the server for each reply: median and range</text>\n{body}</svg>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::bench::plan::Family;
    use crate::bench::plan::tests::task;

    fn group() -> Group {
        let result = |cost: f64| {
            json!({
                "server": { "cpu_ns_per_reply": cost, "user_ns_per_reply": 100.0 },
                "replies_per_sec": 1000.4, "mean_peers": 20.5, "bottleneck": "server",
            })
        };
        Group {
            key: "small".to_owned(),
            name: "small & uniform".to_owned(),
            first: "small".to_owned(),
            family: Family::V4,
            tasks: vec![task("a"), task("b")],
            results: vec![
                [200.0, 100.0, 300.0].map(result).to_vec(),
                vec![result(100.0), result(100.0), Value::Null, result(300.0)],
            ],
            took: Duration::from_secs(70),
        }
    }

    #[test]
    fn a_table_has_medians_ranges_and_ratios_by_round() {
        let table = markdown(&group());
        let rows: Vec<_> = table.lines().collect();
        assert_eq!(rows[1], "### small: small & uniform, IPv4");
        assert_eq!(rows[3..6], ["* a, fill: `--fill`", "* a, load: `--duration 5`", "* took 2 min"]);
        assert_eq!(
            rows[9],
            "| a | 200 (100 to 300) | 100 | 1000 | - | - | - | - | - | 20.50 | - | 1.00 | server |"
        );
        assert!(rows[10].starts_with("| b | 100 (100 to 300) |"), "{table}");
        assert!(rows[10].ends_with("| 0.75 (0.50 to 1.00) | server |"), "{table}");
    }

    #[test]
    fn a_plot_has_a_bar_for_each_server() {
        let plot = svg(&[group()]);
        assert_eq!(plot.matches("#4477aa").count(), 2);
        assert!(plot.contains("small &amp; uniform") && plot.ends_with("</svg>\n"));
    }
}
