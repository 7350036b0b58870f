//! What stands on the command line, as JSON: each value as its field wants it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::{Map, Value};

use crate::admin::{Field, Form, Part, fields_of};
use crate::store::Kind;

/// Rows of what they are called, and of FIELD=VALUE that all of them have: an object, or a list of several.
pub(super) fn new_rows(kind: Kind, given: &[String]) -> anyhow::Result<Value> {
    // Only the first may look like a field: further ones are rather fields with a slip of the pen.
    let is_name = |at: usize, word: &String| split(kind, word).is_none() && (at == 0 || !word.contains('='));
    let names = given.iter().enumerate().take_while(|(at, word)| is_name(*at, word));
    let names: Vec<&String> = names.map(|(_, word)| word).collect();
    let fields = read(kind, &given[names.len()..])?;
    let named = |name: &&String| {
        let field = match kind {
            Kind::Torrent if name.len() == 64 => "info_hash_v2",
            Kind::Torrent => "info_hash_v1",
            Kind::Listed => "info_hash",
            Kind::Key => "note",
            Kind::User | Kind::Class | Kind::Setting | Kind::Token => "name",
        };
        let mut row = fields.clone();
        let twice = row.insert(field.to_owned(), name.as_str().into());
        ensure!(twice.is_none(), "{field} is given twice");
        Ok(Value::Object(row))
    };
    match &names[..] {
        [] => Ok(Value::Object(fields)),
        [name] => named(name),
        names => names.iter().map(named).collect(),
    }
}

/// Fields of FIELD=VALUE.
pub(super) fn fields(kind: Kind, given: &[String]) -> anyhow::Result<Value> {
    read(kind, given).map(Value::Object)
}

fn read(kind: Kind, given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut row = Map::new();
    for pair in given {
        let (field, text) = split(kind, pair).with_context(|| {
            let known = fields_of(kind).into_iter().filter(|field| field.part != Part::Shown);
            let known: Vec<&str> = known.map(|field| field.name).collect();
            format!("{pair:?} is not FIELD=VALUE with one of the fields {}", known.join(", "))
        })?;
        let value = value(&field.form, text)
            .with_context(|| format!("{} cannot be {text:?}: it is {}", field.name, field.form))?;
        let twice = row.insert(field.name.to_owned(), value);
        ensure!(twice.is_none(), "{} is given twice", field.name);
    }
    Ok(row)
}

/// A field that can be given, and what is given. A name may hold an equals sign.
fn split(kind: Kind, pair: &str) -> Option<(Field, &str)> {
    let (name, text) = pair.split_once('=')?;
    let field = fields_of(kind).into_iter().find(|field| field.name == name && field.part != Part::Shown)?;
    Some((field, text))
}

/// `None` is what cannot be in a field. Whether it is in its range says the tracker.
fn value(form: &Form, text: &str) -> Option<Value> {
    match form {
        Form::Maybe(_) if text == "null" => Some(Value::Null),
        Form::Maybe(form) => value(form, text),
        Form::Text(..) | Form::Hash(_) | Form::Word(_) => Some(text.into()),
        Form::Words(_) => Some(text.split(',').map(str::trim).collect()),
        Form::Secs => text.parse().ok().or_else(|| from_now_on(text)).map(|secs: u64| secs.into()),
        Form::Id | Form::Percent | Form::Tier | Form::Count | Form::Bytes => {
            text.parse().ok().map(|number: u64| number.into())
        }
    }
}

/// `+30d`, `+12h`, `+5m`
fn from_now_on(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+')?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let secs = match unit {
        "d" => 24 * 3600,
        "h" => 3600,
        "m" => 60,
        _ => return None,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    number.parse::<u64>().ok()?.checked_mul(secs)?.checked_add(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(kind: Kind, given: &[&str]) -> anyhow::Result<Value> {
        new_rows(kind, &given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_value_is_what_its_field_wants() {
        let hash = "7".repeat(40);
        for (kind, given, expected) in [
            (Kind::User, vec!["123"], json!({ "name": "123" })),
            (Kind::User, vec!["name=a=b"], json!({ "name": "a=b" })),
            (Kind::User, vec!["a=b"], json!({ "name": "a=b" })),
            (
                Kind::User,
                vec!["ann", "class=2", "state=banned"],
                json!({ "name": "ann", "class": 2, "state": "banned" }),
            ),
            (
                Kind::User,
                vec!["ann", "bob", "class=2"],
                json!([{ "name": "ann", "class": 2 }, { "name": "bob", "class": 2 }]),
            ),
            (Kind::User, vec!["null", "class=null"], json!({ "name": "null", "class": null })),
            (
                Kind::Torrent,
                vec![&hash, "name=t", "size_bytes=5"],
                json!({ "info_hash_v1": hash, "name": "t", "size_bytes": 5 }),
            ),
            (
                Kind::Token,
                vec!["t", "scopes=read,users"],
                json!({ "name": "t", "scopes": ["read", "users"] }),
            ),
        ] {
            assert_eq!(row(kind, &given).unwrap(), expected, "{given:?}");
        }
    }

    #[test]
    fn what_no_field_wants_is_refused_with_its_name() {
        for (given, says) in [
            (&["ann", "clas=2"][..], "one of the fields name, state, class"),
            (&["ann", "class=x"], "class cannot be \"x\": it is a whole number"),
            (&["ann", "class=-1"], "class cannot be"),
            (&["ann", "name=bob"], "name is given twice"),
            (&["ann", "created_at=5"], "one of the fields"),
        ] {
            let error = row(Kind::User, given).unwrap_err().to_string();
            assert!(error.contains(says), "{given:?}: {error}");
        }
    }

    #[test]
    fn times_may_be_given_from_now_on() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let in_30_days = from_now_on("+30d").unwrap();
        assert!((in_30_days - now).abs_diff(30 * 24 * 3600) < 60);
        for text in ["30d", "+d", "+30", "+30w", "+", "", "+99999999999999999999d", "+é"] {
            assert_eq!(from_now_on(text), None, "{text}");
        }
    }
}
