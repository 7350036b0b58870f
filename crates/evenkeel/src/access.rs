//! May this caller announce this torrent now? Two questions, each with an axis of its own: which torrents are served, and
//! who is.

use std::net::IpAddr;
use std::sync::Arc;

use evenkeel_core::account::{Account, TorrentNumber, UserNumber};
use evenkeel_core::{Keyed, Place};
use evenkeel_wire::{Announce, Event, Failure, InfoHash};

use crate::analyst::Earned;
use crate::books::Books;
use crate::classes::Known;
use crate::control::{Control, Holder, Item, Key, Member};
use crate::store::{Hash32, List, TorrentState, UserId, UserState, Whose};

mod guesses;

use guesses::Guesses;

/// Which torrents are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torrents {
    /// All.
    Any,
    /// Those of the catalogue that are approved, and those on the list of allowed ones.
    Listed,
    /// All but those that are denied, deleted or pending.
    AllButDenied,
}

/// Who is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Everybody; nobody is asked who they are.
    None,
    /// Everybody; who shows a passkey or an announce key is known by it.
    Optional,
    /// Who shows one.
    Required,
}

/// Both, under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Any torrent, anybody.
    Open,
    /// Listed torrents, anybody.
    Listed,
    /// Listed torrents; who shows a secret is known by it.
    SemiPrivate,
    /// Listed torrents, and secrets only.
    Private,
}

impl Preset {
    /// What it stands for.
    pub fn axes(self) -> Axes {
        let (torrents, identity) = match self {
            Self::Open => (Torrents::Any, Identity::None),
            Self::Listed => (Torrents::Listed, Identity::None),
            Self::SemiPrivate => (Torrents::Listed, Identity::Optional),
            Self::Private => (Torrents::Listed, Identity::Required),
        };
        Axes { torrents, identity }
    }
}

/// What is served to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Which torrents.
    pub torrents: Torrents,
    /// Who.
    pub identity: Identity,
}

impl Axes {
    /// Whether everything is served to everybody: then nothing has to be looked up.
    pub fn are_open(self) -> bool {
        self.torrents == Torrents::Any && self.identity == Identity::None
    }
}

/// See the module.
pub(crate) struct Access {
    axes: Axes,
    control: Arc<Control>,
    books: Arc<Books>,
    /// What users and announce keys have earned, if they earn anything.
    earned: Option<Arc<Earned>>,
    guesses: Guesses,
}

/// Who asks, and with what secret.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    /// The address, as far as it is known by itself or by a proxy that is believed.
    pub source: IpAddr,
    /// The hash of what the URL carries.
    pub secret: Option<Hash32>,
}

/// What was found of what a caller shows and asks for. Whether it may have that is not decided yet.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    holder: Option<Holder>,
    item: Option<Item>,
    /// When, in seconds since 1970.
    pub at_secs: i64,
}

impl Found {
    /// Whose books an announce is probably in.
    pub(crate) fn whose(&self) -> Option<(UserNumber, TorrentNumber)> {
        let Some(Holder::User { member, .. }) = self.holder else { return None };
        Some((UserNumber(member.id), TorrentNumber(self.item?.id)))
    }
}

/// Who may announce, and what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// The user, if it is one.
    pub member: Option<Member>,
    /// The announce key, if it is none.
    pub key: Option<Key>,
    /// The torrent, if it is in the catalogue.
    pub item: Option<Item>,
    /// The passkey has been replaced.
    pub is_outdated: bool,
}

impl Admitted {
    /// What policies may know of it.
    pub(crate) fn known(&self) -> Known {
        let of_key = self.key.map(|key| Known { slot: key.slot, pinned: None });
        let of_member = self.member.map(|member| Known { slot: member.slot, pinned: member.pinned });
        of_member.or(of_key).unwrap_or_default()
    }

    /// Whose standing it adds to.
    pub(crate) fn whose(&self) -> Option<Whose> {
        let of_member = self.member.map(|member| Whose::User(UserId(member.id.into())));
        of_member.or_else(|| Some(Whose::Key(self.key?.id.into())))
    }
}

impl Access {
    /// By what is in `control`.
    pub(crate) fn new(axes: Axes, control: Arc<Control>, books: Arc<Books>, keyed: Keyed) -> Self {
        Self { axes, control, books, earned: None, guesses: Guesses::new(keyed) }
    }

