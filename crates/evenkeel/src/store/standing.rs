//! What identities have earned, as it is kept: a row for each user and announce key that was ever seen.

use super::UserId;
use super::columns::{amount, stored};
use super::upsert::{Put, Rows, Upsert};

/// Whose standing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// A user's.
    User(UserId),
    /// That of an announce key, by its id.
    Key(i64),
}

/// What an identity had earned at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub whose: Whose,
    /// The moment, in seconds since 1970, as are the other times.
    pub at_secs: i64,
    /// Its tier, 0 to 3, whatever it is held at.
    pub tier: u8,
    /// A lower tier was due when it was last judged.
    pub is_falling: bool,
    /// Until when its amounts have faded.
    pub faded_at: i64,
    /// When it was last seen.
    pub seen_at: i64,
    /// When it last proved that it seeds.
    pub proven_at: Option<i64>,
    /// Seconds of seeding since then where others were served.
    pub barren_secs: u32,
    /// In thousandths, in the order of [`AMOUNTS`].
    pub amounts: [u64; AMOUNTS.len()],
}

/// Names of the columns that are amounts, in thousandths of what they say.
pub const AMOUNTS: [&str; 14] = [
    "seeded_gib_hours",
    "seeding_secs",
    "life_gib_hours",
    "life_hours",
    "credited_mib",
    "claimed_mib",
    "charged_mib",
    "snatched",
    "kept",
    "owed_mib",
    "given_mib",
    "uplink_best",
    "uplink_share",
    "uplink_bins",
];

/// Rows that are put in one transaction.
pub const STANDINGS_AT_ONCE: usize = 5_000;

const USER: i64 = 1;
const KEY: i64 = 2;

pub(super) static STANDINGS: Upsert = Upsert {
    table: "standings",
    columns: &[
        ("kind", Put::Key),
        ("id", Put::Key),
        ("at", Put::Set),
        ("tier", Put::Set),
        ("is_falling", Put::Set),
        ("faded_at", Put::Set),
        ("seen_at", Put::Set),
        ("proven_at", Put::Set),
        ("barren_secs", Put::Set),
        (AMOUNTS[0], Put::Set),
        (AMOUNTS[1], Put::Set),
        (AMOUNTS[2], Put::Set),
        (AMOUNTS[3], Put::Set),
        (AMOUNTS[4], Put::Set),
        (AMOUNTS[5], Put::Set),
        (AMOUNTS[6], Put::Set),
        (AMOUNTS[7], Put::Set),
        (AMOUNTS[8], Put::Set),
        (AMOUNTS[9], Put::Set),
        (AMOUNTS[10], Put::Set),
        (AMOUNTS[11], Put::Set),
        (AMOUNTS[12], Put::Set),
        (AMOUNTS[13], Put::Set),
    ],
};

/// Those who were seen since a time.
pub(super) fn select(since_secs: i64) -> String {
    let columns: Vec<&str> = STANDINGS.columns.iter().map(|(name, _)| *name).collect();
    format!("SELECT {} FROM standings WHERE seen_at >= {since_secs}", columns.join(", "))
}

/// In the order of their key, so that no two trackers wait for each other.
pub(super) fn rows(standings: &[Standing]) -> Rows {
    let mut sorted: Vec<&Standing> = standings.iter().collect();
    sorted.sort_unstable_by_key(|standing| standing.whose);
    sorted.dedup_by_key(|standing| standing.whose);
    let mut rows = Rows::new(&STANDINGS);
    for standing in sorted {
        let (kind, id) = match standing.whose {
            Whose::User(UserId(id)) => (USER, id),
            Whose::Key(id) => (KEY, id),
        };
        let mut row = vec![
            Some(kind),
            Some(id),
            Some(standing.at_secs),
            Some(standing.tier.into()),
            Some(standing.is_falling.into()),
            Some(standing.faded_at),
            Some(standing.seen_at),
            standing.proven_at,
            Some(standing.barren_secs.into()),
        ];
        row.extend(standing.amounts.map(|amount| Some(stored(amount))));
        rows.push(&row);
    }
    rows
}

/// `None` is a row that somebody else has written.
pub(super) fn read(row: &[Option<i64>]) -> Option<Standing> {
    let number = |at: usize| row.get(at).copied().flatten();
    let whose = match (number(0)?, number(1)?) {
        (USER, id) => Whose::User(UserId(id)),
        (KEY, id) => Whose::Key(id),
        _ => return None,
    };
    let mut amounts = [0; AMOUNTS.len()];
    for (at, value) in (9..).zip(&mut amounts) {
        *value = amount(number(at)?);
    }
    Some(Standing {
        whose,
        at_secs: number(2)?,
        tier: u8::try_from(number(3)?).ok()?,
        is_falling: number(4)? != 0,
        faded_at: number(5)?,
        seen_at: number(6)?,
        proven_at: number(7),
        barren_secs: u32::try_from(number(8)?).ok()?,
        amounts,
    })
}
