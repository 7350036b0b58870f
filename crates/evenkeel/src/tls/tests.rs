use std::fs;

use super::*;

/// A certificate for localhost and its key, in PEM form.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let told = || Tls::of_files(&certificate, &key).map(drop).unwrap_err().to_string();
    assert!(told().contains("chain.pem"));
    let ((chain, secret), (_, foreign)) = (pair(), pair());
    for (chain, secret, names) in [
        ("", &*secret, "chain.pem holds no certificate"),
        (&*secret, &*secret, "chain.pem holds no certificate"),
        (&*chain, "", "key.pem holds no private key"),
        (&*chain, &*foreign, "cannot be used together"),
    ] {
        fs::write(&certificate, chain).unwrap();
        fs::write(&key, secret).unwrap();
        assert!(told().contains(names), "{}", told());
    }
    fs::write(&key, &secret).unwrap();
    assert!(Tls::of_files(&certificate, &key).is_ok());
}

#[test]
fn files_are_read_when_they_change_and_bad_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let write = |(chain, secret): &(String, String)| {
        fs::write(&certificate, chain).unwrap();
        fs::write(&key, secret).unwrap();
    };
    let (old, new) = (pair(), pair());
    write(&old);
    let tls = Tls::of_files(&certificate, &key).unwrap();
    let shown = || tls.shown.current().unwrap().key.end_entity_cert().unwrap().to_vec();
    let first = shown();
    tls.renew(Renew::IfChanged);
    assert_eq!(tls.shown.renewals(), (0, 0));
    fs::write(&certificate, "nonsense").unwrap();
    tls.renew(Renew::IfChanged);
    tls.renew(Renew::IfChanged);
    assert_eq!((tls.shown.renewals(), shown() == first), ((0, 1), true), "told once");
    fs::remove_file(&certificate).unwrap();
    tls.renew(Renew::IfChanged);
    assert_eq!((tls.shown.renewals(), shown() == first), ((0, 2), true));
    write(&new);
    tls.renew(Renew::IfChanged);
    assert_eq!((tls.shown.renewals(), shown() == first), ((1, 2), false));
    tls.renew(Renew::Always);
    assert_eq!(tls.shown.renewals(), (2, 2));
}
