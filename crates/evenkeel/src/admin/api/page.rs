//! The API as a page: the document, for people. It holds no script and loads nothing.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;

use super::describe;

/// The document, as it is served.
pub(super) static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&describe::document()).unwrap_or_default();
    text.push('\n');
    text
});

/// The page.
pub(super) static PAGE: LazyLock<String> =
    LazyLock::new(|| write(&serde_json::from_str(&DOCUMENT).unwrap_or_default()));

/// What may be done by the page: to show itself.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    summary{cursor:pointer;padding:.3rem 0}code,pre{font:14px/1.5 ui-monospace,monospace}\
    b{display:inline-block;min-width:4.5rem}table{border-collapse:collapse;margin:.5rem 0 1rem}\
    td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}details details{margin-left:1rem}\
    @media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}";

fn write(document: &Value) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>API of evenkeel</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style><h1>API of evenkeel</h1><p>"
    );
    page.push_str(&escape(text(&document["info"]["description"])));
    page.push_str(
        " The same for programs: <a href=\"/api/v1/openapi.json\">openapi.json</a>, OpenAPI 3.1.</p>",
    );
    let mut last = "";
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = text(&operation["tags"][0]);
            if tag != last {
                put(&mut page, format_args!("<h2>{}</h2>", escape(tag)));
                last = tag;
            }
            let (method, summary) = (method.to_uppercase(), escape(text(&operation["summary"])));
            put(
                &mut page,
                format_args!(
                    "<details><summary><b>{method}</b> <code>/api/v1{}</code> {summary}</summary>",
                    escape(path)
                ),
            );
            write_operation(&mut page, document, operation);
            page.push_str("</details>");
        }
    }
    page.push_str("</html>\n");
    page
}

fn write_operation(page: &mut String, document: &Value, operation: &Value) {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        page.push_str("<p>Parameters</p><table>");
        for parameter in parameters {
            let says = text(&parameter["description"]);
            write_field(page, text(&parameter["name"]), &parameter["schema"], says);
        }
        page.push_str("</table>");
    }
    for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        put(page, format_args!("<p>Body, <code>{}</code></p>", escape(media)));
        write_schema(page, document, &content["schema"]);
    }
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let answer = resolve(document, answer);
        put(page, format_args!("<p>{}: {}</p>", escape(status), escape(text(&answer["description"]))));
        for (media, content) in answer["content"].as_object().into_iter().flatten() {
            if media == "application/json" {
                write_schema(page, document, &content["schema"]);
            }
        }
    }
}

/// The fields of an object, or of that which a list is of.
fn write_schema(page: &mut String, document: &Value, schema: &Value) {
    let schema = resolve(document, schema);
    if let Some(first) = schema["anyOf"].get(0) {
        page.push_str("<p>One of these, or a list of them:</p>");
        return write_schema(page, document, first);
    }
    let needed = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    page.push_str("<table>");
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let mark = if needed.iter().any(|needed| text(needed) == name) { "" } else { " (optional)" };
        write_field(page, name, field, &format!("{}{mark}", text(&field["description"])));
    }
    page.push_str("</table>");
}

fn write_field(page: &mut String, name: &str, schema: &Value, says: &str) {
    put(
        page,
        format_args!(
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escape(name),
            escape(&form(schema)),
            escape(says)
        ),
    );
}

/// What may be in a field, in a few words.
fn form(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let words = |of: &Value| {
        let words: Vec<&str> = of["enum"].as_array()?.iter().map(text).collect();
        Some(words.join(" | "))
    };
    let of = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        of => text(of).to_owned(),
    };
    if of == "array" {
        return format!("list of {}", words(&schema["items"]).unwrap_or_else(|| form(&schema["items"])));
    }
    let range = match (&schema["minimum"], &schema["maximum"]) {
        (Value::Null, _) => String::new(),
        (min, Value::Null) => format!(", from {min}"),
        (min, max) => format!(", {min} to {max}"),
    };
    if !schema["pattern"].is_null() {
        return format!("{} hexadecimal digits", schema["maxLength"]);
    }
    words(schema).unwrap_or(of + &range)
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let path = value["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| document.pointer(path)).unwrap_or(value)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes any text");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
