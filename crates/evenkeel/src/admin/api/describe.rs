//! The API as a document of OpenAPI 3.1, made from the kinds of rows and their fields.

use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ComponentsBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, Object, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema, ServerBuilder,
};

use evenkeel_core::Tier;

use super::KINDS;
use super::requests::{PAGE, PAGE_MAX, ROWS_MAX};
use super::rows;
use crate::store::Kind;

mod besides;
mod table;

pub(crate) use table::{Field, Form, Part, fields_of};

const JSON: &str = "application/json";

/// The document.
pub(super) fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new()
        .schema("Problem", problem())
        .response(
            "Problem",
            ResponseBuilder::new().description(REFUSED).content(JSON, content(&of("Problem"))),
        )
        .security_scheme(
            "token",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
    for (path, kind) in KINDS {
        let words = words(kind);
        components = describe(components, kind, words.name);
        paths =
            paths.path(format!("/{path}"), all(path, kind)).path(format!("/{path}/{{id}}"), one(path, kind));
    }
    for (path, item) in besides::paths() {
        paths = paths.path(path, item);
    }
    let info =
        InfoBuilder::new().title("evenkeel").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/api/v1").build()]))
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

const ABOUT: &str = "Users, torrents, announce keys, lists and tokens of a tracker. Each request needs a token \
    (Authorization: Bearer TOKEN) with the scope read, for GET, or with that of the rows, which is called as their path. \
    What is changed holds within a second.";
const REFUSED: &str = "Why it was refused. Nothing was changed.";

/// What a kind is called.
struct Words {
    name: &'static str,
    /// What is drawn for a new row, if anything is.
    secret: Option<&'static str>,
}

fn words(kind: Kind) -> Words {
    let name = match kind {
        Kind::User => "User",
        Kind::Class => "Class",
        Kind::Torrent => "Torrent",
        Kind::Key => "Key",
        Kind::Listed => "Listed",
        Kind::Setting => "Setting",
        Kind::Token => "Token",
    };
    Words { name, secret: rows::secret_name(kind) }
}

/// The schemas of a kind: as it is shown, as it is made, as it is changed, and what is told of a new one.
fn describe(components: ComponentsBuilder, kind: Kind, name: &str) -> ComponentsBuilder {
    let fields = fields_of(kind);
    let given = || fields.iter().filter(|field| field.part != Part::Shown);
    let mut shown = object(&fields.iter().collect::<Vec<_>>(), |_| true);
    if kind == Kind::User {
        shown = shown.property("totals", besides::totals());
    } else if kind == Kind::Torrent {
        shown = shown.property("stats", besides::stats());
    }
    let new = object(&given().collect::<Vec<_>>(), |field| field.part == Part::Needed);
    let change = object(&given().collect::<Vec<_>>(), |_| false);
    let mut made = ObjectBuilder::new().property("id", integer()).required("id");
    if let Some(secret) = words(kind).secret {
        made = made.property(secret, text("The secret itself, shown this once.")).required(secret);
    }
    components
        .schema(name, shown)
        .schema(format!("New{name}"), new)
        .schema(format!("{name}Change"), change)
        .schema(format!("Made{name}"), made)
}

/// `/users`
fn all(path: &str, kind: Kind) -> PathItem {
    let name = words(kind).name;
    let page = ObjectBuilder::new()
        .property("rows", ArrayBuilder::new().items(of(name)))
        .required("rows")
        .property(
            "next",
            ObjectBuilder::new()
                .schema_type(or_null(Type::Integer))
                .description(Some("What to give as after for the next page; null after the last one.")),
        )
        .required("next");
    let after = query("after", ObjectBuilder::from(integer()).minimum(Some(0)), "Rows with larger ids.");
    let limit = ObjectBuilder::from(integer())
        .minimum(Some(1))
        .maximum(Some(PAGE_MAX as usize))
        .default(Some(PAGE.into()));
    let list = operation(path, "Shows rows, by id, a page of them")
        .parameter(after)
        .parameter(query("limit", limit, "Rows of the page."))
        .response("200", answer("The page.", &page.into()));
    let list = match kind {
        Kind::Torrent | Kind::Listed => list.parameter(query(
            "info_hash",
            ObjectBuilder::new().schema_type(Type::String),
            "Only the row that has it.",
        )),
        Kind::Key => list,
        _ => list.parameter(query(
            "name",
            ObjectBuilder::new().schema_type(Type::String),
            "Only the row that has it.",
        )),
    };
    let new = of(&format!("New{name}"));
    let many = |of: &RefOr<Schema>| -> Schema {
        ArrayBuilder::new().items(of.clone()).max_items(Some(ROWS_MAX)).into()
    };
    let either = AnyOfBuilder::new().item(new.clone()).item(many(&new));
    let made = of(&format!("Made{name}"));
    let told = AnyOfBuilder::new().item(made.clone()).item(many(&made));
    let create = operation(path, "Makes a row, or a list of rows: all or none")
        .request_body(Some(body(&either.into())))
        .response("201", answer("What was made, in the same order.", &told.into()));
    item([(HttpMethod::Get, list), (HttpMethod::Post, create)])
}

/// `/users/{id}`
fn one(path: &str, kind: Kind) -> PathItem {
    let name = words(kind).name;
    let read = operation(path, "Shows a row").parameter(id()).response("200", answer("The row.", &of(name)));
    let change = operation(path, "Changes those fields of a row that are given")
        .parameter(id())
        .request_body(Some(body(&of(&format!("{name}Change")))))
        .response("200", answer("The row as it is now.", &of(name)));
    let remove =
        operation(path, "Removes a row").parameter(id()).response("204", Response::new("It is gone."));
    item([(HttpMethod::Get, read), (HttpMethod::Patch, change), (HttpMethod::Delete, remove)])
}

fn operation(path: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new()
        .tag(path)
        .summary(Some(summary))
        .security(SecurityRequirement::new("token", [path]))
        .response("default", RefOr::Ref(Ref::from_response_name("Problem")))
}

fn item<const N: usize>(operations: [(HttpMethod, OperationBuilder); N]) -> PathItem {
    operations.into_iter().fold(PathItem::default(), |mut item, (method, operation)| {
        let operation: Operation = operation.build();
        item.merge_operations(PathItem::new(method, operation));
        item
    })
}

fn id() -> Parameter {
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::from(integer()).minimum(Some(1))))
        .build()
}

