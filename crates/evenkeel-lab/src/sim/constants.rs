//! Every number of the model, with where it comes from. What differs between regimes is in `regime.rs`.
//!
//! "Assumed" is said of what nobody has measured for a community like this one. Classes differ in what they do and in
//! nothing else: capacities have the same mix in each, so that a difference between classes is the policy's doing.

/// Seconds of a step. libtorrent changes its optimistic unchoke every 30 s and rechokes every 15 s
/// (`settings_pack`: `optimistic_unchoke_interval`, `unchoke_interval`).
pub(super) const STEP_SECS: u32 = 30;

/// Seconds before anything is measured: the time in which scores and swarms settle. Three quarters of the half-life of
/// scores; figures do not move any more when it is longer.
pub(super) const WARM_UP_SECS: u32 = 18 * 3600;

/// Days of a run, the warm-up included.
pub(super) const DAYS: f64 = 3.0;

/// Uplink and downlink in MB/s, and how many users in 100 have them: DSL, cable, fibre, and a seedbox or symmetric
/// line. Assumed; 2.1 MB/s up on average, as in measurements of private communities (Chen, Jiang, Chu 2010).
pub(super) const CAPACITIES: [(f64, f64, usize); 4] =
    [(0.3, 3.0, 25), (1.25, 10.0, 40), (3.0, 20.0, 25), (8.0, 40.0, 10)];

/// How unequal the demand for torrents is: exponent of Zipf's law, as in the loads of this laboratory.
pub(super) const ZIPF: f64 = 0.8;

/// Spread of the sizes of torrents: standard deviation of the logarithm. Assumed: two in three are between 0.74 and 1.35
/// times the median. With more, the size of the few most wanted torrents decides about a seed, and seeds differ by more
/// than policies do.
pub(super) const SIZE_SPREAD: f64 = 0.3;

/// Sizes in GB end here, so that no torrent takes longer than the run.
pub(super) const SIZE_RANGE: (f64, f64) = (0.1, 60.0);

/// Connections of a session at most: between Transmission's 50 to 60 for each torrent and the 100 of qBittorrent.
pub(super) const CONNECTIONS_MAX: usize = 60;

/// Peers that a client wants: libtorrent's `num_want` is 200, Transmission's 80, BEP 3 says 50, and so does evenkeel's
/// default for a caller that says nothing.
pub(super) const NUMWANT: u32 = 50;

/// Unchoked peers of a session: `sqrt(0.6 * KB/s)`, the rule of the first client, which mainline and libtorrent's
/// rate-based choker are built on.
pub(super) const SLOTS_PER_ROOT_KBPS: f64 = 0.6;
/// Slots end here: mainline's least, and what its rule gives 330 KB/s; more would cut uplinks too thin.
pub(super) const SLOTS_RANGE: (f64, f64) = (4.0, 14.0);

/// Weight of the newest step in the rate that tit-for-tat sorts by: clients average over 20 s (BEP 3), less than a
/// step, and somewhat longer in libtorrent.
pub(super) const RATE_WEIGHT: f64 = 0.5;

/// Classes in 100 users: good, average, selfish, free rider, whitewasher. Assumed: a quarter takes and gives nothing.
pub(super) const CLASS_MIX: [usize; 5] = [25, 25, 25, 15, 10];

/// Average users seed for this part of the time that good ones do.
pub(super) const AVERAGE_SEEDS: f64 = 1.0 / 6.0;

/// What a ghost says it sends, in MB/s, while it says it seeds: below every detector that looks at rates alone.
pub(super) const GHOST_CLAIM: f64 = 0.5;

/// Newcomers come between the end of the warm-up and this share of what is left of the run, so that most of them live
/// to see their fourth download.
pub(super) const NEWCOMERS_COME_WITHIN: f64 = 0.5;

/// Half-life of all that a score adds up, in seconds: a day, where a tracker takes 14 and 30, since a run lasts 3. All else
/// about scores and tiers is as it is by default.
pub(super) const HALF_LIFE_SECS: u32 = 86_400;

/// How long a download must be seeded to be kept in full: 72 h, shortened as the half-life is (1/14).
pub(super) const KEPT_AFTER_SECS: u32 = 72 * 3600 / 14;

/// How often scores become tiers, in seconds; an announce's interval.
pub(super) const EVALUATED_EVERY_SECS: u32 = 1800;
