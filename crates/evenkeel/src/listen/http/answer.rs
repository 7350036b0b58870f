//! The answer to one HTTP request.

use std::net::IpAddr;
use std::time::Instant;

use evenkeel_core::{Handout, Reason};
use evenkeel_wire::http::{self, Framing, Peers, Request};
use evenkeel_wire::query::{self, Fields, PeerForm};
use evenkeel_wire::secret::{self, Question};
use evenkeel_wire::{Endpoint, Failure, InfoHash, Stats};

use super::pages::{self, Found, Page, Wanted};
use super::{Local, Shared};
use crate::access::Asker;
use crate::control::hash;
use crate::counters::add;
use crate::node::Announcer;

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
    let mut framing = Framing::of(request);
    if shared.any_origin && (request.path == b"/stats.json" || secret::route(request.path).is_some()) {
        framing = framing.for_any_origin();
    }
    empty(&mut local.body);
    if let Some(redirect) = shared.limits.load().redirects.iter().find(|rule| rule.is_of(request.path)) {
        redirect.write_location(request.query, &mut local.body);
        local.worker.counters.count(Reason::Page);
        add(&local.worker.counters.redirected, 1);
        http::write_redirect(&mut local.out, redirect.status(), &local.body, framing);
        return None;
    }
    let mut status = "200 OK";
    match question(shared, request) {
        Some((Question::Announce, secret)) => {
            let asker = Asker { source, secret: secret.map(hash) };
            if let Err(failure) = answer_announce(shared, local, asker, request.query) {
                fail(local, failure);
            }
        }
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

/// Writes the answer to an announce, unless its query cannot be read.
fn answer_announce(shared: &Shared, local: &mut Local, asker: Asker, query: &[u8]) -> Result<(), Failure> {
    let fields = Fields::find(query)?;
    let info_hash = fields.info_hash()?;
    let place = shared.node.place(&info_hash);
    // While the rest is read, this is on its way.
    shared.node.prefetch_slots(place, asker.secret.as_ref());
    let (ask, form) = fields.announce(info_hash)?;
    let at = shared.node.prefetch_rows(place, asker.secret.as_ref());
    let Local { worker, v4, v6, ids, body, .. } = local;
    let mut handout = Handout::new(v4, v6);
    if form == PeerForm::Dictionary {
        handout = handout.with_ids(ids);
    }
    let caller = Endpoint::new(asker.source, ask.port);
    if let Some(at) = at {
        shared.node.prefetch_peers(place, at, &caller);
    }
    let announcer = Announcer { key: caller.into(), place, secret: asker.secret, found: None };
    let answered = shared.node.announce(worker, announcer, &ask, &mut handout);
    let (v4_bytes, v6_bytes) = (handout.v4_bytes(), handout.v6_bytes());
    let (v4_ids, v6_ids) =
        if form == PeerForm::Dictionary { (&ids.v4[..], &ids.v6[..]) } else { Default::default() };
    match answered {
        Ok(reply) => {
            let peers = Peers { v4: &v4[..v4_bytes], v6: &v6[..v6_bytes], v4_ids, v6_ids };
            http::write_announce(body, &reply, caller, peers, form);
        }
        // The node has counted it.
        Err(failure) => http::write_failure(body, failure),
    }
    Ok(())
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
