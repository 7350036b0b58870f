//! The kinds of value that a setting may be: what is allowed, how it is read, how it is written.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use evenkeel_core::rules::Bounds;
use toml::de::DeValue;

use super::PublicUrl;
use crate::store::Hash32;
use crate::{control, database};

/// What the table says about one setting with values of type `T`.
pub(super) trait Kind<T> {
    /// What holds when nothing is said.
    fn default(&self) -> T;
    /// The value, if it is one that is allowed.
    fn read(&self, value: &DeValue<'_>) -> Option<T>;
    /// Completes the sentence "must be ...".
    fn allowed(&self) -> String;
    /// The value in TOML; what [`Kind::read`] takes back, unless it is a secret.
    fn write(&self, value: &T) -> String;
    /// Whether nobody is to read it who reads the log or the screen.
    fn is_secret(&self) -> bool {
        false
    }
}

/// A whole number in a range.
#[derive(Clone, Copy)]
pub(super) struct Number(Bounds);

pub(super) const fn number(default: u32, min: u32, max: u32) -> Number {
    assert!(min <= default && default <= max, "the default lies in its own range");
    Number(Bounds { default, min, max })
}

pub(super) const fn bounded(bounds: Bounds) -> Number {
    Number(bounds)
}

impl<T: TryFrom<u32> + Display> Kind<T> for Number {
    fn default(&self) -> T {
        T::try_from(self.0.default).ok().expect("the table gives defaults that fit their type")
    }

    fn read(&self, value: &DeValue<'_>) -> Option<T> {
        let integer = value.as_integer()?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok()?;
        if !(self.0.min..=self.0.max).contains(&number) {
            return None;
        }
        T::try_from(number).ok()
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", grouped(&self.0.min), grouped(&self.0.max))
    }

    fn write(&self, value: &T) -> String {
        grouped(value)
    }
}

/// Digits in groups of three, which TOML reads, from 10,000 on: nobody counts the zeros of 100000000.
fn grouped(number: &impl Display) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// On or off.
#[derive(Clone, Copy)]
pub(super) struct Switch(pub(super) bool);

impl Kind<bool> for Switch {
    fn default(&self) -> bool {
        self.0
    }

    fn read(&self, value: &DeValue<'_>) -> Option<bool> {
        value.as_bool()
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// One of a few words.
#[derive(Clone, Copy)]
pub(super) struct Choice<T: 'static> {
    pub(super) default: T,
    pub(super) words: &'static [(&'static str, T)],
}

impl<T: Copy + PartialEq> Kind<T> for Choice<T> {
    fn default(&self) -> T {
        self.default
    }

    fn read(&self, value: &DeValue<'_>) -> Option<T> {
        let text = value.as_str()?;
        self.words.iter().find(|(word, _)| *word == text).map(|&(_, meaning)| meaning)
    }

    fn allowed(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|(word, _)| quoted(word)).collect();
        format!("one of {}", words.join(", "))
    }

    fn write(&self, value: &T) -> String {
        let word = self.words.iter().find(|(_, meaning)| meaning == value);
        quoted(word.expect("each value of a choice has its word").0)
    }
}

/// IP addresses to listen on.
#[derive(Clone, Copy)]
pub(super) struct Addresses(pub(super) &'static [IpAddr]);

impl Kind<Vec<IpAddr>> for Addresses {
    fn default(&self) -> Vec<IpAddr> {
        self.0.to_vec()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        for element in value.as_array()? {
            // An IPv4 address written in the IPv6 form cannot be bound by a socket that is IPv6 only.
            let address = element.get_ref().as_str()?.parse::<IpAddr>().ok()?.to_canonical();
            if addresses.contains(&address) {
                return None;
            }
            addresses.push(address);
        }
        (!addresses.is_empty()).then_some(addresses)
    }

    fn allowed(&self) -> String {
        "a list of one or more IP addresses in quotation marks, each once".to_owned()
    }

    fn write(&self, value: &Vec<IpAddr>) -> String {
        let addresses: Vec<_> = value.iter().map(|address| quoted(&address.to_string())).collect();
        format!("[{}]", addresses.join(", "))
    }
}

/// A list of texts of one form, possibly none.
#[derive(Clone, Copy)]
pub(super) struct Texts<T: 'static> {
    pub(super) read: fn(&str) -> Option<T>,
    pub(super) write: fn(&T) -> String,
    /// What each of them says.
    pub(super) form: &'static str,
    pub(super) max: usize,
}

impl<T> Kind<Vec<T>> for Texts<T> {
    fn default(&self) -> Vec<T> {
        Vec::new()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Vec<T>> {
        let texts = value.as_array().filter(|texts| texts.len() <= self.max)?;
        texts.iter().map(|text| (self.read)(text.get_ref().as_str()?)).collect()
    }

    fn allowed(&self) -> String {
        format!("a list of at most {} texts, each {}", grouped(&self.max), self.form)
    }

    fn write(&self, value: &Vec<T>) -> String {
        let texts: Vec<_> = value.iter().map(|text| quoted(&(self.write)(text))).collect();
        format!("[{}]", texts.join(", "))
    }
}

/// IP address and port.
#[derive(Clone, Copy)]
pub(super) struct Socket(pub(super) SocketAddr);

impl Kind<SocketAddr> for Socket {
    fn default(&self) -> SocketAddr {
        self.0
    }

