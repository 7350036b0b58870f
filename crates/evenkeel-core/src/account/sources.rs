//! Where users announce from, so that one account is not everybody's.

use evenkeel_wire::Endpoint;
use siphasher::sip::SipHasher13;

use super::UserNumber;
use crate::addresses::source;
use crate::index::Hint;
use crate::rules::Rules;
use crate::table::Table;
use crate::time::Time;

/// Addresses (IPv4 address, IPv6 /64) that users have announced from within a time to live.
#[derive(Default)]
pub(super) struct Sources {
    /// All rows of a user share a hash.
    rows: Table<Row>,
    sweep: usize,
}

#[derive(Clone, Copy)]
struct Row {
    user: UserNumber,
    /// A hash of the address. Two addresses of one user that look alike are one: that lets it have one more.
    source: u32,
    last: Time,
}

impl Sources {
    /// Notes that a user announces from an address; answers whether that is one of as many as it may have at once: `max`.
    pub(super) fn note(
        &mut self,
        (user, max): (UserNumber, u32),
        from: &Endpoint,
        now: Time,
        rules: &Rules,
    ) -> bool {
        let hashed = SipHasher13::new_with_keys(0, 2).hash(source(from));
        let row = Row { user, source: (hashed & 0xFFFF_FFFF) as u32, last: now };
        let (mut own, mut stale, mut fresh) = (None, None, 0);
        self.rows.find(hash(user), |at, other| {
            if other.user != user {
                return false;
            }
            if other.source == row.source {
                own = Some(at);
            } else if is_stale(other, now, rules) {
                stale = Some(at);
            } else {
                fresh += 1;
            }
            false
        });
        let is_known = own.is_some_and(|at| !is_stale(&self.rows[at], now, rules));
        let is_taken = is_known || fresh < max && !self.rows.is_full();
        match own.or(stale) {
            Some(at) if is_taken => self.rows[at] = row,
            None if is_taken => drop(self.rows.push(row, hash_of)),
            _ => {}
        }
        is_taken
    }

    /// Forgets stale rows; answers whether it came to the end.
    pub(super) fn sweep(&mut self, now: Time, rules: &Rules, budget: usize) -> bool {
        for _ in 0..budget {
            match self.rows.get(self.sweep) {
                None => {
                    self.sweep = 0;
                    return true;
                }
                Some(row) if is_stale(row, now, rules) => self.rows.swap_remove(self.sweep, hash_of),
                Some(_) => self.sweep += 1,
            }
        }
        false
    }

    /// See [`Table::show`].
    pub(super) fn show(&self, hint: &Hint) {
        self.rows.show(hint);
    }

    /// Has the first of a user's addresses fetched, once its slot is there.
    pub(super) fn prefetch_row(&self, user: UserNumber) {
        self.rows.prefetch_row(hash(user));
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

fn is_stale(row: &Row, now: Time, rules: &Rules) -> bool {
    row.last.age(now) > rules.peer_ttl_secs()
}

fn hash_of(row: &Row) -> u64 {
    hash(row.user)
}

pub(super) fn hash(user: UserNumber) -> u64 {
    super::spread(user.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(number: u8) -> Endpoint {
        Endpoint::V4([9, 9, 9, number, 1, 1])
    }

    #[test]
    fn a_user_has_as_many_addresses_at_once_as_it_may_and_others_have_theirs() {
        let rules = Rules::default();
        let mut sources = Sources::default();
        let mut note =
            |user, number, secs| sources.note((UserNumber(user), 2), &from(number), Time(secs), &rules);
        assert!(note(1, 1, 0) && note(1, 2, 0));
        assert!(!note(1, 3, 0), "a third one");
        assert!(note(1, 1, 100) && note(2, 3, 100));
        let ttl_secs = rules.peer_ttl_secs();
        assert!(note(1, 3, ttl_secs + 1), "the second one is not used any more");
        assert!(!note(1, 2, ttl_secs + 1));
        let port = Endpoint::V4([9, 9, 9, 1, 77, 77]);
        assert!(sources.note((UserNumber(1), 2), &port, Time(ttl_secs + 1), &rules), "ports do not matter");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_stale_ones_are_forgotten() {
        let rules = Rules::default();
        let mut sources = Sources::default();
        for host in 0..10 {
            let mut bytes = [8; 18];
            bytes[15] = host;
            assert!(sources.note((UserNumber(1), 1), &Endpoint::V6(bytes), Time(0), &rules));
        }
        (2..1000).for_each(|user| assert!(sources.note((UserNumber(user), 1), &from(1), Time(9), &rules)));
        assert_eq!(sources.len(), 999);
        let later = Time(rules.peer_ttl_secs() + 9);
        while !sources.sweep(later, &rules, 10) {}
        assert_eq!(sources.len(), 998);
        while !sources.sweep(Time(later.0 + 1), &rules, 10) {}
        assert_eq!(sources.len(), 0);
    }
}
