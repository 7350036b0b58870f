use super::*;

const V1: &[u8] = b"d6:lengthi5e4:name4:film12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";

fn file(info: &[u8]) -> Vec<u8> {
    [b"d8:announce18:http://old/passkey13:announce-listll5:http:ee7:comment2:hi4:info".as_slice(), info, b"e"]
        .concat()
}

fn v2(name: &str, tree: &str) -> Vec<u8> {
    let name = format!("{}:{name}", name.len());
    format!("d9:file tree{tree}12:meta versioni2e4:name{name}12:piece lengthi16384ee").into_bytes()
}

fn leaf(bytes: u64) -> String {
    let root = if bytes > 0 { format!("11:pieces root32:{}", "r".repeat(32)) } else { String::new() };
    format!("d0:d6:lengthi{bytes}e{root}ee")
}

fn of(info: &[u8]) -> Result<(String, u64, bool, bool), Fault> {
    let bytes = file(info);
    let read = TorrentFile::read(&bytes)?;
    Ok((read.name, read.size_bytes, read.info_hash_v1.is_some(), read.info_hash_v2.is_some()))
}

#[test]
fn each_version_is_read_and_a_hybrid_is_both() {
    assert_eq!(of(V1), Ok(("film".to_owned(), 5, true, false)));
    let tree = format!("d1:a{}1:bd1:c{}1:d{}ee", leaf(7), leaf(0), leaf(5));
    assert_eq!(of(&v2("two", &tree)), Ok(("two".to_owned(), 12, false, true)));
    let files =
        "ld6:lengthi7e4:pathl1:aeed4:attr1:p6:lengthi9e4:pathl4:.pad1:9eed6:lengthi5e4:pathl1:b1:ceee";
    let hybrid = format!(
        "d9:file treed1:a{}1:bd1:c{}ee5:files{files}12:meta versioni2e4:name1:h12:piece lengthi16e6:pieces40:{}e",
        leaf(7),
        leaf(5),
        "p".repeat(40)
    );
    assert_eq!(of(hybrid.as_bytes()), Ok(("h".to_owned(), 12, true, true)));
}

#[test]
fn the_info_dictionary_stays_as_it_was_and_nothing_of_elsewhere_does() {
    let bytes = file(V1);
    let read = TorrentFile::read(&bytes).unwrap();
    let kept = read.announced_at(None);
    assert_eq!(kept, [b"d7:comment2:hi4:info".as_slice(), V1, b"e"].concat());
    let read = TorrentFile::read(&kept).unwrap();
    let own = read.announced_at(Some("http://new/k/announce"));
    assert_eq!(
        own,
        [b"d8:announce21:http://new/k/announce7:comment2:hi4:info".as_slice(), V1, b"e"].concat()
    );
    let again = TorrentFile::read(&own).unwrap();
    assert_eq!(again.info_hash_v1, Some(sha1::Sha1::digest(V1).into()));
}

