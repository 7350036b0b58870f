//! Policies side by side as a Markdown table.

use std::fmt::Write as _;

use super::cells::Arm;
use super::people::Class;
use super::statistics::Estimate;

/// The table of one cell; the first arm is what the others are compared with.
pub(super) fn markdown(arms: &[Arm<'_>]) -> String {
    let Some(base) = arms.first() else { return String::new() };
    let classes: Vec<Class> =
        Class::ALL.into_iter().filter(|class| base.example().values.contains_key(class.name())).collect();
    let mut out = format!("| {} |", base.cell);
    classes.iter().for_each(|class| out.extend([" ", class.name(), " |"]));
    out += " free/good | all | p95 | moved | announces | empty first lists | first byte, max |\n|---|";
    out += &"--:|".repeat(classes.len() + 7);
    for (at, arm) in arms.iter().enumerate() {
        let compared = |name: &str| if at == 0 { None } else { arm.over(base, name) };
        write!(out, "\n| {} |", arm.policy).ok();
        for class in &classes {
            let level =
                arm.level(class.name()).map_or_else(String::new, |level| format!("{:.0}", level.mean));
            let change =
                compared(class.name()).map_or_else(String::new, |ratio| format!(" ({:.2})", ratio.mean));
            write!(out, " {level}{change} |").ok();
        }
        write!(out, " {} |", arm.ratio("free/good").map_or_else(String::new, |ratio| ratio.text(2))).ok();
        for name in ["all", "all p95", "GB moved", "announces"] {
            write!(out, " {} |", level_or_change(arm.level(name), compared(name))).ok();
        }
        let empty = arm.level("empty first lists").map_or(0.0, |share| share.mean * 100.0);
        let first_byte = arm.most("first byte max").unwrap_or_default();
        write!(out, " {empty:.1} % | {first_byte:.0} s |").ok();
    }
    out.push('\n');
    out
}

/// Which tiers the classes are in, in percent.
pub(super) fn tiers(arms: &[Arm<'_>]) -> String {
    let mut out =
        "| policy | class | tier 0 | tier 1 | tier 2 | tier 3 |\n|---|---|--:|--:|--:|--:|\n".to_owned();
    for arm in arms {
        for class in Class::ALL {
            let Some(shares) = arm.tiers(class.name()) else { continue };
            write!(out, "| {} | {} |", arm.policy, class.name()).ok();
            for share in shares {
                write!(out, " {:.0} |", share * 100.0).ok();
            }
            out.push('\n');
        }
    }
    out
}

fn level_or_change(level: Option<Estimate>, change: Option<Estimate>) -> String {
    match (level, change) {
        (_, Some(change)) => signed(&change.percent()),
        (Some(level), None) => format!("{:.0}", level.mean),
        (None, None) => String::new(),
    }
}

/// A change in percent, with its sign.
pub(crate) fn signed(change: &Estimate) -> String {
    if change.low == change.high {
        return format!("{:+.1} %", change.mean);
    }
    format!("{:+.1} % [{:+.1}, {:+.1}]", change.mean, change.low, change.high)
}
