//! What a person or a monitor reads on the public port: `/`, `/stats`, `/stats.json`,
//! `/standing/SECRET`, `/health`, `/robots.txt`.

use std::fmt::Write as _;

use std::net::IpAddr;

use evenkeel_core::Scope;
use evenkeel_wire::{Endpoint, Failure, secret};

use super::Shared;
use super::standing::Shown;
use crate::access::Asker;
use crate::banner::AnnounceUrl;
use crate::census::{Census, Sums};
use crate::classes::Known;
use crate::control::hash;
use crate::mint::Refused;

/// A page.
pub(super) struct Page {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
/// Where an authority asks (RFC 8555).
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

/// What has to be waited for.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    /// Statistics, which somebody must count first.
    Statistics {
        /// For programs.
        as_json: bool,
    },
    /// What somebody has earned, which a thread adds up.
    Standing {
        /// Whose.
        known: Known,
        /// For programs.
        as_json: bool,
    },
    /// An announce key, which the database must know first.
    Key {
        /// Who asks.
        source: IpAddr,
    },
}

/// What is at a path.
pub(super) enum Found {
    /// A page that can be made at once.
    Page(Page),
    /// A page that somebody has to be waited for.
    Later(Wanted),
    /// A page that is not shown, and why.
    Refused(Failure),
    Nothing,
}

/// Looks for the page at a path.
pub(super) fn find(shared: &Shared, path: &[u8], source: IpAddr, wants_json: bool) -> Found {
    match path {
        // Announces and statistics are no reading for a search engine.
        b"/robots.txt" => {
            let text = "User-agent: *\nDisallow: /announce\nDisallow: /scrape\nDisallow: /stats\nDisallow: /standing\nDisallow: /key\n";
            Found::Page(page("text/plain", text.to_owned()))
        }
        b"/health" => Found::Page(page("text/plain", "ok\n".to_owned())),
        b"/" if shared.landing_page => Found::Page(page(HTML, landing(shared, source))),
        b"/stats.json" => Found::Later(Wanted::Statistics { as_json: true }),
        _ if path.starts_with(CHALLENGES) => challenge(shared, &path[CHALLENGES.len()..]),
        b"/stats" => Found::Later(Wanted::Statistics { as_json: wants_json }),
        _ if let Some(secret) = secret::of_standing(path) => look(shared, source, secret, wants_json),
        b"/key" if shared.mint.is_some() => Found::Later(Wanted::Key { source }),
        _ => Found::Nothing,
    }
}

/// The standing of whoever shows a secret.
fn look(shared: &Shared, source: IpAddr, secret: &[u8], as_json: bool) -> Found {
    match shared.node.admit_look(&Asker { source, secret: Some(hash(secret)) }) {
        None => Found::Nothing,
        Some(Ok(known)) => Found::Later(Wanted::Standing { known, as_json }),
        Some(Err(failure)) => Found::Refused(failure),
    }
}

/// What an authority asks for that shall certify our names.
fn challenge(shared: &Shared, token: &[u8]) -> Found {
    let text = shared.tls.as_ref().and_then(|tls| tls.shown.challenges.text(token));
    text.map_or(Found::Nothing, |text| Found::Page(page("application/octet-stream", text)))
}

fn page(content_type: &'static str, body: String) -> Page {
    Page { status: "200 OK", content_type, body: body.into_bytes() }
}

/// Waits for what a page is made of, and makes it.
pub(super) async fn wait(shared: &Shared, wanted: Wanted) -> Page {
    match wanted {
        Wanted::Statistics { as_json } => statistics(shared, as_json).await,
        Wanted::Standing { known, as_json } => standing(shared, known, as_json).await,
        Wanted::Key { source } => key(shared, source).await,
    }
}

/// The announce URLs of a new announce key, one in a line.
async fn key(shared: &Shared, source: IpAddr) -> Page {
    let limit_local = shared.limits.load().limit_local_addresses;
    let taken = match &shared.mint {
        Some(mint) => mint.take(source, limit_local).await,
        None => Err(Refused::Unavailable),
    };
    let (status, body) = match taken {
        Ok(secret) => {
            let own =
                |url: &str| format!("{}/{}/announce\n", url.trim_end_matches("/announce"), secret.reveal());
            ("200 OK", shared.announce_urls_for(source).map(|url| own(&url.text)).collect())
        }
        Err(Refused::Enough) => {
            ("429 Too Many Requests", "enough keys were given for now; try again in an hour\n".to_owned())
        }
        Err(Refused::Unavailable) => {
            ("503 Service Unavailable", "keys cannot be given for now; please try again\n".to_owned())
        }
    };
    Page { status, content_type: "text/plain", body: body.into_bytes() }
}

async fn standing(shared: &Shared, known: Known, as_json: bool) -> Page {
    let view = match (shared.node.earned(), known.slot) {
        (Some(earned), Some(number)) => earned.view(number).await,
        _ => Some(None),
    };
    let Some(view) = view else {
        let body = b"too many ask for their standing; please try again\n".to_vec();
        return Page { status: "503 Service Unavailable", content_type: "text/plain", body };
    };
    let shown = Shown { view, pinned: known.pinned };
    if as_json { page(JSON, shown.json()) } else { page(HTML, shown.html()) }
}

