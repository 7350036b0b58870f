//! Plots as SVG: what a table says, at a glance.

use std::fmt::Write as _;

use super::cells::Arm;
use super::people::Class;

/// One series of values.
pub(super) struct Line {
    pub name: String,
    /// Across and up.
    pub points: Vec<(f64, f64)>,
}

/// What is plotted.
pub(super) struct Plot<'a> {
    pub title: &'a str,
    pub across: &'a str,
    pub up: &'a str,
    pub lines: Vec<Line>,
    /// Lines between the points of a series.
    pub is_connected: bool,
}

const WIDTH: f64 = 780.0;
const HEIGHT: f64 = 380.0;
/// Left, top, right and bottom of the field.
const FIELD: [f64; 4] = [70.0, 40.0, 560.0, 330.0];
/// Colours that are told apart without colour vision, too (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999"];

/// A field with axes, marks and names.
pub(super) fn chart(plot: &Plot<'_>) -> String {
    let points = || plot.lines.iter().flat_map(|line| line.points.iter().copied());
    let (left, right) = range(points().map(|(across, _)| across));
    let (low, high) = range(points().map(|(_, up)| up));
    let x = |across: f64| FIELD[0] + (across - left) / (right - left) * (FIELD[2] - FIELD[0]);
    let y = |up: f64| FIELD[3] - (up - low) / (high - low) * (FIELD[3] - FIELD[1]);
    let mut body = axes(plot, (left, right), (low, high));
    for (line, colour) in plot.lines.iter().zip(COLOURS.iter().cycle()) {
        if plot.is_connected {
            let path: Vec<String> =
                line.points.iter().map(|(across, up)| format!("{:.1},{:.1}", x(*across), y(*up))).collect();
            writeln!(
                body,
                "<polyline fill='none' stroke='{colour}' stroke-width='2' points='{}'/>",
                path.join(" ")
            )
            .ok();
        }
        for (across, up) in &line.points {
            writeln!(body, "<circle cx='{:.1}' cy='{:.1}' r='4' fill='{colour}'/>", x(*across), y(*up)).ok();
        }
    }
    body += &legend(plot.lines.iter().map(|line| line.name.as_str()));
    framed(plot.title, &body)
}

/// Seconds for each GB, by class and policy: groups of bars.
pub(super) fn times(title: &str, arms: &[Arm<'_>]) -> String {
    let classes: Vec<Class> = Class::ALL
        .into_iter()
        .filter(|class| arms.iter().any(|arm| arm.level(class.name()).is_some()))
        .collect();
    let values: Vec<Vec<f64>> = classes
        .iter()
        .map(|class| arms.iter().map(|arm| arm.level(class.name()).map_or(0.0, |level| level.mean)).collect())
        .collect();
    let names: Vec<&str> = classes.iter().map(|class| class.name()).collect();
    let policies: Vec<String> = arms.iter().map(|arm| arm.policy.to_string()).collect();
    bars(title, &names, &policies, (&values, "seconds for each GB"))
}

/// What each policy costs all users, against what it makes of free riders: a point for each cell, the first arm of which
/// is what the others are compared with.
pub(super) fn costs(arms: &[Arm<'_>], cells: &[&str]) -> String {
    let mut lines: Vec<Line> = Vec::new();
    for cell in cells {
        let own: Vec<&Arm<'_>> = arms.iter().filter(|arm| arm.cell == *cell).collect();
        let Some(base) = own.first() else { continue };
        for arm in &own {
            let point = arm.ratio("free/good").zip(arm.over(base, "all"));
            let Some((ratio, cost)) = point.map(|(ratio, cost)| (ratio.mean, cost.percent().mean)) else {
                continue;
            };
            let name = arm.policy.to_string();
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push((ratio, cost)),
                None => lines.push(Line { name, points: vec![(ratio, cost)] }),
            }
        }
    }
    let title = format!("What it costs all, and what it makes of free riders: {}", cells.join(", "));
    chart(&Plot {
        title: &title,
        across: "time of free riders / of good users",
        up: "mean time of all against the first policy, percent",
        lines,
        is_connected: true,
    })
}

/// In which tiers the classes are: a bar of four parts for each class.
pub(super) fn tiers(title: &str, arm: &Arm<'_>) -> String {
    let mut body = String::new();
    let shares = Class::ALL.into_iter().filter_map(|class| Some((class.name(), arm.tiers(class.name())?)));
    for (at, (name, shares)) in (0..).zip(shares) {
        let y = FIELD[1] + 20.0 + f64::from(at) * 44.0;
        writeln!(body, "<text x='8' y='{:.0}'>{name}</text>", y + 17.0).ok();
        let mut x = 110.0;
        for (share, colour) in shares.iter().zip(COLOURS.iter().rev()) {
            let width = share * (FIELD[2] - 110.0);
            writeln!(body, "<rect x='{x:.1}' y='{y:.0}' width='{width:.1}' height='26' fill='{colour}'/>")
                .ok();
            if *share >= 0.06 {
                let middle = x + width / 2.0 - 12.0;
                writeln!(body, "<text x='{middle:.1}' y='{:.0}'>{:.0} %</text>", y + 17.0, share * 100.0)
                    .ok();
            }
            x += width;
        }
    }
    for (tier, colour) in COLOURS.iter().rev().take(4).enumerate() {
        let y = FIELD[1] + 24.0 + tier as f64 * 20.0;
        writeln!(body, "<rect x='590' y='{:.0}' width='12' height='12' fill='{colour}'/>", y - 10.0).ok();
        writeln!(body, "<text x='608' y='{y:.0}'>tier {tier}</text>").ok();
    }
    framed(title, &body)
}

/// Groups of bars: a value of each series in each group.
pub(crate) fn bars(
    title: &str,
    groups: &[&str],
    series: &[String],
    (values, up): (&[Vec<f64>], &str),
) -> String {
    let high = values.iter().flatten().copied().fold(1.0, f64::max) * 1.05;
    let y = |value: f64| FIELD[3] - value / high * (FIELD[3] - FIELD[1]);
    let empty = Plot { title, across: "", up, lines: Vec::new(), is_connected: false };
    let mut body = upright(&empty, (0.0, high));
    let group_width = (FIELD[2] - FIELD[0]) / groups.len().max(1) as f64;
    let width = group_width * 0.8 / series.len().max(1) as f64;
    for (group, (name, values)) in groups.iter().zip(values).enumerate() {
        let left = FIELD[0] + group as f64 * group_width + group_width * 0.1;
        writeln!(body, "<text x='{left:.1}' y='{:.0}'>{}</text>", FIELD[3] + 18.0, escaped(name)).ok();
        for (bar, (value, colour)) in values.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let (x, top) = (left + bar as f64 * width, y(*value));
            let height = FIELD[3] - top;
            writeln!(
                body,
                "<rect x='{x:.1}' y='{top:.1}' width='{:.1}' height='{height:.1}' fill='{colour}'/>",
                width * 0.92
            )
            .ok();
        }
    }
    body += &legend(series.iter().map(String::as_str));
    framed(title, &body)
}

