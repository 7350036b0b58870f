//! The answer to one HTTP request.

use std::net::IpAddr;
use std::time::Instant;

use evenkeel_core::{Handout, Place, Reason};
use evenkeel_wire::http::{self, Framing, Peers, Request};
use evenkeel_wire::query::{self, PeerForm};
use evenkeel_wire::secret::{self, Question};
use evenkeel_wire::{Announce, Endpoint, Failure, InfoHash, Stats};

use super::pages::{self, Found, Page, Wanted};
use super::{Limits, Local, Shared};
use crate::access::{self, Asker};
use crate::control::hash;
use crate::counters::add;
use crate::node::{Ahead, Announcer};
use crate::redirects::Redirect;
use crate::store::Hash32;

/// Buffers of a thread are kept up to this size, which holds the answer to any announce.
const BUFFER_BYTES: usize = 64 * 1024;

/// An answer that must wait for somebody.
pub(super) struct Later {
    pub(super) began: Instant,
    pub(super) keep_alive: bool,
    framing: Framing,
    wanted: Wanted,
}

impl Later {
    /// Waits for what it is made of.
    pub(super) async fn page(&self, shared: &Shared) -> Page {
        pages::wait(shared, self.wanted).await
    }

    /// Appends the answer.
    pub(super) fn write(&self, out: &mut Vec<u8>, page: &Page) {
        http::write_answer(out, page.status, page.content_type, &page.body, self.framing);
    }
}

/// Empties a buffer that is used again, and gives back what an unusual answer made it grow by.
pub(super) fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(BUFFER_BYTES);
}

/// Appends the answer to one request to `local.out`, unless it must wait for somebody.
pub(super) fn answer(
    shared: &Shared,
    local: &mut Local,
    source: IpAddr,
    request: &Request<'_>,
) -> Option<Later> {
    let framing = framing(shared, request);
    empty(&mut local.body);
    if let Some(redirect) = redirect(&shared.limits.load(), request) {
        redirect.write_location(request.query, &mut local.body);
        local.worker.counters.count(Reason::Page);
        add(&local.worker.counters.redirected, 1);
        http::write_redirect(&mut local.out, redirect.status(), &local.body, framing);
        return None;
    }
    let mut status = "200 OK";
    match question(shared, request) {
        Some((Question::Announce, secret)) => match Asked::read(shared, secret, request.query) {
            Ok(asked) => answer_asked(shared, local, source, (&asked, None)),
            Err(failure) => fail(local, failure),
        },
        Some((Question::Scrape, secret)) => {
            answer_scrape(shared, local, &Asker { source, secret: secret.map(hash) }, request.query);
        }
        None => match pages::find(shared, request.path, source, request.wants_json) {
            Found::Page(page) => {
                local.worker.counters.count(Reason::Page);
                http::write_answer(&mut local.out, page.status, page.content_type, &page.body, framing);
                return None;
            }
            Found::Later(wanted) => {
                let (began, keep_alive) = (Instant::now(), request.keep_alive);
                return Some(Later { began, keep_alive, framing, wanted });
            }
            Found::Refused(failure) => {
                local.worker.counters.count(Reason::Failed(failure));
                local.body.extend_from_slice(format!("{failure}\n").as_bytes());
                status = match failure {
                    Failure::NotReady => "503 Service Unavailable",
                    Failure::Guesses => "429 Too Many Requests",
                    _ => "404 Not Found",
                };
            }
            Found::Nothing => {
                fail(local, Failure::Path);
                // A client shows the text only with status 200; a browser or a monitor wants the truth.
                let is_client = memchr::memmem::find(request.query, b"info_hash=").is_some();
                status = if is_client { "200 OK" } else { "404 Not Found" };
            }
        },
    }
    http::write_answer(&mut local.out, status, "text/plain", &local.body, framing);
    None
}

/// How an answer is framed. Pages of any origin may read announces, scrapes and counts, if the operator says so.
fn framing(shared: &Shared, request: &Request<'_>) -> Framing {
    let framing = Framing::of(request);
    if shared.any_origin && (request.path == b"/stats.json" || secret::route(request.path).is_some()) {
        return framing.for_any_origin();
    }
    framing
}

/// Where a request is sent instead of being answered.
fn redirect<'a>(limits: &'a Limits, request: &Request<'_>) -> Option<&'a Redirect> {
    limits.redirects.iter().find(|rule| rule.is_of(request.path))
}