async fn statistics(shared: &Shared, as_json: bool) -> Page {
    let Some(census) = shared.census.take().await else {
        let body = b"too many ask for statistics; please try again\n".to_vec();
        return Page { status: "503 Service Unavailable", content_type: "text/plain", body };
    };
    if as_json { page(JSON, stats_json(shared, &census)) } else { page(HTML, stats_html(shared, &census)) }
}

/// The keys of the JavaScript tracker, `estimated` when peers were sampled, and `reported` if reports are kept.
fn stats_json(shared: &Shared, census: &Census) -> String {
    let totals = shared.node.totals();
    let clients: Vec<String> = census
        .clients
        .iter()
        .map(|(name, versions)| {
            let versions: Vec<String> =
                versions.iter().map(|(version, peers)| format!("{}:{peers}", quoted(version))).collect();
            format!("{}:{{{}}}", quoted(name), versions.join(","))
        })
        .collect();
    let reported = census.reported.as_ref().map_or_else(String::new, |sums| {
        let Sums { uploaded, downloaded, left, rationed, .. } = sums;
        let secs = sums.secs_mean();
        format!(
            ",\"reported\":{{\"uploadedBytes\":{uploaded},\"downloadedBytes\":{downloaded},\"leftBytes\":{left},\
             \"sessionSecsMean\":{secs},\"seedersRationed\":{rationed}}}"
        )
    });
    format!(
        "{{\"torrents\":{},\"activeTorrents\":{},\"peersAll\":{},\"peersSeederOnly\":{},\"peersLeecherOnly\":{},\
         \"peersSeederAndLeecher\":{},\"peersIPv4\":{},\"peersIPv6\":{},\"clients\":{{{}}},\"estimated\":{}{reported}}}\n",
        totals.swarms,
        totals.active_swarms,
        census.peers,
        census.seeder_only,
        census.leecher_only,
        census.seeder_and_leecher,
        census.v4,
        census.v6,
        clients.join(","),
        census.is_estimate
    )
}

/// Names and versions are printable ASCII (`client_name`); quotes and backslashes may still be among them.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The lines of the JavaScript tracker, in its order: programs read the first number of each, from the first line on.
fn stats_html(shared: &Shared, census: &Census) -> String {
    let totals = shared.node.totals();
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><title>Tracker statistics</title></head><body>\
         <h1>{} torrents ({} active)</h1>\n\
         <h2>Connected Peers: {}</h2>\n\
         <h3>Peers Seeding Only: {}</h3>\n\
         <h3>Peers Leeching Only: {}</h3>\n\
         <h3>Peers Seeding &amp; Leeching: {}</h3>\n\
         <h3>IPv4 Peers: {}</h3>\n\
         <h3>IPv6 Peers: {}</h3>\n\
         <h3>Clients:</h3>\n<ul>\n",
        totals.swarms,
        totals.active_swarms,
        census.peers,
        census.seeder_only,
        census.leecher_only,
        census.seeder_and_leecher,
        census.v4,
        census.v6
    );
    for (name, versions) in &census.clients {
        for (version, peers) in versions {
            let line =
                writeln!(html, "<li><strong>{}</strong> {} : {peers}</li>", escaped(name), escaped(version));
            debug_assert!(line.is_ok(), "a String takes any text");
        }
    }
    html.push_str("</ul>\n");
    if let Some(sums) = &census.reported {
        let Sums { uploaded, downloaded, left, .. } = sums;
        let line = writeln!(
            html,
            "<p>As the peers report: {uploaded} bytes sent, {downloaded} got, {left} lacking; {} seconds in a swarm \
             on average.</p>",
            sums.secs_mean()
        );
        debug_assert!(line.is_ok(), "a String takes any text");
    }
    if census.is_estimate {
        html.push_str("<p>Figures of peers and clients are estimated from a sample.</p>\n");
    }
    html.push_str("</body>\n</html>\n");
    html
}

/// The version of an unknown client is what a stranger sent.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Shared {
    /// Those that somebody can use: nobody on the internet learns of addresses inside a network.
    fn announce_urls_for(&self, source: IpAddr) -> impl Iterator<Item = &AnnounceUrl> {
        let scope = |ip| Scope::of(&Endpoint::new(ip, 0));
        self.announce_urls
            .iter()
            .filter(move |url| url.ip.is_none_or(|ip| scope(source).may_learn(scope(ip))))
    }
}

fn landing(shared: &Shared, source: IpAddr) -> String {
    let totals = shared.node.totals();
    let item = |url: &AnnounceUrl| format!("<li><code>{}</code></li>\n", escaped(&url.text));
    let mut urls: String = shared.announce_urls_for(source).map(item).collect();
    if urls.is_empty() {
        urls.push_str(
            "<li>(the operator has not said under which name the world reaches this tracker)</li>\n",
        );
    }
    let key =
        if shared.mint.is_some() { "<p><a href=\"/key\">Announce URLs of your own</a></p>\n" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>BitTorrent tracker</title>\n<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;\
         color-scheme:light dark}}code{{font-size:1.1em;user-select:all}}</style></head>\n<body>\n\
         <h1>A BitTorrent tracker</h1>\n\
         <p>It introduces peers to each other and stores no content. Add one of these to a torrent:</p>\n<ul>\n{urls}</ul>\n{key}\
         <p>{} torrents, {} seeders, {} leechers. <a href=\"/stats\">Statistics</a></p>\n\
         <p>evenkeel {}</p>\n</body>\n</html>\n",
        totals.active_swarms,
        totals.seeders,
        totals.leechers,
        env!("CARGO_PKG_VERSION")
    )
}
