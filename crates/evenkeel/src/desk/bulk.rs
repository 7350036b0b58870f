//! Many rows at once.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Rows of one request, which are taken or refused together: as many as the API takes.
pub(super) const BATCH: usize = 10_000;

/// Rows of a file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    let rows = parse(&text).with_context(|| format!("{} holds no rows as JSON", path.display()))?;
    ensure!(!rows.is_empty(), "{} holds no rows", path.display());
    Ok(rows)
}

/// A list, or one row after the other.
fn parse(text: &str) -> serde_json::Result<Vec<Value>> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text);
    }
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

/// A bar, where somebody is looking and there is something to wait for.
pub(super) fn progress(rows: usize) -> ProgressBar {
    if rows < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {eta} left");
    let bar = ProgressBar::new(rows as u64);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// What is to be said of the rows before those that were refused.
pub(super) fn done_before(rows: usize, done: &str) -> String {
    match rows {
        0 => format!("no row was {done}"),
        rows => format!("the first {rows} rows were {done}, the next {BATCH} or the rest of them were not"),
    }
}

/// The same behind another sentence.
pub(super) fn after(rows: usize, done: &str) -> String {
    if rows == 0 { String::new() } else { format!("; {rows} before it were {done}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_a_list_or_lines() {
        let rows = [json!({ "name": "a" }), json!({ "name": "b" })];
        for text in [r#"[{"name": "a"}, {"name": "b"}]"#, "{\"name\": \"a\"}\n\n{\"name\": \"b\"}\n"] {
            assert_eq!(parse(text).unwrap(), rows);
        }
        for text in ["[", "{\"name\": \"a\"}\n{", "name,state\na,active"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