/// What is asked for, and the secret in the URL. Where secrets mean nothing, a path with one is a path like any other.
fn question<'a>(shared: &Shared, request: &Request<'a>) -> Option<(Question, Option<&'a [u8]>)> {
    if !shared.http {
        return None;
    }
    let (asked, secret) = secret::route(request.path)?;
    if !shared.node.asks_for_secrets() {
        return secret.is_none().then_some((asked, None));
    }
    Some((asked, secret.or_else(|| secret::of_query(request.query))))
}

/// An announce that was read.
pub(super) struct Asked {
    ask: Announce,
    form: PeerForm,
    place: Place,
    /// The hash of what its URL carries.
    secret: Option<Hash32>,
}

impl Asked {
    /// What a request asks for, if it is an announce and nothing else, in which nothing is wrong.
    pub(super) fn of(shared: &Shared, limits: &Limits, request: &Request<'_>) -> Option<Self> {
        if request.websocket_key.is_some() || redirect(limits, request).is_some() {
            return None;
        }
        match question(shared, request)? {
            (Question::Announce, secret) => Self::read(shared, secret, request.query).ok(),
            (Question::Scrape, _) => None,
        }
    }

    fn read(shared: &Shared, secret: Option<&[u8]>, query: &[u8]) -> Result<Self, Failure> {
        let (ask, form) = query::announce(query)?;
        let (place, secret) = (shared.node.place(&ask.info_hash), secret.map(hash));
        Ok(Self { ask, form, place, secret })
    }

    /// The same for whoever fetches from memory what it will touch.
    pub(super) fn ahead(&self, source: IpAddr) -> Ahead {
        let Self { ask: Announce { info_hash, port, .. }, place, secret, .. } = self;
        let endpoint = Endpoint::new(source, *port);
        Ahead { endpoint, info_hash: *info_hash, place: *place, secret: *secret }
    }
}

/// Appends the answer to an announce that was read to `local.out`.
pub(super) fn announce(
    shared: &Shared,
    local: &mut Local,
    source: IpAddr,
    (request, asked, found): (&Request<'_>, &Asked, Option<&access::Found>),
) {
    empty(&mut local.body);
    answer_asked(shared, local, source, (asked, found));
    http::write_answer(&mut local.out, "200 OK", "text/plain", &local.body, framing(shared, request));
}

/// Writes the answer to an announce to `local.body`. What is known of its secret comes along if it was looked up already.
fn answer_asked(
    shared: &Shared,
    local: &mut Local,
    source: IpAddr,
    (asked, found): (&Asked, Option<&access::Found>),
) {
    let Asked { ask, form, place, secret } = asked;
    let Local { worker, v4, v6, ids, body, .. } = local;
    let mut handout = Handout::new(v4, v6);
    if *form == PeerForm::Dictionary {
        handout = handout.with_ids(ids);
    }
    let caller = Endpoint::new(source, ask.port);
    let announcer = Announcer { key: caller.into(), place: *place, secret: *secret, found };
    let answered = shared.node.announce(worker, announcer, ask, &mut handout);
    let (v4_bytes, v6_bytes) = (handout.v4_bytes(), handout.v6_bytes());
    let (v4_ids, v6_ids) =
        if *form == PeerForm::Dictionary { (&ids.v4[..], &ids.v6[..]) } else { Default::default() };
    match answered {
        Ok(reply) => {
            let peers = Peers { v4: &v4[..v4_bytes], v6: &v6[..v6_bytes], v4_ids, v6_ids };
            http::write_announce(body, &reply, caller, peers, *form);
        }
        // The node has counted it.
        Err(failure) => http::write_failure(body, failure),
    }
}

fn answer_scrape(shared: &Shared, local: &mut Local, asker: &Asker, query: &[u8]) {
    if let Err(failure) = shared.node.admit_scrape(&local.worker, asker) {
        // The node has counted it.
        return http::write_failure(&mut local.body, failure);
    }
    let files: Vec<(InfoHash, Stats)> = match query::scrape(query) {
        Ok(mut scrape) => {
            scrape.sort_and_merge();
            scrape.hashes().iter().map(|info_hash| (*info_hash, shared.node.scrape(info_hash))).collect()
        }
        Err(failure) => match shared.scrape_all() {
            Some(files) if failure == Failure::NoHashes => files,
            _ => return fail(local, failure),
        },
    };
    http::write_scrape(&mut local.body, files.into_iter(), shared.node.orders().rules.min_interval_secs);
    local.worker.counters.count(Reason::Scraped);
}

fn fail(local: &mut Local, failure: Failure) {
    http::write_failure(&mut local.body, failure);
    local.worker.counters.count(Reason::Failed(failure));
}