#[test]
fn what_is_no_torrent_is_refused_by_the_field_that_is_wrong() {
    let v1 = |text: &str, instead: &str| {
        String::from_utf8(V1.to_vec()).unwrap().replace(text, instead).into_bytes()
    };
    let long = "x".repeat(1001);
    for (info, field) in [
        (b"le".to_vec(), "info"),
        (b"de".to_vec(), "info.name"),
        (v1("4:name4:film", ""), "info.name"),
        (v1("4:film", "0:"), "info.name"),
        (v1("4:film", "i5e"), "info.name"),
        (v1("4:film", "4:f\0lm"), "info.name"),
        (v1("4:film", &format!("1001:{long}")), "info.name"),
        (v1("12:piece lengthi16384e", ""), "info.piece length"),
        (v1("i16384e", "i0e"), "info.piece length"),
        (v1("i16384e", "i-1e"), "info.piece length"),
        (v1("20:aaaaaaaaaaaaaaaaaaaa", "3:aaa"), "info.pieces"),
        (v1("20:aaaaaaaaaaaaaaaaaaaa", "0:"), "info.pieces"),
        (v1("6:pieces20:aaaaaaaaaaaaaaaaaaaa", ""), "info.pieces"),
        (v1("i5e", "i-5e"), "info.length"),
        (v1("i5e", "i18446744073709551615e"), "info.length"),
        (v1("6:lengthi5e", ""), "info.length"),
        (v1("6:lengthi5e", "5:filesle6:lengthi5e"), "info.length"),
        (v1("6:lengthi5e", "5:filesli5ee"), "info.files"),
        (v1("6:lengthi5e", "5:filesld6:lengthi5eee"), "info.files"),
        (v1("6:lengthi5e", "5:filesld6:lengthi5e4:pathli5eeee"), "info.files"),
        (
            v1("6:lengthi5e", "5:filesld6:lengthi9223372036854775807e4:pathl1:aeed6:lengthi1e4:pathl1:beee"),
            "info.files",
        ),
        (v2("n", "i5e"), "info.file tree"),
        (v2("n", "d1:ai5ee"), "info.file tree"),
        (v2("n", "d1:ad0:d6:lengthi5eeee"), "info.file tree"),
        (v2("n", "d1:ad0:deee"), "info.file tree"),
        (b"d12:meta versioni2e4:name1:n12:piece lengthi16384ee".to_vec(), "info.file tree"),
        (b"d12:meta versioni3e4:name1:n12:piece lengthi16384ee".to_vec(), "info.meta version"),
    ] {
        let fault = of(&info).unwrap_err();
        assert_eq!(fault.field, field, "{}: {fault}", info.escape_ascii());
    }
    for bytes in [&b""[..], b"i5e", b"d", b"d4:infod", b"d1:b1:x1:a1:ye", b"d1:a1:x1:a1:ye", b"4:info"] {
        assert_eq!(TorrentFile::read(bytes).unwrap_err().field, "torrent", "{}", bytes.escape_ascii());
    }
    assert_eq!(TorrentFile::read(b"d8:announce1:xe").unwrap_err().field, "info");
    let behind = [&file(V1)[..], b"x"].concat();
    assert_eq!(TorrentFile::read(&behind).unwrap_err().field, "torrent");
    let whole = file(V1);
    for len in 0..whole.len() {
        assert!(TorrentFile::read(&whole[..len]).is_err(), "torn after {len} bytes");
    }
}

#[test]
fn a_hybrid_whose_halves_differ_is_refused() {
    let hybrid = format!(
        "d9:file treed1:a{}e6:lengthi5e12:meta versioni2e4:name1:h12:piece lengthi16384e6:pieces20:{}e",
        leaf(6),
        "p".repeat(20)
    );
    assert_eq!(of(hybrid.as_bytes()).unwrap_err().field, "info.file tree");
}

#[test]
fn more_files_and_deeper_folders_than_anybody_has_are_refused() {
    let entry = "d6:lengthi0e4:pathl1:aee";
    let files =
        format!("d5:filesl{}e4:name1:n12:piece lengthi16384e6:pieces0:e", entry.repeat(FILES_MAX + 1));
    assert_eq!(of(files.as_bytes()).unwrap_err().field, "info.files");
    let names: String = (0..=FILES_MAX).map(|number| format!("6:{number:06}{}", leaf(0))).collect();
    assert_eq!(of(&v2("n", &format!("d{names}e"))).unwrap_err().field, "info.file tree");

    let folders = |depth: usize| format!("{}{}{}", "d1:a".repeat(depth), leaf(5), "e".repeat(depth));
    assert!(of(&v2("n", &folders(55))).is_ok());
    assert_eq!(of(&v2("n", &folders(100))).unwrap_err().field, "torrent");
    let deep = [b"d4:info".as_slice(), &b"l".repeat(5_000_000)].concat();
    assert_eq!(TorrentFile::read(&deep).unwrap_err().field, "torrent");
}

#[test]
fn a_changed_byte_anywhere_is_survived_and_what_is_taken_still_hashes() {
    let hybrid = format!(
        "d9:file treed1:a{}e6:lengthi5e12:meta versioni2e4:name1:h12:piece lengthi16384e6:pieces20:{}e",
        leaf(5),
        "p".repeat(20)
    );
    let whole = file(hybrid.as_bytes());
    assert!(TorrentFile::read(&whole).is_ok());
    for at in 0..whole.len() {
        for byte in [b'0', b'9', b'd', b'e', b'i', b'l', b':', b'-', 0, 255] {
            let mut changed = whole.clone();
            changed[at] = byte;
            let Ok(read) = TorrentFile::read(&changed) else { continue };
            let own = read.announced_at(Some("http://t/k/announce"));
            let again = TorrentFile::read(&own).unwrap();
            assert_eq!((again.info_hash_v1, again.info_hash_v2), (read.info_hash_v1, read.info_hash_v2));
            assert!(again.size_bytes <= i64::MAX as u64);
        }
    }
}
