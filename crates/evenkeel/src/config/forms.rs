//! Words and texts that settings may be, by name.

use std::net::IpAddr;

use evenkeel_core::Policy;
use evenkeel_wire::InfoHash;
use evenkeel_wire::forwarding::Header;
use ipnet::IpNet;
use tracing::Level;

use super::Format;
use super::kind::Texts;
use crate::access::{self, Preset};
use crate::acme::Challenge;
use crate::classes::Class;
use crate::redirects::Redirect;

/// Words for the levels of the log, from few lines to many.
pub(crate) const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];
pub(super) const CLASSES: Texts<Class> = Texts {
    read: |text| text.parse().ok(),
    write: Class::to_string,
    form: "a network and a tier from 0 to 3, and perhaps a policy: \"192.0.2.0/24 3\"",
    max: 256,
};
pub(super) const TORRENTS: Texts<(InfoHash, Policy)> = Texts {
    read: |text| {
        let (info_hash, policy) = text.split_once(' ')?;
        Some((info_hash.parse().ok()?, policy.parse().ok()?))
    },
    write: |(info_hash, policy)| format!("{info_hash} {policy}"),
    form: "an info hash of 40 hex digits and a policy, with a space between",
    max: 10_000,
};
pub(super) const NETWORKS: Texts<IpNet> = Texts {
    read: |text| match text.parse::<IpNet>() {
        // Bits behind the prefix are a slip of the pen: is it the host that is meant, or the network?
        Ok(network) => (network.trunc() == network).then_some(network),
        Err(_) => text.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical())),
    },
    write: IpNet::to_string,
    form: "a network or one address: \"192.0.2.0/24\", \"2001:db8::/32\", \"127.0.0.1\"",
    max: 256,
};
pub(super) const REDIRECTS: Texts<Redirect> = Texts {
    read: |text| text.parse().ok(),
    write: Redirect::to_string,
    form: "a path, a status and a URL: \"/announce 307 https://new.example.org/announce\"",
    max: 64,
};
pub(super) const DOMAINS: Texts<String> = Texts {
    read: |text| is_name(text).then(|| text.to_ascii_lowercase()),
    write: String::clone,
    form: "a host name of two or more parts: \"tracker.example.org\"",
    max: 100,
};
pub(super) const CONTACTS: Texts<String> = Texts {
    read: |text| {
        let (mailbox, host) = text.rsplit_once('@')?;
        let is_mailbox =
            !mailbox.is_empty() && mailbox.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
        (is_mailbox && is_name(host)).then(|| text.to_owned())
    },
    write: String::clone,
    form: "an e-mail address",
    max: 10,
};
pub(super) const CHALLENGES: &[(&str, Challenge)] =
    &[("http-01", Challenge::Http01), ("tls-alpn-01", Challenge::TlsAlpn01)];
pub(super) const HEADERS: &[(&str, Option<Header>)] = &[
    ("x-forwarded-for", Some(Header::XForwardedFor)),
    ("forwarded", Some(Header::Forwarded)),
    ("x-real-ip", Some(Header::XRealIp)),
    ("cf-connecting-ip", Some(Header::CfConnectingIp)),
    ("none", None),
];
pub(super) const PRESETS: &[(&str, Preset)] = &[
    ("open", Preset::Open),
    ("listed", Preset::Listed),
    ("semi-private", Preset::SemiPrivate),
    ("private", Preset::Private),
];
pub(super) const WHICH_TORRENTS: &[(&str, Option<access::Torrents>)] = &[
    ("", None),
    ("any", Some(access::Torrents::Any)),
    ("listed", Some(access::Torrents::Listed)),
    ("all-but-denied", Some(access::Torrents::AllButDenied)),
];
pub(super) const IDENTITIES: &[(&str, Option<access::Identity>)] = &[
    ("", None),
    ("none", Some(access::Identity::None)),
    ("optional", Some(access::Identity::Optional)),
    ("required", Some(access::Identity::Required)),
];
pub(super) const FORMATS: &[(&str, Format)] = &[("human", Format::Human), ("json", Format::Json)];

/// Whether a text is a host name of more than one part, and no address.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_address = last.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label) && !is_address
}
