//! The one table of settings. The fields of [`Config`], the reader, `evenkeel.example.toml` and `config show`
//! are all made from it: a setting is added by adding its entry here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use evenkeel_core::rules::standing as rank;
use evenkeel_core::{Policy, Uplinks, rules};
use evenkeel_wire::InfoHash;
use evenkeel_wire::forwarding::Header;
use ipnet::IpNet;
use tracing::Level;

use super::forms::{
    CHALLENGES, CLASSES, CONTACTS, DOMAINS, FORMATS, HEADERS, IDENTITIES, LEVELS, NETWORKS, PRESETS,
    REDIRECTS, TORRENTS, WHICH_TORRENTS,
};
use super::kind::{
    Addresses, Choice, DatabaseUrl, FilePath, HttpsUrl, Kind, Number, Password, Socket, Switch, Url, bounded,
    number,
};
use super::problem::Origin;
use super::read::Reader;
use super::{Format, PublicUrl};
use crate::access::{self, Preset};
use crate::acme::Challenge;
use crate::classes::Class;
use crate::database;
use crate::redirects::Redirect;
use crate::store::Hash32;

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Start,
    Reload,
}

/// One setting as it is told to people.
pub(super) struct Entry<'a> {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) allowed: String,
    pub(super) when: When,
    pub(super) value: String,
    pub(super) default: String,
    pub(super) origin: Option<&'a Origin>,
}

/// A section as it is told to people.
pub(super) struct Section<'a> {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) entries: Vec<Entry<'a>>,
}

/// Entries read: `/// doc`, `key: type = kind with its default and bounds, at Start | Reload;`.
macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $Section:ident {
            $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $kind:expr, at $when:ident; )+
        }
    )+) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section {
                $(
                    $(#[doc = $doc])+
                    #[doc = ""]
                    #[doc = concat!("A change takes effect at: ", stringify!($when), ".")]
                    pub $key: $type,
                )+
            }
        )+

        /// Every setting, checked: past this point each value is in its range.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( $(#[doc = $section_doc])+ pub $section: $Section, )+
            pub(super) origins: BTreeMap<&'static str, Origin>,
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $( $section: $Section { $( $key: Kind::<$type>::default(&$kind), )+ }, )+
                    origins: BTreeMap::new(),
                }
            }
        }

        /// Where a value came from is no part of what a configuration says.
        impl PartialEq for Config {
            fn eq(&self, other: &Self) -> bool {
                $( self.$section == other.$section )&&+
            }
        }

        impl Eq for Config {}

        /// Sections and their keys, in the order of the table.
        pub(super) const SECTIONS: &[(&str, &[&str])] =
            &[$( (stringify!($section), &[$( stringify!($key) ),+]) ),+];

        impl Config {
            /// Takes what the reader has for each key; what is left in the reader is unknown.
            pub(super) fn read_from(reader: &mut Reader<'_>) -> Self {
                let mut config = Self::default();
                $($(
                    let path = concat!(stringify!($section), ".", stringify!($key));
                    reader.take::<$type>(path, &$kind, &mut config.$section.$key);
                )+)+
                config
            }

            /// Keys whose values differ and take effect at a start only: a reload leaves them as they are.
            pub fn differs_at_start_only(&self, other: &Self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $($(
                    if When::$when == When::Start && self.$section.$key != other.$section.$key {
                        keys.push(concat!(stringify!($section), ".", stringify!($key)));
                    }
                )+)+
                keys
            }

            pub(super) fn describe(&self) -> Vec<Section<'_>> {
                vec![$( Section {
                    name: stringify!($section),
                    doc: &[$( $section_doc ),+],
                    entries: vec![$( {
                        let kind: &dyn Kind<$type> = &$kind;
                        Entry {
                            name: stringify!($key),
                            doc: &[$( $doc ),+],
                            allowed: kind.allowed(),
                            when: When::$when,
                            value: kind.write(&self.$section.$key),
                            default: kind.write(&kind.default()),
                            origin: self.origins.get(concat!(stringify!($section), ".", stringify!($key))),
                        }
                    } ),+],
                } ),+]
            }
        }
    };
}