    /// The same, and nobody is answered before it is known what was earned.
    pub(crate) fn earning(self, earned: Arc<Earned>) -> Self {
        Self { earned: Some(earned), ..self }
    }

    /// The books that announces go to.
    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    /// The control data.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Whom an announce is booked to, if to anybody.
    pub(crate) fn account(&self, admitted: &Admitted, now_secs: i64) -> Option<Account> {
        Books::account(&self.control, admitted, now_secs)
    }

    /// Whether secrets are looked at.
    pub(crate) fn asks_for_secrets(&self) -> bool {
        self.axes.identity != Identity::None
    }

    /// Whether enough is loaded to answer.
    pub(crate) fn is_ready(&self) -> bool {
        let is_known = self.earned.as_ref().is_none_or(|earned| earned.is_restored());
        self.control.is_loaded() && (!self.asks_for_secrets() || self.books.are_open()) && is_known
    }

    /// Looks up whose secret it is that a caller shows, and the torrent.
    pub(crate) fn find(
        &self,
        secret: Option<&Hash32>,
        (info_hash, place): (&InfoHash, Place),
        now_secs: i64,
    ) -> Found {
        let secret = secret.filter(|_| self.asks_for_secrets());
        let holder = secret.and_then(|secret| self.control.holder(secret, now_secs));
        Found { holder, item: self.control.item(&info_hash.0, place), at_secs: now_secs }
    }

    /// Decides about an announce to the swarm at `place`, of which that was found.
    pub(crate) fn admit(
        &self,
        asker: &Asker,
        (ask, place): (&Announce, Place),
        found: &Found,
    ) -> Result<Admitted, Failure> {
        let admitted = self.identify(asker, |_| found.holder, found.at_secs)?;
        if let Some(member) = &admitted.member {
            let lacks_something = ask.left != Some(0) && ask.event != Event::Stopped;
            if member.state == UserState::LeechDisabled && lacks_something {
                return Err(Failure::LeechDisabled);
            }
        }
        let list = || self.control.list(&ask.info_hash.0, place);
        Ok(Admitted { item: self.admit_torrent(found.item, list)?, ..admitted })
    }

    /// Decides about a scrape: who may not announce is told nothing either.
    pub(crate) fn admit_scrape(&self, asker: &Asker, now_secs: i64) -> Result<(), Failure> {
        self.look_up(asker, now_secs).map(drop)
    }

    /// Decides about a scrape over UDP, which has no place for a secret.
    pub(crate) fn admit_udp_scrape(&self) -> Result<(), Failure> {
        match self.axes.identity {
            Identity::Required => Err(Failure::UdpScrape),
            Identity::None | Identity::Optional => Ok(()),
        }
    }

    /// Whose standing somebody may look at: its own.
    pub(crate) fn admit_look(&self, asker: &Asker, now_secs: i64) -> Result<Known, Failure> {
        self.look_up(asker, now_secs).map(|admitted| admitted.known())
    }

    fn look_up(&self, asker: &Asker, now_secs: i64) -> Result<Admitted, Failure> {
        self.identify(asker, |secret| self.control.holder(secret, now_secs), now_secs)
    }

    fn identify(
        &self,
        asker: &Asker,
        holder_of: impl FnOnce(&Hash32) -> Option<Holder>,
        now_secs: i64,
    ) -> Result<Admitted, Failure> {
        if !self.is_ready() {
            return Err(Failure::NotReady);
        }
        let secret = match (self.axes.identity, asker.secret) {
            (Identity::None, _) | (Identity::Optional, None) => return Ok(Admitted::default()),
            (Identity::Required, None) => return Err(Failure::Identity),
            (_, Some(secret)) => secret,
        };
        if self.guesses.is_shut_out(asker.source, now_secs) {
            return Err(Failure::Guesses);
        }
        match holder_of(&secret) {
            None => {
                self.guesses.note(asker.source, &secret, now_secs);
                Err(Failure::Secret)
            }
            Some(Holder::Key(key)) => Ok(Admitted { key: Some(key), ..Admitted::default() }),
            Some(Holder::User { member, is_outdated }) => match member.state {
                UserState::Disabled => Err(Failure::Disabled),
                UserState::Banned => Err(Failure::Banned),
                UserState::Active | UserState::LeechDisabled => {
                    Ok(Admitted { member: Some(member), is_outdated, ..Admitted::default() })
                }
            },
        }
    }

