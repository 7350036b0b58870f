//! What rationing does, as a table for people.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use super::{Desk, How};
use crate::store::Kind;

/// Shows what the tracker measures.
pub(crate) fn equilibrium(how: How) -> anyhow::Result<String> {
    // No rows are asked for; the threshold that is shown is kept as a setting.
    let desk = Desk::new(Kind::Setting, how)?;
    let told = desk.run(desk.admin.equilibrium())?;
    Ok(if desk.is_json { format!("{told:#}\n") } else { text(&told) })
}

fn text(told: &Value) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["seconds for a gigabyte", "all", "tier 0", "tier 1", "tier 2", "tier 3"]);
    for (name, arm) in [("by the policy", &told["treated"]), ("at random", &told["held_out"])] {
        let tiers = (0..4).map(|tier| pace(&arm["tiers"][tier]));
        table.add_row([name.to_owned(), pace(&arm["all"])].into_iter().chain(tiers));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    let cost = &told["cost_percent"];
    text.push_str(&match (cost["value"].as_f64(), cost["give_or_take"].as_f64()) {
        (Some(value), Some(give_or_take)) => {
            format!("By the policy everybody waits {value:+.1} % (give or take {give_or_take:.1}) of the time longer.\n")
        }
        _ => "What the policy costs is not known yet.\n".to_owned(),
    });
    let (held_out, shift) = (&told["held_out_percent"], &told["busy_shift_percent"]);
    text.push_str(&format!(
        "{held_out} % of the swarms run at random; the threshold of busy uplinks is moved by {shift} %.\n"
    ));
    text
}

fn pace(pace: &Value) -> String {
    match (pace["secs_per_gb"].as_f64(), pace["give_or_take"].as_f64()) {
        (Some(secs), Some(give_or_take)) => format!("{secs:.0} +- {give_or_take:.0}"),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn both_arms_are_shown_side_by_side_and_what_is_not_known_is_said() {
        let pace = |secs: f64| json!({ "secs_per_gb": secs, "give_or_take": 20.4, "gb": 5.0 });
        let told = json!({
            "held_out_percent": 5,
            "busy_shift_percent": 2,
            "treated": { "all": pace(900.0), "tiers": [pace(1200.0), null, null, pace(800.0)] },
            "held_out": { "all": pace(880.0), "tiers": [null, null, null, null] },
            "cost_percent": { "value": 2.27, "give_or_take": 3.3 },
        });
        let shown = text(&told);
        let row = |name: &str| {
            let line = shown.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("by the policy"), "by the policy 900 +- 20 1200 +- 20 - - 800 +- 20");
        assert_eq!(row("at random"), "at random 880 +- 20 - - - -");
        assert!(shown.contains("+2.3 % (give or take 3.3)") && shown.contains("moved by 2 %"), "{shown}");
        assert!(text(&json!({})).contains("not known yet"));
    }
}