    fn read(&self, value: &DeValue<'_>) -> Option<SocketAddr> {
        value.as_str()?.parse().ok()
    }

    fn allowed(&self) -> String {
        "an IP address and a port, such as \"127.0.0.1:6971\" or \"[::1]:6971\"".to_owned()
    }

    fn write(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }
}

/// A URL, or the empty text for none.
#[derive(Clone, Copy)]
pub(super) struct Url;

impl Kind<Option<PublicUrl>> for Url {
    fn default(&self) -> Option<PublicUrl> {
        None
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Option<PublicUrl>> {
        match value.as_str()? {
            "" => Some(None),
            text => PublicUrl::parse(text).map(Some),
        }
    }

    fn allowed(&self) -> String {
        "an http, https or udp URL with a host and no query, or \"\"".to_owned()
    }

    fn write(&self, value: &Option<PublicUrl>) -> String {
        quoted(value.as_ref().map_or("", PublicUrl::as_str))
    }
}

/// A URL over https, which is never none.
#[derive(Clone, Copy)]
pub(super) struct HttpsUrl(pub(super) &'static str);

impl Kind<String> for HttpsUrl {
    fn default(&self) -> String {
        self.0.to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<String> {
        let text = value.as_str()?;
        let url: http::Uri = text.parse().ok()?;
        (url.scheme_str() == Some("https") && url.host().is_some_and(|host| !host.is_empty()))
            .then(|| text.to_owned())
    }

    fn allowed(&self) -> String {
        "a URL that begins with https://".to_owned()
    }

    fn write(&self, value: &String) -> String {
        quoted(value)
    }
}

/// The address of a database server, or the empty text for none.
#[derive(Clone, Copy)]
pub(super) struct DatabaseUrl;

impl Kind<Option<database::Url>> for DatabaseUrl {
    fn default(&self) -> Option<database::Url> {
        None
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Option<database::Url>> {
        match value.as_str()? {
            "" => Some(None),
            text => database::Url::parse(text).map(Some),
        }
    }

    fn allowed(&self) -> String {
        "a URL such as \"postgres://user:password@host/database?sslmode=require\", or \"\"".to_owned()
    }

    fn write(&self, value: &Option<database::Url>) -> String {
        quoted(if value.is_some() { "***" } else { "" })
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A password of which only the hash is kept, or the empty text for none.
#[derive(Clone, Copy)]
pub(super) struct Password;

impl Kind<Option<Hash32>> for Password {
    fn default(&self) -> Option<Hash32> {
        None
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Option<Hash32>> {
        let text = value.as_str()?;
        Some((!text.is_empty()).then(|| control::hash(text.as_bytes())))
    }

    fn allowed(&self) -> String {
        "a text, or \"\"".to_owned()
    }

    fn write(&self, value: &Option<Hash32>) -> String {
        quoted(if value.is_some() { "***" } else { "" })
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A path, or the empty text for none.
#[derive(Clone, Copy)]
pub(super) struct FilePath;

impl Kind<Option<PathBuf>> for FilePath {
    fn default(&self) -> Option<PathBuf> {
        None
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Option<PathBuf>> {
        let text = value.as_str()?;
        if text.contains('\0') {
            return None;
        }
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn allowed(&self) -> String {
        "a path in quotation marks, or \"\"".to_owned()
    }

    fn write(&self, value: &Option<PathBuf>) -> String {
        value.as_ref().map_or_else(|| quoted(""), |path| quoted(&path.to_string_lossy()))
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(kind: &impl Kind<T>, text: &str) -> Option<T> {
        kind.read(DeValue::parse(text).unwrap().get_ref())
    }

    #[test]
    fn a_number_is_read_in_every_toml_notation() {
        for text in ["4096", "4_096", "0x1000", "+4096"] {
            assert_eq!(read::<u32>(&number(1, 0, 10_000), text), Some(4096), "{text}");
        }
    }

    #[test]
    fn a_number_outside_its_range_or_of_another_type_is_refused() {
        for text in ["-1", "10001", "1.0", "\"1\"", "true", "99999999999999999999"] {
            assert_eq!(read::<u32>(&number(1, 0, 10_000), text), None, "{text}");
        }
    }

    #[test]
    fn digits_are_grouped_from_ten_thousand_on() {
        for (number, text) in
            [(9_999, "9999"), (10_000, "10_000"), (100_000, "100_000"), (1_234_567, "1_234_567")]
        {
            assert_eq!(grouped(&number), text);
        }
    }

    #[test]
    fn addresses_are_refused_when_empty_repeated_or_no_addresses() {
        let kind = Addresses(&[]);
        for text in [
            "[]",
            r#"["::", "::"]"#,
            r#"["1.2.3.4", "::ffff:1.2.3.4"]"#,
            r#"["localhost"]"#,
            r#""::""#,
            "[1]",
        ] {
            assert_eq!(read(&kind, text), None, "{text}");
        }
        assert_eq!(read(&kind, r#"["::1"]"#), Some(vec!["::1".parse().unwrap()]));
    }

    #[test]
    fn the_empty_text_means_no_directory_and_no_url() {
        assert_eq!(read(&FilePath, r#""""#), Some(None));
        assert_eq!(read(&FilePath, r#""/srv/x""#), Some(Some(PathBuf::from("/srv/x"))));
        assert_eq!(read(&Url, r#""""#), Some(None));
    }
}
