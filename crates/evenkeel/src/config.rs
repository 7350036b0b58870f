//! What the operator sets: read from flags, environment and file, checked, and complete.
//!
//! Settings live in one table (`table.rs`). Everything wrong is reported at once, see [`Error`].

use std::path::PathBuf;

use evenkeel_core::{Policy, Rules};
use tracing::Level;

use crate::access::{Axes, Identity};
use crate::acme::Challenge;
use crate::classes::Classes;
pub use crate::classes::{Class, NoClass};
use crate::node::Orders;

mod etracker;
mod forms;
mod kind;
mod load;
mod problem;
mod read;
mod standing;
mod table;
mod text;
mod url;

pub(crate) use forms::LEVELS;
pub use load::Reload;
pub use problem::{Error, Origin, Problem};
pub use table::{
    Access, Acme, Admin, Announce, Compatibility, Config, Database, Equilibrium, Limits, Log, Proxy, Server,
    Standing, State, Tls, WebTorrent,
};
pub use text::{example, show};
pub use url::PublicUrl;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON object on each line.
    Json,
}

/// What flags override; their values are checked where flags are read.
struct Flagged {
    port: Option<u16>,
    level: Option<Level>,
    state_directory: Option<PathBuf>,
}

impl Config {
    /// What announces are answered by.
    pub(crate) fn orders(&self) -> Orders {
        let rules = self.rules();
        let classes = Classes::new(self.equilibrium.networks.clone(), &rules);
        Orders {
            classes,
            rules,
            standing: self.standing_rules(),
            keep_standing_secs: self.standing.keep_secs,
            protects_mean: self.equilibrium.protects_mean,
        }
    }

