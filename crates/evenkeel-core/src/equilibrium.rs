//! Which peers a caller is given.
//!
//! A seeder has no use for seeders and gets leechers and partial seeds only. Nobody is given itself, in either
//! family. Whose address is not global is told to callers of the same scope only. Within that, the policy
//! decides: one file each, under `equilibrium/`.

pub(crate) mod random;

use evenkeel_wire::PeerId;

use crate::scope::Scope;
use crate::swarm::{Column, Kind, Known, Swarm};
pub use random::Scratch;

/// Where the peers of an answer are written, in wire form: slices of the buffer that is sent.
///
/// The length of a slice is the limit of its family; a family that the caller cannot be told of has none.
pub struct Handout<'a> {
    v4: &'a mut [[u8; 6]],
    v6: &'a mut [[u8; 18]],
    /// Filled when ids are kept and wanted.
    ids: Option<&'a mut Ids>,
    v4_len: usize,
    v6_len: usize,
}

/// Ids of handed out peers, in the order of their addresses.
#[derive(Default)]
pub struct Ids {
    /// Of the IPv4 peers.
    pub v4: Vec<PeerId>,
    /// Of the IPv6 peers.
    pub v6: Vec<PeerId>,
}

impl<'a> Handout<'a> {
    /// Room for peers without ids. Bytes beyond a whole number of peers stay untouched.
    pub fn new(v4: &'a mut [u8], v6: &'a mut [u8]) -> Self {
        Self { v4: v4.as_chunks_mut().0, v6: v6.as_chunks_mut().0, ids: None, v4_len: 0, v6_len: 0 }
    }

    /// Wants the ids too; what `ids` held is dropped.
    pub fn with_ids(mut self, ids: &'a mut Ids) -> Self {
        ids.v4.clear();
        ids.v6.clear();
        self.ids = Some(ids);
        self
    }

    /// Bytes of IPv4 peers written.
    pub fn v4_bytes(&self) -> usize {
        self.v4_len * 6
    }

    /// Bytes of IPv6 peers written.
    pub fn v6_bytes(&self) -> usize {
        self.v6_len * 18
    }

    fn push_v4(&mut self, column: &Column<6>, at: usize) {
        if let Some(slot) = self.v4.get_mut(self.v4_len) {
            *slot = column.peers()[at].addr;
            self.v4_len += 1;
            if let (Some(ids), Some(id)) = (&mut self.ids, column.id(at)) {
                ids.v4.push(id);
            }
        }
    }

    fn push_v6(&mut self, column: &Column<18>, at: usize) {
        if let Some(slot) = self.v6.get_mut(self.v6_len) {
            *slot = column.peers()[at].addr;
            self.v6_len += 1;
            if let (Some(ids), Some(id)) = (&mut self.ids, column.id(at)) {
                ids.v6.push(id);
            }
        }
    }
}

/// The caller, as far as it matters for what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) is_v4: bool,
    pub(crate) known: Known,
    pub(crate) kind: Kind,
    pub(crate) scope: Scope,
    pub(crate) want: usize,
}

/// Writes the peers that `asker` is given to `out`.
pub(crate) fn choose(
    swarm: &Swarm,
    asker: &Asker,
    rng: &mut fastrand::Rng,
    scratch: &mut Scratch,
    out: &mut Handout<'_>,
) {
    let candidates = Candidates::of(swarm, asker, out);
    // Never more than the answer has room for: the draw is over all candidates, not over those that come first.
    let want = asker.want.min(out.v4.len() + out.v6.len());
    random::draw(candidates.len(), want, rng, scratch, |drawn| candidates.hand_out(drawn, out));
}

/// Everybody whom a caller may be given, numbered from 0: IPv4 peers, then IPv6 peers, the caller left out.
struct Candidates<'a> {
    swarm: &'a Swarm,
    scope: Scope,
    v4_from: usize,
    v4_len: usize,
    v6_from: usize,
    v6_len: usize,
    /// Numbers of the caller's own records, ascending; `usize::MAX` for none.
    own: [usize; 2],
}

impl<'a> Candidates<'a> {
    fn of(swarm: &'a Swarm, asker: &Asker, out: &Handout<'_>) -> Self {
        let first = |seeders: usize| if asker.kind == Kind::Seeder { seeders } else { 0 };
        let v4_from = first(swarm.v4.seeders());
        let v6_from = first(swarm.v6().map_or(0, Column::seeders));
        let v4_len = if out.v4.is_empty() { 0 } else { swarm.v4.len() - v4_from };
        let v6_len = if out.v6.is_empty() { 0 } else { swarm.v6_len() - v6_from };
        let (v4_own, v6_own) = match asker.known {
            Known { own, twin } if asker.is_v4 => (own, twin),
            Known { own, twin } => (twin, own),
        };
        let v4_own = v4_own.and_then(|at| at.checked_sub(v4_from)).filter(|at| *at < v4_len);
        let v6_own = v6_own.and_then(|at| at.checked_sub(v6_from)).filter(|at| *at < v6_len);
        let mut own = [v4_own.unwrap_or(usize::MAX), v6_own.map_or(usize::MAX, |at| at + v4_len)];
        own.sort_unstable();
        Self { swarm, scope: asker.scope, v4_from, v4_len, v6_from, v6_len, own }
    }

    fn len(&self) -> usize {
        self.v4_len + self.v6_len - self.own.iter().filter(|own| **own != usize::MAX).count()
    }

    /// Hands out number `drawn`, unless it is out of the caller's scope; answers whether it did.
    fn hand_out(&self, drawn: usize, out: &mut Handout<'_>) -> bool {
        let at = self.own.iter().fold(drawn, |at, own| at + usize::from(at >= *own));
        match self.swarm.v6() {
            Some(v6) if at >= self.v4_len => {
                let at = self.v6_from + at - self.v4_len;
                self.is_in_scope(|| Scope::of(&v6.peers()[at].endpoint())) && {
                    out.push_v6(v6, at);
                    true
                }
            }
            _ => {
                let at = self.v4_from + at;
                self.is_in_scope(|| Scope::of(&self.swarm.v4.peers()[at].endpoint())) && {
                    out.push_v4(&self.swarm.v4, at);
                    true
                }
            }
        }
    }

    fn is_in_scope(&self, scope: impl Fn() -> Scope) -> bool {
        self.swarm.local_peers == 0 || self.scope.may_learn(scope())
    }
}