    fn admit_torrent(
        &self,
        item: Option<Item>,
        list: impl FnOnce() -> Option<List>,
    ) -> Result<Option<Item>, Failure> {
        if self.axes.torrents == Torrents::Any {
            return Ok(item);
        }
        match (list(), item.map(|item| item.state)) {
            (Some(List::Denied), _) => Err(Failure::Denied),
            (_, Some(TorrentState::Pending)) => Err(Failure::Pending),
            (_, Some(TorrentState::Deleted)) => Err(item.map_or(Failure::Deleted, |item| item.why.failure())),
            (_, Some(TorrentState::Approved)) | (Some(List::Allowed), None) => Ok(item),
            (None, None) if self.axes.torrents == Torrents::AllButDenied => Ok(item),
            (None, None) => Err(Failure::Unlisted),
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_core::{Rules, Time};
    use evenkeel_wire::{Key, PeerId};

    use super::*;
    use crate::books;
    use crate::control::{Follower, Secret, hash};
    use crate::store::exam::{self, Desk, torrent, user};
    use crate::store::{AnnounceKey, Edit, Listed, Torrent, User};

    const NOW: i64 = 1_700_000_000;

    fn ask(info_hash: u8) -> Announce {
        Announce {
            info_hash: InfoHash([info_hash; 20]),
            peer_id: PeerId([1; 20]),
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: Some(5),
            event: Event::Started,
            numwant: None,
            key: Key::NONE,
        }
    }

    fn keyed() -> Keyed {
        Keyed::new([1, 2])
    }

    fn asker(secret: Option<&str>) -> Asker {
        Asker { source: IpAddr::from([8, 8, 8, 8]), secret: secret.map(|secret| hash(secret.as_bytes())) }
    }

    struct Rig {
        access: Access,
        secrets: Vec<Secret>,
    }

    /// A user in each state, with a passkey each, and then an announce key; torrents 1 to 3 in each state, info hash 4 on
    /// the list of allowed and 5 on that of denied ones.
    fn rig(axes: Axes) -> Rig {
        let desk = exam::file();
        let mut store = desk.open().unwrap();
        let secrets: Vec<Secret> = (0..5).map(|_| Secret::draw().unwrap()).collect();
        let mut edits = Vec::new();
        for (state, secret) in UserState::ALL.into_iter().zip(&secrets) {
            edits.push(Edit::User(User { state, passkey: secret.hash(), ..user(&format!("{state:?}")) }));
        }
        for (state, number) in TorrentState::ALL.into_iter().zip(1..) {
            edits.push(Edit::Torrent(Torrent { state, ..torrent(number) }));
        }
        for (list, number) in List::ALL.into_iter().zip(4..) {
            edits.push(Edit::Listed(Listed { id: 0, info_hash: [number; 20], list, note: String::new() }));
        }
        let hash = secrets[4].hash();
        edits.push(Edit::Key(AnnounceKey { id: 0, hash, note: String::new(), created_at: 0, used_at: 0 }));
        store.edit(&edits).unwrap();
        let control = Arc::new(Control::new(keyed()));
        Follower::new(Arc::clone(&control), store).look();
        let books = Arc::new(Books::default());
        let settings = books::settings([1; 8], None, 1000);
        books.open(&settings, &|| desk.open(), (&Rules::default(), Time(0), NOW), &|| false).unwrap();
        Rig { access: Access::new(axes, control, books, keyed()), secrets }
    }

    impl Rig {
        fn admit(&self, secret: Option<&str>, ask: &Announce) -> Result<Admitted, Failure> {
            let place = Place::of(&keyed(), &ask.info_hash);
            let asker = asker(secret);
            let found = self.access.find(asker.secret.as_ref(), (&ask.info_hash, place), NOW);
            self.access.admit(&asker, (ask, place), &found)
        }

        fn torrents(&self) -> Vec<Result<bool, Failure>> {
            (1..=6).map(|number| Ok(self.admit(None, &ask(number))?.item.is_some())).collect()
        }
    }

    #[test]
    fn each_kind_of_torrent_is_served_as_its_axis_says() {
        let of = |torrents| rig(Axes { torrents, identity: Identity::None }).torrents();
        let refused = [Err(Failure::Pending), Err(Failure::Deleted), Ok(false), Err(Failure::Denied)];
        assert_eq!(of(Torrents::Any), [Ok(true), Ok(true), Ok(true), Ok(false), Ok(false), Ok(false)]);
        let [pending, deleted, allowed, denied] = refused;
        let unlisted = Err(Failure::Unlisted);
        assert_eq!(of(Torrents::Listed), [Ok(true), pending, deleted, allowed, denied, unlisted]);
        assert_eq!(of(Torrents::AllButDenied), [Ok(true), pending, deleted, allowed, denied, Ok(false)]);
    }

    #[test]
    fn each_kind_of_caller_is_served_as_its_axis_says() {
        let of = |identity| {
            let rig = rig(Axes { torrents: Torrents::Any, identity });
            let secrets = rig.secrets.iter().map(|secret| Some(secret.reveal()));
            let mut answers: Vec<_> = secrets
                .chain([None, Some("wrong")])
                .map(|secret| rig.admit(secret, &ask(1)).map(|who| (who.member.is_some(), who.key.is_some())))
                .collect();
            let wrong = answers.pop().unwrap();
            (answers, wrong)
        };
        let nobody = Ok((false, false));
        let known = [
            Ok((true, false)),
            Err(Failure::LeechDisabled),
            Err(Failure::Disabled),
            Err(Failure::Banned),
            Ok((false, true)),
        ];
        let with = |none| known.into_iter().chain([none]).collect::<Vec<_>>();
        assert_eq!(of(Identity::None), (vec![nobody; 6], nobody));
        assert_eq!(of(Identity::Optional), (with(nobody), Err(Failure::Secret)));
        assert_eq!(of(Identity::Required), (with(Err(Failure::Identity)), Err(Failure::Secret)));
    }

    #[test]
    fn who_may_not_leech_may_seed_and_stop() {
        let rig = rig(Preset::Private.axes());
        let secret = Some(rig.secrets[1].reveal());
        assert!(rig.admit(secret, &Announce { left: Some(0), ..ask(1) }).is_ok());
        assert!(rig.admit(secret, &Announce { event: Event::Stopped, ..ask(1) }).is_ok());
        let silent = Announce { left: None, ..ask(1) };
        assert_eq!(
            rig.admit(secret, &silent),
            Err(Failure::LeechDisabled),
            "not to say is to lack something"
        );
    }

    #[test]
    fn nobody_is_answered_before_everything_is_loaded() {
        let control = Arc::new(Control::new(keyed()));
        let access = Access::new(Preset::Private.axes(), control, Arc::default(), keyed());
        let rig = Rig { access, secrets: Vec::new() };
        assert_eq!(rig.admit(Some("x"), &ask(1)), Err(Failure::NotReady));
        assert_eq!(rig.access.admit_scrape(&asker(Some("x")), NOW), Err(Failure::NotReady));
    }

    #[test]
    fn who_guesses_is_shut_out_and_who_repeats_a_mistake_is_not() {
        let rig = rig(Preset::Private.axes());
        let right = Some(rig.secrets[0].reveal());
        for _ in 0..100 {
            assert_eq!(
                rig.admit(Some("old"), &ask(1)),
                Err(Failure::Secret),
                "one old passkey, many torrents"
            );
        }
        assert!(rig.admit(right, &ask(1)).is_ok());
        let guess = |number: u32| rig.admit(Some(&number.to_string()), &ask(1));
        for number in 0..9 {
            assert_eq!(guess(number), Err(Failure::Secret));
        }
        guess(9).unwrap_err();
        assert_eq!(guess(10), Err(Failure::Guesses));
        assert_eq!(rig.admit(right, &ask(1)), Err(Failure::Guesses), "else guessing would go on");
    }

    #[test]
    fn scrapes_need_what_announces_need() {
        let rig = rig(Preset::Private.axes());
        let scrape = |secret: Option<&str>| rig.access.admit_scrape(&asker(secret), NOW);
        assert_eq!(scrape(None), Err(Failure::Identity));
        assert_eq!(scrape(Some("wrong")), Err(Failure::Secret));
        assert_eq!(scrape(Some(rig.secrets[1].reveal())), Ok(()));
        assert_eq!(rig.access.admit_udp_scrape(), Err(Failure::UdpScrape));
    }
}