    /// Whether there is a port for TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.certificate_file.is_some() || !self.acme.domains.is_empty()
    }

    /// What is served to whom.
    pub fn axes(&self) -> Axes {
        let preset = self.access.preset.axes();
        Axes {
            torrents: self.access.torrents.unwrap_or(preset.torrents),
            identity: self.access.identity.unwrap_or(preset.identity),
        }
    }

    /// What the core decides by.
    pub fn rules(&self) -> Rules {
        let (announce, limits, equilibrium) = (&self.announce, &self.limits, &self.equilibrium);
        let mut policies = equilibrium.torrents.clone();
        policies.sort_unstable_by_key(|(info_hash, _)| *info_hash);
        let of_classes = equilibrium.networks.iter().filter_map(|class| class.policy);
        let of_torrents = policies.iter().map(|(_, policy)| *policy);
        let needs_reports =
            of_classes.chain(of_torrents).chain([equilibrium.policy]).any(Policy::needs_reports);
        Rules {
            interval_secs: announce.interval_secs,
            min_interval_secs: announce.min_interval_secs,
            webtorrent_interval_secs: announce.webtorrent_interval_secs,
            interval_spread_percent: announce.interval_spread_percent,
            numwant_default: announce.numwant_default,
            numwant_max: announce.numwant_max,
            peers_per_swarm_max: limits.peers_per_swarm_max,
            peers_per_address_and_swarm_max: limits.peers_per_address_and_swarm_max,
            peers_per_address_max: limits.peers_per_address_max,
            limit_local_addresses: limits.limit_local_addresses,
            clients_per_user_and_torrent_max: limits.clients_per_user_and_torrent_max,
            addresses_per_user_max: limits.addresses_per_user_max,
            sessions_max: limits.sessions_max,
            swarms_max: limits.swarms_max,
            peers_max: limits.peers_max,
            keep_peer_ids: announce.keep_peer_ids,
            keep_reports: announce.keep_reports || needs_reports || self.earning().is_some(),
            policy: equilibrium.policy,
            policies,
            ration_step_secs: equilibrium.ration_step_secs,
            ration_interval_secs: equilibrium.ration_interval_secs,
            held_out_percent: if self.earning().is_some() { equilibrium.held_out_percent } else { 0 },
        }
    }

    fn apply(&mut self, flagged: Flagged) {
        if let Some(port) = flagged.port {
            self.server.port = port;
            self.origins.insert("server.port", Origin::Flag("--port"));
        }
        if let Some(level) = flagged.level {
            self.log.level = level;
            self.origins.insert("log.level", Origin::Flag("--log-level"));
        }
        if let Some(directory) = flagged.state_directory {
            self.state.directory = Some(directory);
            self.origins.insert("state.directory", Origin::Flag("--state-dir (EVENKEEL_STATE_DIR)"));
        }
    }

    /// Values that are allowed one by one and do not go together. A key that has a problem already is left
    /// out: what stands in its place is a default that nobody chose.
    fn contradictions(&self, known: &[Problem]) -> Vec<Problem> {
        let announce = &self.announce;
        let mut found = Vec::new();
        let mut at_most = |(low_key, low): (&'static str, u32), (high_key, high): (&str, u32)| {
            let is_known = known.iter().any(|problem| problem.key == low_key || problem.key == high_key);
            if low > high && !is_known {
                let whence = self.origins.get(high_key).map_or("default".to_owned(), ToString::to_string);
                found.push(Problem {
                    origin: self.origins.get(low_key).cloned(),
                    key: low_key.to_owned(),
                    given: Some(low.to_string()),
                    message: format!("must not be above {high_key}, which is {high} ({whence})"),
                });
            }
        };
        at_most(
            ("announce.min_interval_secs", announce.min_interval_secs),
            ("announce.interval_secs", announce.interval_secs),
        );
        at_most(
            ("announce.numwant_default", announce.numwant_default),
            ("announce.numwant_max", announce.numwant_max),
        );
        if !self.server.http && !self.server.udp && !self.server.webtorrent {
            found.push(Problem {
                origin: self.origins.get("server.udp").cloned(),
                key: "server.udp".to_owned(),
                given: Some("false".to_owned()),
                message: "must be true when server.http and server.webtorrent are false: nobody could reach the tracker".to_owned(),
            });
        }
        found.extend(self.half_a_certificate());
        found.extend(self.two_certificates());
        found.extend(self.keys_for_nothing());
        found.extend(self.nothing_behind_a_face());
        found.extend(self.no_port_for_the_challenge());
        found.extend(self.nobody_to_believe(known));
        found
    }

    /// With the PROXY protocol, an empty list of proxies cannot be what is meant.
    fn nobody_to_believe(&self, known: &[Problem]) -> Vec<Problem> {
        let is_known = known.iter().any(|problem| problem.key == "proxy.trusted_networks");
        if is_known || !self.proxy.trusted_networks.is_empty() {
            return Vec::new();
        }
        let switches = [
            ("proxy.protocol_on_http", self.proxy.protocol_on_http),
            ("proxy.protocol_on_https", self.proxy.protocol_on_https),
        ];
        let wrong = switches.into_iter().filter(|(_, is_on)| *is_on);
        let problem = |(key, _): (&str, bool)| Problem {
            origin: self.origins.get(key).cloned(),
            key: key.to_owned(),
            given: Some("true".to_owned()),
            message: "must be false while proxy.trusted_networks names nobody who could be believed"
                .to_owned(),
        };
        wrong.map(problem).collect()
    }

    fn half_a_certificate(&self) -> Option<Problem> {
        let (key, other) = match (&self.tls.certificate_file, &self.tls.key_file) {
            (Some(_), None) => ("tls.key_file", "tls.certificate_file"),
            (None, Some(_)) => ("tls.certificate_file", "tls.key_file"),
            _ => return None,
        };
        Some(Problem {
            origin: self.origins.get(key).or_else(|| self.origins.get(other)).cloned(),
            key: key.to_owned(),
            given: Some("\"\"".to_owned()),
            message: format!("must be a path when {other} is one"),
        })
    }

    fn keys_for_nothing(&self) -> Option<Problem> {
        let is_for_nothing = self.access.keys_for_anybody && self.axes().identity == Identity::None;
        is_for_nothing.then(|| Problem {
            origin: self.origins.get("access.keys_for_anybody").cloned(),
            key: "access.keys_for_anybody".to_owned(),
            given: Some("true".to_owned()),
            message: "must be false while announce keys mean nothing (access.preset, access.identity)"
                .to_owned(),
        })
    }

    fn nothing_behind_a_face(&self) -> Option<Problem> {
        (self.compatibility.etracker && self.axes().are_open()).then(|| Problem {
            origin: self.origins.get("compatibility.etracker").cloned(),
            key: "compatibility.etracker".to_owned(),
            given: Some("true".to_owned()),
            message: "must be false while anybody may announce anything (access.preset, access.identity): nothing is kept then"
                .to_owned(),
        })
    }

    fn two_certificates(&self) -> Option<Problem> {
        let is_twice = self.tls.certificate_file.is_some() && !self.acme.domains.is_empty();
        is_twice.then(|| Problem {
            origin: self.origins.get("acme.domains").cloned(),
            key: "acme.domains".to_owned(),
            given: None,
            message: "must be empty when tls.certificate_file is a path: there is one certificate".to_owned(),
        })
    }

    fn no_port_for_the_challenge(&self) -> Option<Problem> {
        let is_asked = !self.acme.domains.is_empty() && self.acme.challenge == Challenge::Http01;
        let is_there = self.server.http || self.server.webtorrent;
        (is_asked && !is_there).then(|| Problem {
            origin: self.origins.get("acme.challenge").cloned(),
            key: "acme.challenge".to_owned(),
            given: Some("\"http-01\"".to_owned()),
            message: "must be \"tls-alpn-01\" when server.http and server.webtorrent are false: there is no port for the other one".to_owned(),
        })
    }
}
