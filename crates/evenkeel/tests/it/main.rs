//! The real program on ports of its own, asked as strangers ask it. One binary, so that it links once.
//!
//! * `rig`: starts and stops the program, and asks it over every dialect and family;
//! * `acme`: certificates from an authority, which `pebble` is;
//! * `announce`, `scrape`: one scenario for every dialect and family;
//! * `ask`: the commands that ask a tracker, with `ask/webtorrent` for ws and wss;
//! * `containers`: what is needed to run in one;
//! * `etracker`: what programs and operators know from another tracker;
//! * `equilibrium`: policies, and who callers are;
//! * `udp`, `http`: what only one dialect has;
//! * `ws`: WebTorrent, with `websocket` as its client;
//! * `hostile`, `hostile_ws`: requests that no client sends, and floods;
//! * `pages`: `/`, `/stats`, `/health`, `/ready`, `/metrics`;
//! * `api`: users, torrents, keys and lists over the admin port; `tokens`: who may change them; `openapi`:
//!   what the API says of itself;
//! * `files`: `.torrent` files that come in and go out; `desk`: the commands that manage them all;
//! * `backup`: the database as a file, and back;
//! * `mint`: announce keys for whoever asks;
//! * `canary`: secrets are nowhere in what the program writes;
//! * `crash`: what the books say after kills;
//! * `private`: who may announce what, with users and torrents in either database; `postgres` starts a server;
//! * `lifecycle`: starting, failing to start, reloading, stopping;
//! * `local_sockets`: Unix sockets, and sockets that are passed;
//! * `pressure`: more connections than there is room for;
//! * `proxies`: whose word is taken for where a request comes from;
//! * `tls`: https and wss, with `authority` for certificates and who trusts them;
//! * `large`: how soon a large community is served, and what it takes of memory;
//! * `outage`: announces and books while the database is gone;
//! * `readme`: what the README tells a newcomer to type;
//! * `snapshots`: texts that users rely on: help, example configuration, metric names;
//! * `standing`: what users earn;
//! * `tidy`: house rules that no lint can check.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod acme;
mod announce;
mod api;
mod ask;
mod authority;
mod backup;
mod bencode;
mod canary;
mod containers;
mod crash;
mod desk;
mod equilibrium;
mod etracker;
mod files;
mod hostile;
mod hostile_ws;
mod http;
mod large;
mod lifecycle;
mod local_sockets;
mod mint;
mod openapi;
mod outage;
mod pages;
mod pebble;
#[expect(dead_code, reason = "the store's own tests use all of it")]
#[path = "../../src/store/exam/server.rs"]
mod postgres;
mod pressure;
mod private;
mod proxies;
mod readme;
mod rig;
mod scrape;
mod snapshots;
mod standing;
mod tidy;
mod tls;
mod tokens;
mod udp;
mod websocket;
mod ws;