fn query(name: &str, schema: ObjectBuilder, says: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(says))
        .schema(Some(schema))
        .build()
}

fn answer(says: &str, schema: &RefOr<Schema>) -> Response {
    ResponseBuilder::new().description(says).content(JSON, content(schema)).build()
}

fn body(schema: &RefOr<Schema>) -> RequestBody {
    let mut body = RequestBody::new();
    body.required = Some(Required::True);
    body.content.insert(JSON.to_owned(), RefOr::T(content(schema)));
    body
}

fn content(schema: &RefOr<Schema>) -> Content {
    Content::new(Some(schema.clone()))
}

/// A schema by its name.
fn of(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// An object without any other fields.
fn object(fields: &[&Field], is_required: impl Fn(&Field) -> bool) -> ObjectBuilder {
    fields.iter().fold(ObjectBuilder::new(), |object, field| {
        let object = object.property(field.name, field.form.schema(field.says));
        if is_required(field) { object.required(field.name) } else { object }
    })
}

impl Form {
    fn schema(&self, says: &str) -> Schema {
        let ranged =
            |from: usize, to: usize| ObjectBuilder::from(integer()).minimum(Some(from)).maximum(Some(to));
        let object = match self {
            Self::Id => ranged(1, u32::MAX as usize),
            Self::Text(min, max) => ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(*min).filter(|min| *min > 0))
                .max_length(Some(*max)),
            Self::Percent => ranged(0, 1000),
            Self::Tier => ranged(0, Tier::TOP.number().into()),
            Self::Count => ranged(1, 1_000_000),
            Self::Hash(bytes) => ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(2 * bytes))
                .max_length(Some(2 * bytes))
                .pattern(Some("^[0-9a-fA-F]*$")),
            Self::Bytes | Self::Secs => ObjectBuilder::from(integer()).minimum(Some(0)),
            Self::Word(words) => {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.clone()))
            }
            Self::Words(words) => {
                let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.clone()));
                return ArrayBuilder::new().items(word).min_items(Some(1)).description(Some(says)).into();
            }
            Self::Maybe(form) => {
                let Schema::Object(mut object) = form.schema(says) else { return form.schema(says) };
                if let SchemaType::Type(of) = &object.schema_type {
                    object.schema_type = or_null(of.clone());
                }
                return object.into();
            }
        };
        object.description(Some(says)).into()
    }
}

fn or_null(of: Type) -> SchemaType {
    SchemaType::from_iter([of, Type::Null])
}

fn integer() -> Object {
    Object::with_type(Type::Integer)
}

fn text(says: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(says))
}

fn secs(says: &str) -> Schema {
    Form::Secs.schema(says)
}

fn problem() -> ObjectBuilder {
    let maybe = |says: &str| ObjectBuilder::new().schema_type(or_null(Type::String)).description(Some(says));
    let row = ObjectBuilder::from(integer()).description(Some("Which of the rows that were sent, from 0."));
    ObjectBuilder::new()
        .property("code", text("One word, for programs."))
        .required("code")
        .property("message", text("A sentence, for people."))
        .required("message")
        .property("field", maybe("The field that cannot be taken."))
        .required("field")
        .property("row", row)
        .property(
            "rows",
            ArrayBuilder::new().items(of("Problem")).description(Some("Each row that cannot be taken.")),
        )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What is described, and what is done.
    #[test]
    fn each_field_that_is_shown_is_described_and_the_other_way_round() {
        for (path, kind) in KINDS {
            let (row, _) = rows::blank(kind, 0).unwrap();
            let Value::Object(shown) = rows::show(&row) else { panic!() };
            let mut described: Vec<&str> = fields_of(kind).iter().map(|field| field.name).collect();
            described.sort_unstable();
            assert_eq!(shown.keys().map(String::as_str).collect::<Vec<_>>(), described, "{path}");
        }
    }

    #[test]
    fn each_field_that_is_said_to_be_given_is_read_and_no_other() {
        for (path, kind) in KINDS {
            for field in fields_of(kind) {
                let given = serde_json::json!({ field.name: { "no": "such value" } });
                let mut read = super::super::Fields::new(given).unwrap();
                let (mut row, _) = rows::blank(kind, 0).unwrap();
                let is_read = rows::apply(&mut row, &mut read).is_err();
                assert_eq!(is_read, field.part != Part::Shown, "{} of {path}", field.name);
            }
        }
    }
}