fn axes(plot: &Plot<'_>, (left, right): (f64, f64), up: (f64, f64)) -> String {
    let mut out = upright(plot, up);
    for part in 0..=5 {
        let part = f64::from(part) / 5.0;
        let x = FIELD[0] + part * (FIELD[2] - FIELD[0]);
        let label = left + part * (right - left);
        writeln!(out, "<text x='{:.1}' y='{:.0}'>{label:.2}</text>", x - 12.0, FIELD[3] + 18.0).ok();
    }
    let middle = (FIELD[0] + FIELD[2]) / 2.0 - 60.0;
    writeln!(out, "<text x='{middle:.0}' y='{:.0}'>{}</text>", FIELD[3] + 38.0, escaped(plot.across)).ok();
    out
}

/// Lines across, with what they stand for.
fn upright(plot: &Plot<'_>, (low, high): (f64, f64)) -> String {
    let mut out = String::new();
    for part in 0..=5 {
        let part = f64::from(part) / 5.0;
        let y = FIELD[3] - part * (FIELD[3] - FIELD[1]);
        let value = low + part * (high - low);
        let label = if high > 20.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let [left, _, right, _] = FIELD;
        writeln!(out, "<line x1='{left}' y1='{y:.1}' x2='{right}' y2='{y:.1}' stroke='#ddd'/>").ok();
        writeln!(out, "<text x='{:.0}' y='{:.1}' text-anchor='end'>{label}</text>", left - 6.0, y + 4.0).ok();
    }
    writeln!(out, "<text x='8' y='{:.0}'>{}</text>", FIELD[1] - 8.0, escaped(plot.up)).ok();
    out
}

fn legend<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for ((at, name), colour) in (0..).zip(names).zip(COLOURS.iter().cycle()) {
        let y = FIELD[1] + 14.0 + f64::from(at) * 20.0;
        writeln!(out, "<rect x='575' y='{:.0}' width='12' height='12' fill='{colour}'/>", y - 10.0).ok();
        writeln!(out, "<text x='593' y='{y:.0}'>{}</text>", escaped(name)).ok();
    }
    out
}

fn framed(title: &str, body: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' font-family='sans-serif' \
         font-size='12'>\n<rect width='100%' height='100%' fill='white'/>\n<text x='8' y='18' \
         font-size='14'>{}</text>\n{body}</svg>\n",
        escaped(title)
    )
}

/// From the least to the most, with some room on both sides.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if !low.is_finite() || !high.is_finite() {
        return (0.0, 1.0);
    }
    let room = ((high - low) * 0.08).max(0.01);
    (low - room, high + room)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_holds_every_point_and_escapes_names() {
        let line = |name: &str, points| Line { name: name.to_owned(), points };
        let plot = Plot {
            title: "a < b",
            across: "share",
            up: "ratio",
            lines: vec![line("r&d", vec![(0.1, 1.0), (0.9, 3.0)]), line("other", vec![(0.5, 2.0)])],
            is_connected: true,
        };
        let svg = chart(&plot);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("r&amp;d") && svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN"));
        let empty = Plot { lines: Vec::new(), ..plot };
        assert!(!chart(&empty).contains("NaN"));
    }
}