const ANY: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6971);
/// Numbers for more there are none.
const IDENTITIES_MAX: u32 = Uplinks::KNOWN_MAX;
const UDP_RECEIVE_BUFFER_BYTES: Number = number(4 * 1024 * 1024, 0, 1024 * 1024 * 1024);

settings! {
    /// Where peers reach the tracker.
    server: Server {
        /// Port of HTTP and WebTorrent (TCP) and of UDP. 0 takes any free port and prints which.
        port: u16 = number(6969, 0, 65_535), at Start;
        /// IP addresses to listen on. IPv4 and IPv6 have sockets of their own: "::" means IPv6 only.
        addresses: Vec<IpAddr> = Addresses(ANY), at Start;
        /// Path of a Unix socket for HTTP and WebTorrent, beside the port; "" for none. Owner and group may connect to it,
        /// and are trusted as proxies are: they name the client, by proxy.header or proxy.protocol_on_unix.
        unix_socket: Option<PathBuf> = FilePath, at Start;
        /// Whether announces and scrapes are answered over HTTP.
        http: bool = Switch(true), at Start;
        /// Whether WebTorrent is: announces and scrapes over WebSockets, on the port of HTTP.
        webtorrent: bool = Switch(true), at Start;
        /// Whether announces and scrapes are answered over UDP.
        udp: bool = Switch(true), at Start;
        /// How the world reaches this tracker, such as `https://tracker.example.org`. It is the base of the
        /// URLs that are printed; "" prints the addresses that are listened on.
        public_url: Option<PublicUrl> = Url, at Start;
        /// Threads that answer, for HTTP with WebTorrent and for UDP each. 0 means one per core.
        workers: u32 = number(0, 0, 256), at Start;
        /// Microseconds that a UDP thread sleeps after a round of few packets, so that one wake-up answers several:
        /// less work, for answers that come so much later. 0 answers each at once.
        udp_nap_micros: u32 = number(100, 0, 10_000), at Start;
        /// Whether / shows a page that tells people what this is and which URLs to use.
        landing_page: bool = Switch(true), at Start;
        /// Whether pages of any origin may read the answers of /announce, /scrape and /stats.json (CORS).
        any_origin: bool = Switch(true), at Start;
        /// Paths whose callers are sent elsewhere with their query, over HTTP and https alike: path, status (301, 302 or
        /// 307), URL.
        redirects: Vec<Redirect> = REDIRECTS, at Reload;
    }
    /// TLS: https, and WebTorrent over wss, on a port of their own.
    tls: Tls {
        /// The certificate chain, in PEM form. "" leaves TLS off. The file is read again when it changes, and at SIGHUP.
        certificate_file: Option<PathBuf> = FilePath, at Start;
        /// The certificate's private key, in PEM form.
        key_file: Option<PathBuf> = FilePath, at Start;
        /// Port of https and wss, on server.addresses. 0 takes any free port and prints which.
        port: u16 = number(6970, 0, 65_535), at Start;
    }
    /// A certificate from an authority that issues them by itself (ACME), such as Let's Encrypt, in place of
    /// tls.certificate_file. It is renewed after two thirds of its life.
    acme: Acme {
        /// The names that it is for, which lead to this machine. [] leaves ACME off. To name any is to agree to the
        /// authority's terms of service.
        domains: Vec<String> = DOMAINS, at Start;
        /// E-mail addresses for the authority's warnings, told to it when the account is made.
        contacts: Vec<String> = CONTACTS, at Start;
        /// Where the authority is.
        directory_url: String = HttpsUrl("https://acme-v02.api.letsencrypt.org/directory"), at Start;
        /// A file of certificates (PEM) that the authority's own may be signed by, beside those of public authorities.
        certificate_authority_file: Option<PathBuf> = FilePath, at Start;
        /// How the authority sees that the names are ours: "http-01" by a request to port 80, which must reach server.port;
        /// "tls-alpn-01" by one to port 443, which must reach tls.port.
        challenge: Challenge = Choice { default: Challenge::Http01, words: CHALLENGES }, at Start;
    }
    /// Proxies in front of the tracker, whose word is taken for where a request comes from.
    proxy: Proxy {
        /// Networks of these proxies, and of nobody else: whoever sends from there can announce for any address. None is
        /// trusted by default.
        trusted_networks: Vec<IpNet> = NETWORKS, at Reload;
        /// The one header in which they name the client, and set or add to in each request. It is read from the right, over
        /// trusted addresses, to the first that is not. No other header is looked at.
        header: Option<Header> = Choice { default: Some(Header::XForwardedFor), words: HEADERS }, at Reload;
        /// Whether they begin connections to server.port with the PROXY protocol, version 1 or 2.
        protocol_on_http: bool = Switch(false), at Start;
        /// Whether they begin connections to tls.port with the PROXY protocol, version 1 or 2, before TLS.
        protocol_on_https: bool = Switch(false), at Start;
        /// Whether they begin connections to server.unix_socket with it.
        protocol_on_unix: bool = Switch(false), at Start;
    }
    /// What browsers say to each other through the tracker.
    webtorrent: WebTorrent {
        /// Whether an answer reaches only the socket whose offer its sender was handed, once. Otherwise it goes to whoever
        /// announces under the peer id that it names, as with the JavaScript tracker: strangers can answer for others.
        strict: bool = Switch(true), at Start;
    }
    /// Metrics and readiness, for the operator alone.
    admin: Admin {
        /// Whether the admin port is open.
        enabled: bool = Switch(true), at Start;
        /// IP address and port. Metrics ask for no password, and the API's token goes over it in clear: keep it on
        /// loopback or behind a firewall.
        /// Port 0 takes any free port and prints which.
        address: SocketAddr = Socket(ADMIN), at Start;
    }
    /// What a client is told.
    announce: Announce {
        /// Seconds between two announces of a peer. A peer is forgotten after two intervals and 300 seconds.
        interval_secs: u32 = bounded(rules::INTERVAL_SECS), at Reload;
        /// Seconds before which a client is asked not to announce again; at most interval_secs.
        min_interval_secs: u32 = bounded(rules::MIN_INTERVAL_SECS), at Reload;
        /// Seconds between two announces of a WebTorrent peer. Each brings fresh offers, which others take up
        /// within a minute.
        webtorrent_interval_secs: u32 = bounded(rules::WEBTORRENT_INTERVAL_SECS), at Reload;
        /// How far each reply's interval is drawn away from its mean, in percent up and down, so that
        /// clients do not march in step.
        interval_spread_percent: u32 = bounded(rules::INTERVAL_SPREAD_PERCENT), at Reload;
        /// Peers in a reply when the client names no number; at most numwant_max.
        numwant_default: u32 = bounded(rules::NUMWANT_DEFAULT), at Reload;
        /// Peers in a reply at most.
        numwant_max: u32 = bounded(rules::NUMWANT_MAX), at Reload;
        /// Whether peer ids are kept, for replies in dictionary form: 20 bytes of memory for each peer.
        keep_peer_ids: bool = Switch(false), at Start;
        /// Whether what peers report to have uploaded, downloaded and to lack is kept, for statistics and metrics:
        /// 24 bytes of memory for each peer.
        keep_reports: bool = Switch(false), at Start;
    }
    /// Which peers a caller is given.
    equilibrium: Equilibrium {
        /// How peers are chosen where nothing else is said below. "random" gives everybody the same chance; "rbs" rations
        /// busy seeders by tier, "rbs-aggressive" more so, "rbs-mild" less; the others are for comparison. One that
        /// needs announce.keep_reports switches it on, at the next start.
        policy: Policy = Choice { default: Policy::Random, words: &Policy::ALL }, at Reload;
        /// Networks whose callers have a tier of their own, from 0 (newest) to 3, and perhaps a policy: such as
        /// "192.0.2.0/24 3" or "2001:db8::/32 0 random". Of several the narrowest counts; everybody else is of tier 0.
        networks: Vec<Class> = CLASSES, at Reload;
        /// Torrents with a policy of their own, before all others: an info hash and a policy, with a space between.
        torrents: Vec<(InfoHash, Policy)> = TORRENTS, at Reload;
        /// Seconds after which a leecher may know more of the busy seeders.
        ration_step_secs: u32 = bounded(rules::RATION_STEP_SECS), at Reload;
        /// Seconds after which a leecher from which seeders were held back announces again.
        ration_interval_secs: u32 = bounded(rules::RATION_INTERVAL_SECS), at Reload;
        /// Percent of the swarms that run "random" all the same, so that it can be measured what the policy does. None while
        /// nobody earns anything (standing): nothing is measured then.
        held_out_percent: u32 = bounded(rules::HELD_OUT_PERCENT), at Reload;
        /// Whether the share of its best rate from which an uplink is busy is moved by what was measured: up by 2 percent a day
        /// while everybody surely takes 3 percent longer by the policy than without it, down again while it surely costs nothing.
        protects_mean: bool = Switch(true), at Reload;
    }
    /// What users and announce keys earn by what they give: tiers, for the policies above.
    standing: Standing {
        /// Whether it is added up what whoever shows a passkey or an announce key earns. Reports are kept for it, as by
        /// announce.keep_reports. It means nothing while nobody is asked who they are (access.identity).
        enabled: bool = Switch(true), at Start;
        /// Whether networks earn something, too (IPv4 address, IPv6 /56), of whoever shows nothing: tier 2 at most, and only
        /// until the next start.
        of_networks: bool = Switch(false), at Start;
        /// Users and announce keys that earn something: the first so many of the database, and those that come later.
        identities_max: u32 = number(1_000_000, 1, IDENTITIES_MAX), at Start;
        /// Seconds from one time to the next that what was earned is written to the database. A crash costs no more than that,
        /// and what was not settled yet.
        keep_secs: u32 = number(60, 1, 3600), at Reload;
        /// Seconds after which seeding counts half.
        seeding_half_life_secs: u32 = bounded(rank::SEEDING_HALF_LIFE_SECS), at Reload;
        /// Seconds after which bytes and snatches count half.
        trading_half_life_secs: u32 = bounded(rank::TRADING_HALF_LIFE_SECS), at Reload;
        /// Seconds that a snatch has to be seeded to be kept in full.
        kept_after_secs: u32 = bounded(rank::KEPT_AFTER_SECS), at Reload;
        /// Seconds from one evaluation of an identity to its next.
        evaluation_secs: u32 = bounded(rank::EVALUATION_SECS), at Reload;
        /// Seconds within which an identity must have announced to be compared with.
        active_secs: u32 = bounded(rank::ACTIVE_SECS), at Reload;
        /// Seconds of a bin, in which what a swarm's members say they sent is held against what others say they got.
        bin_secs: u32 = bounded(rank::BIN_SECS), at Start;
        /// Weight of recent seeding: size times time times scarcity.
        seeding_weight: u32 = bounded(rank::SEEDING_WEIGHT), at Reload;
        /// Weight of the average size that is seeded.
        average_weight: u32 = bounded(rank::AVERAGE_WEIGHT), at Reload;
        /// Weight of the time in which anything is seeded.
        time_weight: u32 = bounded(rank::TIME_WEIGHT), at Reload;
        /// Weight of the ratio of credited and received bytes.
        ratio_weight: u32 = bounded(rank::RATIO_WEIGHT), at Reload;
        /// Weight of the share of snatches that was kept.
        kept_weight: u32 = bounded(rank::KEPT_WEIGHT), at Reload;
        /// GiB times hours that are half of a full mark for seeding. The community's median counts in its place, within a
        /// quarter and four times of it, and so with the next two.
        seeding_half_gib_hours: u32 = bounded(rank::SEEDING_HALF_GIB_HOURS), at Reload;
        /// Average MiB seeded that are half of a full mark.
        average_half_mib: u32 = bounded(rank::AVERAGE_HALF_MIB), at Reload;
        /// Seconds of seeding that are half of a full mark.
        time_half_secs: u32 = bounded(rank::TIME_HALF_SECS), at Reload;
        /// Percent of the highest score that are enough for tier 1, however good the others are.
        tier_1_score: u32 = bounded(rank::TIER_1_SCORE), at Reload;
        /// The same of tier 2.
        tier_2_score: u32 = bounded(rank::TIER_2_SCORE), at Reload;
        /// The same of tier 3.
        tier_3_score: u32 = bounded(rank::TIER_3_SCORE), at Reload;
        /// Percent of the active identities above which somebody is of tier 1, if that takes less.
        tier_1_quantile: u32 = bounded(rank::TIER_1_QUANTILE), at Reload;
        /// The same of tier 2.
        tier_2_quantile: u32 = bounded(rank::TIER_2_QUANTILE), at Reload;
        /// The same of tier 3.
        tier_3_quantile: u32 = bounded(rank::TIER_3_QUANTILE), at Reload;
        /// Percent of the highest score that each tier takes at least more than the one below.
        tier_step: u32 = bounded(rank::TIER_STEP), at Reload;
        /// Percent of the highest score that somebody has to be beyond a threshold.
        hysteresis: u32 = bounded(rank::HYSTERESIS), at Reload;
        /// MiB of credited upload that prove that somebody who says it seeds does.
        proof_mib: u32 = bounded(rank::PROOF_MIB), at Reload;
        /// Percent of an equal share of what its swarms took that prove the same, if that is more.
        proof_share: u32 = bounded(rank::PROOF_SHARE), at Reload;
        /// Seconds for which a proof holds where nobody wants anything.
        proof_secs: u32 = bounded(rank::PROOF_SECS), at Reload;
        /// Seconds of seeding where others are served, without credit, after which a proof is doubted.
        barren_secs: u32 = bounded(rank::BARREN_SECS), at Reload;
        /// Seconds after that until it is worth nothing.
        doubt_secs: u32 = bounded(rank::DOUBT_SECS), at Reload;
        /// MiB that a swarm must take in a bin for its seeders to have been wanted.
        demand_mib: u32 = bounded(rank::DEMAND_MIB), at Reload;
        /// Percent of what was taken and not claimed yet that stand for the bin after.
        bank_percent: u32 = bounded(rank::BANK_PERCENT), at Reload;
        /// Percent of what was claimed and not credited yet that are claimed again in the bin after.
        pending_percent: u32 = bounded(rank::PENDING_PERCENT), at Reload;
        /// Percent more than was taken that may have been sent: what the protocol takes, and what is sent twice.
        tolerance_percent: u32 = bounded(rank::TOLERANCE_PERCENT), at Reload;
        /// MiB more than was taken that may have been sent in a bin; never more than a quarter of what was taken.
        slack_mib: u32 = bounded(rank::SLACK_MIB), at Reload;
        /// Percent of the usual share of claims, the median of those who claim, that must have been credited to an identity for
        /// anything of its score to count.
        trust_from: u32 = bounded(rank::TRUST_FROM), at Reload;
        /// Percent from which all of it counts.
        trust_full: u32 = bounded(rank::TRUST_FULL), at Reload;
        /// Percent of what an identity says to have sent that nobody received, for certain, from which on it is known to
        /// exaggerate. Whoever is new is kept out of tiers 2 and 3 when it likely makes up more than a third of that, others when
        /// it is more than two thirds, and they are credited less than is usual; 100 lets everything pass.
        exaggerated_most: u32 = bounded(rank::EXAGGERATED_MOST), at Reload;
        /// Identities that must name one size of a torrent before it is believed.
        size_quorum: u32 = bounded(rank::SIZE_QUORUM), at Reload;
        /// MiB that stand for the size of a torrent as long as it is not known.
        size_unknown_mib: u32 = bounded(rank::SIZE_UNKNOWN_MIB), at Reload;
        /// Torrents of identities that are watched at once.
        watched_max: u32 = bounded(rank::WATCHED_MAX), at Start;
        /// Swarms that are watched at once.
        watched_swarms_max: u32 = bounded(rank::WATCHED_SWARMS_MAX), at Start;
        /// Snatches that are remembered until they are kept.
        snatches_max: u32 = bounded(rank::SNATCHES_MAX), at Start;
    }
    /// What strangers can make grow, and how far.
    limits: Limits {
        /// Peers that one swarm may hold; above it the least recently announced peer makes room.
        peers_per_swarm_max: u32 = bounded(rules::PEERS_PER_SWARM_MAX), at Reload;
        /// Peers that one address (IPv4 address, IPv6 /64) may have in one swarm.
        peers_per_address_and_swarm_max: u32 = bounded(rules::PEERS_PER_ADDRESS_AND_SWARM_MAX), at Reload;
        /// Peers that one address (IPv4 address, IPv6 /64) may have in all swarms together.
        peers_per_address_max: u32 = bounded(rules::PEERS_PER_ADDRESS_MAX), at Reload;
        /// Whether the limits per address hold for private, loopback and other non-global addresses, too.
        limit_local_addresses: bool = Switch(false), at Reload;
        /// Clients that one user may have on one torrent, unless the user's class says otherwise. One that announces over
        /// IPv4 and IPv6 is one.
        clients_per_user_and_torrent_max: u32 = bounded(rules::CLIENTS_PER_USER_AND_TORRENT_MAX), at Reload;
        /// Addresses (IPv4 address, IPv6 /64) that one user may announce from at once, over all torrents, unless the user's
        /// class says otherwise.
        addresses_per_user_max: u32 = bounded(rules::ADDRESSES_PER_USER_MAX), at Reload;
        /// Sessions of users that are remembered; above that, what a new one moves does not count.
        sessions_max: u32 = bounded(rules::SESSIONS_MAX), at Reload;
        /// Swarms that the tracker may hold.
        swarms_max: u32 = bounded(rules::SWARMS_MAX), at Reload;
        /// Peers that the tracker may hold.
        peers_max: u32 = bounded(rules::PEERS_MAX), at Reload;
        /// HTTP connections and WebSockets at a time. 0 means as many as the limit of open files allows. From 95 % on the
        /// longest idle one ends for each that comes.
        connections_max: u32 = number(0, 0, 10_000_000), at Start;
        /// HTTP connections and WebSockets at a time from one address (IPv4 address, IPv6 /64), if it is a global one.
        connections_per_address_max: u32 = number(64, 1, 65_535), at Reload;
        /// Requests on one HTTP connection, which is closed after the last of them.
        requests_per_connection_max: u32 = number(1000, 1, 1_000_000), at Reload;
        /// Seconds that a client has for the head of a request.
        head_timeout_secs: u32 = number(10, 1, 120), at Reload;
        /// Seconds that an HTTP connection may be idle between two requests.
        idle_timeout_secs: u32 = number(60, 1, 3600), at Reload;
        /// Seconds that a WebSocket may be silent before it is closed; after half of them it is asked whether
        /// it is still there.
        websocket_idle_timeout_secs: u32 = number(120, 2, 3600), at Reload;
        /// Messages that a WebSocket may send in a minute before it is closed. Like other limits of an address, it holds for
        /// global addresses, and for all with limit_local_addresses.
        websocket_messages_per_minute_max: u32 = number(6000, 10, 10_000_000), at Reload;
        /// Torrents up to which a scrape that names none is answered with all of them. 0 answers none: listing
        /// everything is dear, and tells everybody what is there.
        full_scrape_torrents_max: u32 = number(0, 0, 100_000), at Reload;
        /// Bytes that the system keeps for each UDP socket until a worker reads them. More bridges longer
        /// bursts. 0 leaves the system's own size.
        udp_receive_buffer_bytes: u32 = UDP_RECEIVE_BUFFER_BYTES, at Start;
    }
    /// What is written to standard error.
    log: Log {
        /// The least important lines that are written.
        level: Level = Choice { default: Level::INFO, words: LEVELS }, at Reload;
        /// Text for people, or one JSON object on each line.
        format: Format = Choice { default: Format::Human, words: FORMATS }, at Start;
    }
    /// Which torrents are served, and to whom.
    access: Access {
        /// "open" serves any torrent to anybody; "listed" listed torrents to anybody; "semi-private" too, and knows those
        /// who show a passkey or an announce key; "private" serves listed torrents to those alone.
        preset: Preset = Choice { default: Preset::Open, words: PRESETS }, at Start;
        /// Which torrents are served: "any" of them, those that are "listed", or "all-but-denied". "" is as the preset
        /// says.
        torrents: Option<access::Torrents> = Choice { default: None, words: WHICH_TORRENTS }, at Start;
        /// Whether a passkey or an announce key in the announce URL means nothing ("none"), is "optional" or "required".
        /// "" is as the preset says.
        identity: Option<access::Identity> = Choice { default: None, words: IDENTITIES }, at Start;
        /// Whether anybody is given an announce key, and its announce URLs, at /key. One that nobody uses for 90 days is
        /// removed.
        keys_for_anybody: bool = Switch(false), at Start;
        /// Keys that are given so in an hour, to all together; 5 of them to one address (IPv4 address, IPv6 /64).
        keys_per_hour_max: u32 = number(100, 1, 1_000_000), at Start;
    }
    /// Where users, torrents and the books are kept. Nothing is kept while anybody may announce anything.
    database: Database {
        /// A PostgreSQL server, version 14 or newer. "" means SQLite, in the file evenkeel.sqlite of the state
        /// directory. With a password in it, better given as EVENKEEL_DATABASE__URL.
        url: Option<database::Url> = DatabaseUrl, at Start;
        /// A file of certificates (PEM) that the server's may be signed by, beside those of public authorities.
        certificate_authority_file: Option<PathBuf> = FilePath, at Start;
        /// Bookings that may wait in memory while the database is away: one for each client of a user on a torrent, of
        /// about 250 bytes. Beyond it bookings are counted and not credited.
        bookings_waiting_max: u32 = number(500_000, 1_000, 50_000_000), at Start;
    }
    /// Faces of other trackers, for whoever moves from one.
    compatibility: Compatibility {
        /// Whether the admin port answers what etracker answered below /api, and etracker's environment variables count.
        /// Where nothing else is said, access.preset is "private" then, and access.keys_for_anybody true.
        etracker: bool = Switch(false), at Start;
        /// The header Authorization of requests to /api that change something; "" refuses them all. Better given as
        /// ETRACKER_AUTHORIZATION.
        etracker_authorization: Option<Hash32> = Password, at Start;
    }
    /// What outlives a restart.
    state: State {
        /// Where keys are kept. "" means $STATE_DIRECTORY (set by systemd), else $XDG_STATE_HOME/evenkeel,
        /// else ./data.
        directory: Option<PathBuf> = FilePath, at Start;
    }
}
