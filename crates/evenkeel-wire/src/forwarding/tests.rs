use super::*;

/// Trusts 10.0.0.0/8 and ::1.
fn is_trusted(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

fn meant(header: Header, lines: &[&str]) -> Option<String> {
    let name = header.name();
    let lines: Vec<String> =
        lines.iter().map(|line| format!("{name}: {line}\r\nother: 9.9.9.9\r\n")).collect();
    let head = format!("{}\r\n", lines.concat());
    client(head.as_bytes(), header, is_trusted).map(|ip| ip.to_string())
}

#[test]
fn the_right_most_address_that_is_not_trusted_is_meant() {
    for (lines, expected) in [
        (&["192.0.2.1"][..], Some("192.0.2.1")),
        (&["203.0.113.9, 192.0.2.1"], Some("192.0.2.1")),
        (&["203.0.113.9,192.0.2.1,10.1.1.1 , 10.2.2.2"], Some("192.0.2.1")),
        (&["203.0.113.9", "192.0.2.1"], Some("192.0.2.1")),
        (&["192.0.2.1", "10.1.1.1"], Some("192.0.2.1")),
        (&["10.3.3.3, 10.1.1.1"], Some("10.3.3.3")),
        (&["192.0.2.1:5678"], Some("192.0.2.1")),
        (&["2001:db8::1"], Some("2001:db8::1")),
        (&["[2001:db8::1]"], Some("2001:db8::1")),
        (&["[2001:db8::1]:80"], Some("2001:db8::1")),
        (&["::ffff:192.0.2.1"], Some("192.0.2.1")),
        (&["203.0.113.9, 2001:db8::1, ::1"], Some("2001:db8::1")),
        (&["unknown"], None),
        (&[""], None),
        (&["192.0.2.1, "], None),
        (&["192.0.2.1, unknown, 10.1.1.1"], Some("10.1.1.1")),
        (&["192.0.2.1 203.0.113.9"], None),
        (&["192.0.2.1\u{fc}"], None),
        (&[], None),
    ] {
        assert_eq!(meant(Header::XForwardedFor, lines).as_deref(), expected, "{lines:?}");
    }
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    for (lines, expected) in [
        (&["for=192.0.2.1"][..], Some("192.0.2.1")),
        (&["For=\"192.0.2.1:80\";proto=https; by=203.0.113.43"], Some("192.0.2.1")),
        (&["for=\"[2001:db8:cafe::17]:4711\""], Some("2001:db8:cafe::17")),
        (&["proto=http;for=203.0.113.9, for=192.0.2.1"], Some("192.0.2.1")),
        (&["for=192.0.2.1, for=10.1.1.1"], Some("192.0.2.1")),
        (&["for=203.0.113.9", "for=192.0.2.1;host=\"a,b\""], Some("192.0.2.1")),
        (&["for=\"203.0.113.9, for=192.0.2.1"], Some("192.0.2.1")),
        (&["for=203.0.113.9;host=\", for=192.0.2.1"], Some("192.0.2.1")),
        (&["for=203.0.113.9, for=\"_hidden\""], None),
        (&["for=unknown"], None),
        (&["by=192.0.2.1"], None),
        (&["192.0.2.1"], None),
        (&["for=192.0.2.1;for=203.0.113.9"], None),
        (&["for=\"192.0.2.1"], None),
        (&["for="], None),
    ] {
        assert_eq!(meant(Header::Forwarded, lines).as_deref(), expected, "{lines:?}");
    }
}

#[test]
fn headers_of_one_address_hold_one_address() {
    for header in [Header::XRealIp, Header::CfConnectingIp] {
        assert_eq!(meant(header, &["192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(meant(header, &["2001:db8::1"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(meant(header, &["203.0.113.9, 192.0.2.1"]), None);
        // What was there before the proxy added its own.
        assert_eq!(meant(header, &["203.0.113.9", "192.0.2.1"]).as_deref(), Some("192.0.2.1"));
    }
}

#[test]
fn no_header_stands_in_for_another() {
    let lines = b"X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.2\r\nForwarded: for=192.0.2.3\r\n\r\n";
    assert_eq!(client(lines, Header::CfConnectingIp, is_trusted), None);
    assert_eq!(client(lines, Header::XRealIp, is_trusted), Some([192, 0, 2, 2].into()));
    assert_eq!(client(b"", Header::XRealIp, is_trusted), None);
}
