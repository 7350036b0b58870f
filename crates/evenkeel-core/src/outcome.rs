//! Everything that leaves the core: an answer, and the one reason that counters and tests read.

use evenkeel_wire::http::HeadError;
use evenkeel_wire::{Failure, Reply};

use crate::swarm::report::Moved;

/// What became of an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the caller is told.
    pub answer: Result<Reply, Failure>,
    /// Why.
    pub reason: Reason,
    /// What the peer has moved since its announce before, as it says; nothing unless reports are kept.
    pub moved: Moved,
}

impl Outcome {
    /// A refusal.
    pub fn failed(failure: Failure) -> Self {
        Self { answer: Err(failure), reason: Reason::Failed(failure), moved: Moved::default() }
    }
}

/// What became of a request: exactly one for each, dropped ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A peer was recorded, or refreshed.
    Announced,
    /// A peer was recorded after the least recently announced one of its swarm made room.
    AnnouncedAfterEviction,
    /// A peer was recorded, or refreshed, and some peers were held back from it.
    AnnouncedRationed,
    /// A peer was answered but not recorded: its address has too many in this swarm.
    NotListedSwarmLimit,
    /// A peer was answered but not recorded: its address has too many in all.
    NotListedAddressLimit,
    /// A peer of an account was answered but not recorded: its user has as many clients on this torrent as it may.
    NotListedClientLimit,
    /// A peer of an account was answered but not recorded: its user announces from as many addresses as it may.
    NotListedUserAddressLimit,
    /// A peer of an account was recorded, or refreshed, and nothing was booked: there are as many sessions as may be.
    AnnouncedUnbooked,
    /// A peer left.
    Stopped,
    /// A scrape was answered.
    Scraped,
    /// A UDP connection id was issued.
    Connected,
    /// A WebTorrent answer was passed on.
    Answered,
    /// A WebTorrent answer to an offer that its sender was not handed, or long ago, or has answered: silence.
    AnsweredStranger,
    /// A page (landing page, statistics, health) was answered.
    Page,
    /// Refused with a text.
    Failed(Failure),
    /// An HTTP head that cannot be read.
    Head(HeadError),
    /// A UDP packet that is no request: silence.
    Garbage,
    /// A UDP packet whose connection id was not issued to its sender, or too long ago: silence.
    ConnectionId,
}

const PLAIN: [Reason; 16] = [
    Reason::Announced,
    Reason::AnnouncedAfterEviction,
    Reason::AnnouncedRationed,
    Reason::NotListedSwarmLimit,
    Reason::NotListedAddressLimit,
    Reason::Stopped,
    Reason::Scraped,
    Reason::Connected,
    Reason::Answered,
    Reason::AnsweredStranger,
    Reason::Page,
    Reason::Garbage,
    Reason::ConnectionId,
    Reason::NotListedClientLimit,
    Reason::NotListedUserAddressLimit,
    Reason::AnnouncedUnbooked,
];

const HEADS: [HeadError; 8] = [
    HeadError::Malformed,
    HeadError::Method,
    HeadError::Body,
    HeadError::TargetTooLong,
    HeadError::HeadTooLong,
    HeadError::Version,
    HeadError::WebSocketVersion,
    HeadError::Timeout,
];

impl Reason {
    /// How many there are.
    pub const COUNT: usize = PLAIN.len() + Failure::ALL.len() + HEADS.len();

    /// Every reason, in the order of [`Reason::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        PLAIN.into_iter().chain(Failure::ALL.map(Self::Failed)).chain(HEADS.map(Self::Head))
    }

    /// Position among all, for an array of counters.
    pub fn index(self) -> usize {
        match self {
            Self::Failed(failure) => PLAIN.len() + failure.place(),
            Self::Head(error) => PLAIN.len() + Failure::ALL.len() + error as usize,
            Self::Announced => 0,
            Self::AnnouncedAfterEviction => 1,
            Self::AnnouncedRationed => 2,
            Self::NotListedSwarmLimit => 3,
            Self::NotListedAddressLimit => 4,
            Self::Stopped => 5,
            Self::Scraped => 6,
            Self::Connected => 7,
            Self::Answered => 8,
            Self::AnsweredStranger => 9,
            Self::Page => 10,
            Self::Garbage => 11,
            Self::ConnectionId => 12,
            Self::NotListedClientLimit => 13,
            Self::NotListedUserAddressLimit => 14,
            Self::AnnouncedUnbooked => 15,
        }
    }

    /// The name that counters carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::AnnouncedAfterEviction => "announced_after_eviction",
            Self::AnnouncedRationed => "announced_rationed",
            Self::NotListedSwarmLimit => "not_listed_swarm_limit",
            Self::NotListedAddressLimit => "not_listed_address_limit",
            Self::Stopped => "stopped",
            Self::Scraped => "scraped",
            Self::Connected => "connected",
            Self::Answered => "answered",
            Self::AnsweredStranger => "answered_stranger",
            Self::Page => "page",
            Self::Garbage => "garbage",
            Self::ConnectionId => "connection_id",
            Self::NotListedClientLimit => "not_listed_client_limit",
            Self::NotListedUserAddressLimit => "not_listed_user_address_limit",
            Self::AnnouncedUnbooked => "announced_unbooked",
            Self::Failed(failure) => match failure {
                Failure::InfoHash => "failed_info_hash",
                Failure::PeerId => "failed_peer_id",
                Failure::Port => "failed_port",
                Failure::Number => "failed_number",
                Failure::Repeated => "failed_repeated",
                Failure::Escape => "failed_escape",
                Failure::TooManyHashes => "failed_too_many_hashes",
                Failure::NoHashes => "failed_no_hashes",
                Failure::Truncated => "failed_truncated",
                Failure::Action => "failed_action",
                Failure::Path => "failed_path",
                Failure::Json => "failed_json",
                Failure::ToPeerId => "failed_to_peer_id",
                Failure::Sdp => "failed_sdp",
                Failure::SocketFull => "failed_socket_full",
                Failure::Full => "failed_full",
                Failure::NotReady => "failed_not_ready",
                Failure::Identity => "failed_identity",
                Failure::Secret => "failed_secret",
                Failure::Guesses => "failed_guesses",
                Failure::Disabled => "failed_disabled",
                Failure::Banned => "failed_banned",
                Failure::LeechDisabled => "failed_leech_disabled",
                Failure::Unlisted => "failed_unlisted",
                Failure::Pending => "failed_pending",
                Failure::Deleted | Failure::DeletedFor(_) => "failed_deleted",
                Failure::Denied => "failed_denied",
                Failure::UdpScrape => "failed_udp_scrape",
                Failure::Internal => "failed_internal",
            },
            Self::Head(error) => match error {
                HeadError::Malformed => "head_malformed",
                HeadError::Method => "head_method",
                HeadError::Body => "head_body",
                HeadError::TargetTooLong => "head_target_too_long",
                HeadError::HeadTooLong => "head_too_long",
                HeadError::Version => "head_version",
                HeadError::WebSocketVersion => "head_websocket_version",
                HeadError::Timeout => "head_timeout",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        let names: std::collections::BTreeSet<_> = Reason::all().map(Reason::name).collect();
        assert_eq!(names.len(), Reason::COUNT);
        assert!(Reason::all().enumerate().all(|(index, reason)| reason.index() == index));
    }
}
