//! A configuration as a TOML file for people.

use super::Config;
use super::table::{Entry, When};

/// The example file: every setting with its explanation, commented out at its default.
pub fn example() -> String {
    let mut lines = vec![
        "# Every setting of evenkeel with its default. Made by `evenkeel config init`.".to_owned(),
        "#".to_owned(),
        "# The environment overrides this file: EVENKEEL_SECTION__KEY, as in EVENKEEL_SERVER__PORT=7000. Flags"
            .to_owned(),
        "# override both. `evenkeel config check` says what is wrong, `evenkeel config show` what holds."
            .to_owned(),
        "# \"At reload\" means at SIGHUP.".to_owned(),
    ];
    for section in Config::default().describe() {
        lines.push(String::new());
        lines.extend(section.doc.iter().map(|line| format!("#{line}")));
        lines.push(format!("[{}]", section.name));
        for entry in section.entries {
            lines.push(String::new());
            lines.extend(entry.doc.iter().map(|line| format!("#{line}")));
            lines.push(range(&entry));
            lines.push(format!("#{} = {}", entry.name, entry.default));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn range(entry: &Entry<'_>) -> String {
    let when = match entry.when {
        When::Start => "start",
        When::Reload => "reload",
    };
    format!("# Must be {}. Changes take effect at {when}.", entry.allowed)
}

/// What holds, in full, with a remark on each value that is not the default.
pub fn show(config: &Config) -> String {
    let mut lines = Vec::new();
    for section in config.describe() {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("[{}]", section.name));
        for entry in section.entries {
            let line = format!("{} = {}", entry.name, entry.value);
            lines.push(match entry.origin {
                Some(origin) if entry.value != entry.default => {
                    format!("{line} # {}; default {}", origin.to_string().replace('\n', " "), entry.default)
                }
                _ => line,
            });
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
