//! Rows as tables, for people.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use crate::admin::fields_of;
use crate::ask::printable;
use crate::store::Kind;

/// One row, a field in each line.
pub(super) fn one(kind: Kind, row: &Value) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for name in names(kind, row) {
        match &row[name] {
            Value::Object(inner) => inner.iter().for_each(|(of, value)| {
                table.add_row([format!("{name}.{of}"), text(value)]);
            }),
            value => drop(table.add_row([name.to_owned(), text(value)])),
        }
    }
    lines(&table)
}

/// Rows, one in each line; fields with nothing in them are left out.
pub(super) fn many(kind: Kind, rows: &[Value]) -> String {
    let Some(first) = rows.first() else { return "no rows\n".to_owned() };
    let is_said = |name: &&str| rows.iter().any(|row| !text(&row[*name]).is_empty());
    let names: Vec<&str> = names(kind, first).into_iter().filter(is_said).collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(&names);
    for row in rows {
        table.add_row(names.iter().map(|name| text(&row[*name])));
    }
    for (at, name) in names.iter().enumerate() {
        let is_number = rows.iter().all(|row| row[*name].is_number());
        if let Some(column) = table.column_mut(at).filter(|_| is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    lines(&table)
}

/// The fields of a row in the order in which they are described, then others.
fn names(kind: Kind, row: &Value) -> Vec<&str> {
    let described = fields_of(kind);
    let place = |name: &str| described.iter().position(|field| field.name == name).unwrap_or(usize::MAX);
    let mut names: Vec<&str> =
        row.as_object().into_iter().flat_map(|fields| fields.keys()).map(String::as_str).collect();
    names.sort_by_key(|name| place(name));
    names
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What is in a row may be a stranger's text.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_shows_what_is_there_and_nothing_else() {
        let rows = [
            json!({ "class": null, "id": 5, "name": "ann", "state": "active" }),
            json!({ "class": null, "id": 12, "name": "b\u{1b}[31mob", "state": "banned" }),
        ];
        let expected = " id  name      state\n  5  ann       active\n 12  b?[31mob  banned\n";
        assert_eq!(many(Kind::User, &rows), expected);
        assert_eq!(many(Kind::User, &[]), "no rows\n");
        let row = json!({ "id": 5, "scopes": ["read", "users"], "totals": { "uploaded": 7 } });
        assert_eq!(
            one(Kind::Token, &row),
            " id               5\n scopes           read, users\n totals.uploaded  7\n"
        );
    }
}
