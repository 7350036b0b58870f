//! `evenkeel dns-record`: the TXT record by which a host says where its trackers are (BEP 34).

use crate::config::{Config, PublicUrl};

/// The record for a configuration; the first entry is the preferred one.
///
/// A client that finds it asks these ports whatever the torrent says, and none when it is `DENY ALL`.
pub(crate) fn record(config: &Config) -> String {
    let mut entries = Vec::new();
    // UDP first: a few packets cost both sides less than a connection.
    if config.server.udp {
        entries.push(format!("UDP:{}", config.server.port));
    }
    if config.server.http {
        entries.push(format!("TCP:{}", http_port(config)));
    }
    let text = if entries.is_empty() { "DENY ALL".to_owned() } else { entries.join(" ") };
    match &config.server.public_url {
        Some(public) => format!("{}. IN TXT \"BITTORRENT {text}\"\n", public.host()),
        None => format!("BITTORRENT {text}\n"),
    }
}

/// Behind a public URL of HTTP, its port is the one that the world dials.
fn http_port(config: &Config) -> u16 {
    let public = config.server.public_url.as_ref().map(PublicUrl::as_str);
    let scheme_port = match public {
        Some(url) if url.starts_with("https://") => Some(443),
        Some(url) if url.starts_with("http://") => Some(80),
        _ => None,
    };
    let named = public.and_then(|url| {
        let authority = url.split("://").nth(1)?.split('/').next()?;
        let (_, port) = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?;
        port.parse().ok()
    });
    match scheme_port {
        Some(port) => named.unwrap_or(port),
        None => config.server.port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(public: &str, http: bool, udp: bool) -> String {
        let mut config = Config::default();
        config.server.public_url = PublicUrl::parse(public);
        config.server.http = http;
        config.server.udp = udp;
        record(&config)
    }

    #[test]
    fn the_record_has_the_form_of_bep_34() {
        for (public, http, udp, expected) in [
            ("", true, true, "BITTORRENT UDP:6969 TCP:6969\n"),
            ("", true, false, "BITTORRENT TCP:6969\n"),
            ("", false, true, "BITTORRENT UDP:6969\n"),
            ("https://t.example.org", true, true, "t.example.org. IN TXT \"BITTORRENT UDP:6969 TCP:443\"\n"),
            ("http://t.example.org", true, true, "t.example.org. IN TXT \"BITTORRENT UDP:6969 TCP:80\"\n"),
            ("http://t.example.org:8080/x", true, false, "t.example.org. IN TXT \"BITTORRENT TCP:8080\"\n"),
            (
                "udp://t.example.org:7000",
                true,
                true,
                "t.example.org. IN TXT \"BITTORRENT UDP:6969 TCP:6969\"\n",
            ),
        ] {
            assert_eq!(record_of(public, http, udp), expected, "{public}");
        }
    }
}
