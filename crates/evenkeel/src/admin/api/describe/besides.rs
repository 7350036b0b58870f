//! What can be asked besides rows: sums, passkeys, files.

use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Response, ResponseBuilder, Schema};

use super::super::rows::TORRENT_STATES;
use super::{Form, answer, body, content, id, item, of, operation, or_null, query, secs, text};

const FILE: &str = "application/x-bittorrent";

/// Paths that only one kind has.
pub(super) fn paths() -> [(&'static str, PathItem); 6] {
    [
        ("/users/{id}/passkey", passkey()),
        ("/users/{id}/tier", tier()),
        ("/equilibrium", equilibrium()),
        ("/torrents/file", upload()),
        ("/torrents/{id}/file", file()),
        ("/torrents/{id}/history", history()),
    ]
}

fn passkey() -> PathItem {
    let told = ObjectBuilder::new()
        .property("passkey", text("The new one, shown this once."))
        .required("passkey")
        .property("previous_until", secs("Until when the old one is good, in seconds since 1970."))
        .required("previous_until");
    let rotate = operation("users", "Replaces the passkey of a user")
        .parameter(id())
        .response("200", answer("The new passkey.", &told.into()));
    item([(HttpMethod::Post, rotate)])
}

fn tier() -> PathItem {
    let at = Form::Maybe(Box::new(Form::Tier)).schema("The tier, or null for what the user has earned.");
    let given = ObjectBuilder::new().property("tier", at).required("tier");
    let pin = operation("users", "Holds a user at a tier, whatever was earned, or no longer")
        .parameter(id())
        .request_body(Some(body(&given.into())))
        .response("200", answer("The row as it is now.", &of("User")));
    item([(HttpMethod::Put, pin)])
}

fn equilibrium() -> PathItem {
    let number = |says: &str| ObjectBuilder::new().schema_type(Type::Number).description(Some(says));
    let pace = || {
        ObjectBuilder::new()
            .schema_type(or_null(Type::Object))
            .description(Some("Null while too few have shown it."))
            .property("secs_per_gb", number("Seconds that a leecher waits for a gigabyte."))
            .property("give_or_take", number("So far above and below that it may be, with 95 % confidence."))
            .property("gb", number("Gigabytes that it was seen with; those of a week ago count half."))
    };
    let arm = |says: &str| {
        ObjectBuilder::new()
            .description(Some(says))
            .property("all", pace())
            .property("tiers", ArrayBuilder::new().items(pace()).description(Some("Tiers 0 to 3.")))
    };
    let cost = ObjectBuilder::new()
        .schema_type(or_null(Type::Object))
        .description(Some(
            "How much longer everybody waits by the policy, in percent; null while that is not known.",
        ))
        .property("value", number("In percent."))
        .property("give_or_take", number("So far above and below that it may be, with 95 % confidence."));
    let told = ObjectBuilder::new()
        .property("held_out_percent", number("Percent of the swarms that run random for comparison."))
        .property(
            "busy_shift_percent",
            number("By how much the share from which an uplink is busy is moved."),
        )
        .property("treated", arm("Swarms that run the policy."))
        .property("held_out", arm("Swarms that run random."))
        .property("cost_percent", cost);
    let show = operation("read", "Shows what rationing does, as it is measured since the start")
        .response("200", answer("Both arms, side by side.", &told.into()));
    item([(HttpMethod::Get, show)])
}

fn upload() -> PathItem {
    let states = TORRENT_STATES.map(|(word, _)| word);
    let state = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(states));
    let upload = operation("torrents", "Makes a torrent of a .torrent file of version 1, 2 or both")
        .parameter(query("state", state, "Whether it is served; approved, if nothing is said."))
        .request_body(Some(
            RequestBodyBuilder::new()
                .required(Some(Required::True))
                .content(FILE, content(&binary()))
                .build(),
        ))
        .response("201", answer("The torrent, with what the file says of it.", &of("Torrent")));
    item([(HttpMethod::Post, upload)])
}

fn file() -> PathItem {
    let whose = ObjectBuilder::new()
        .property("passkey", text("Of a user who may announce."))
        .property("key", text("Or an announce key."));
    let kept = operation("torrents", "Answers the .torrent file as it is kept: without an announce URL")
        .parameter(id())
        .response("200", a_file());
    let own =
        operation("torrents", "Answers the .torrent file with the announce URL of a user or an announce key")
            .parameter(id())
            .request_body(Some(body(&whose.into())))
            .response("200", a_file());
    item([(HttpMethod::Get, kept), (HttpMethod::Post, own)])
}

fn history() -> PathItem {
    let fields = [
        ("seeders", "Most at one time."),
        ("leechers", "Most at one time."),
        ("partial", "Most at one time."),
        ("completed", "How many users have completed it then."),
        ("uploaded", "Bytes."),
        ("downloaded", "Bytes."),
    ];
    let from = secs("When the hour or day begins, in seconds since 1970.");
    let hour = amounts(ObjectBuilder::new().property("from", from), &fields);
    let told = ObjectBuilder::new().property("rows", ArrayBuilder::new().items(hour)).required("rows");
    let by = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["day", "hour"]));
    let show = operation("torrents", "Shows the figures of a torrent over time, oldest first, at most 1,000")
        .parameter(id())
        .parameter(query("by", by, "Days since it was first announced, or hours of the last 30 days."))
        .response("200", answer("Hours or days in which it was announced.", &told.into()));
    item([(HttpMethod::Get, show)])
}

fn a_file() -> Response {
    ResponseBuilder::new().description("The file.").content(FILE, content(&binary())).build()
}

fn binary() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).content_media_type(FILE).into()
}

fn amounts(object: ObjectBuilder, fields: &[(&str, &str)]) -> ObjectBuilder {
    fields.iter().fold(object, |object, (name, says)| object.property(*name, Form::Bytes.schema(says)))
}

/// What a user moved.
pub(super) fn totals() -> ObjectBuilder {
    let fields = [
        ("uploaded", "Bytes."),
        ("downloaded", "Bytes."),
        ("credited", "Bytes of the uploads that count."),
        ("charged", "Bytes of the downloads that count."),
        ("seeded_secs", "Seconds, of each torrent."),
        ("leeched_secs", "Seconds, of each torrent."),
        ("snatches", "Torrents that were completed."),
    ];
    amounts(
        ObjectBuilder::new().description(Some("Sums over all torrents; where one user is shown.")),
        &fields,
    )
}

/// Who is in a swarm, and what was moved there.
pub(super) fn stats() -> ObjectBuilder {
    let fields = [
        ("seeders", "Who has all of it."),
        ("leechers", "Who lacks something."),
        ("partial", "Who lacks something and wants no more."),
        ("completed", "How many users have completed it."),
        ("uploaded", "Bytes."),
        ("downloaded", "Bytes."),
    ];
    let imbalance = ObjectBuilder::new().schema_type(Type::Integer);
    let imbalance = imbalance
        .description(Some("What was sent less what was got: far from 0, somebody does not say the truth."));
    let object = ObjectBuilder::new().schema_type(or_null(Type::Object));
    let says = "As last written; where one torrent is shown. Null before the first announce.";
    let seen = Form::Maybe(Box::new(Form::Secs)).schema("When there last was a seeder.");
    amounts(object.description(Some(says)), &fields)
        .property("imbalance", imbalance)
        .property("seed_seen_at", seen)
}
