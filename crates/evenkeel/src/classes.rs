//! Who a caller is: whoever shows a secret is known by that, everybody else by the network that they come from.

use std::fmt;
use std::str::FromStr;

use evenkeel_core::{Identity, Keyed, PeerKey, Policy, Rules, Tier, Uplinks};
use ipnet::IpNet;

use crate::analyst::Earned;

/// A network whose callers have a tier, and perhaps a policy, that the operator has given them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    network: IpNet,
    tier: Tier,
    pub(crate) policy: Option<Policy>,
}

/// No class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoClass;

impl FromStr for Class {
    type Err = NoClass;

    /// Reads a network, a tier, and perhaps a policy.
    fn from_str(text: &str) -> Result<Self, NoClass> {
        let mut words = text.split(' ');
        let network: IpNet = words.next().unwrap_or_default().parse().map_err(|_| NoClass)?;
        let tier = words.next().and_then(|tier| tier.parse().ok()).and_then(Tier::new).ok_or(NoClass)?;
        let policy = words.next().map(str::parse).transpose().map_err(|_| NoClass)?;
        match words.next() {
            None => Ok(Self { network: network.trunc(), tier, policy }),
            Some(_) => Err(NoClass),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, tier, policy } = self;
        write!(f, "{network} {}", tier.number())?;
        policy.map_or(Ok(()), |policy| write!(f, " {policy}"))
    }
}

/// What a secret says of whoever shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its number among all that are known.
    pub slot: Option<u32>,
    /// The tier that the operator holds it at.
    pub pinned: Option<Tier>,
}

/// The classes that are in force.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// The narrowest network first.
    classes: Vec<Class>,
    /// Whether any policy asks who a caller is.
    matter: bool,
}

impl Classes {
    /// Of the operator's classes, for announces under these rules.
    pub(crate) fn new(mut classes: Vec<Class>, rules: &Rules) -> Self {
        classes.sort_by_key(|class| std::cmp::Reverse(class.network.prefix_len()));
        let own = classes.iter().any(|class| class.policy.is_some());
        let matter = own || rules.policy != Policy::Random || !rules.policies.is_empty();
        Self { classes, matter }
    }

    /// Who announces as `key`, and is `known`: it has one uplink, however many addresses and clients. What tells addresses
    /// apart is hashed with `keyed`. What the operator says of its tier goes before what it has `earned`.
    pub(crate) fn identity(
        &self,
        key: &PeerKey,
        known: &Known,
        (keyed, earned): (&Keyed, Option<&Earned>),
    ) -> Identity {
        if !self.matter && earned.is_none() {
            return Identity::default();
        }
        let slot = known.slot.map_or_else(|| Uplinks::slot(keyed, key), Uplinks::known_slot);
        if !self.matter {
            return Identity { slot: Some(slot), ..Identity::default() };
        }
        let ip = key.source().ip();
        let class = self.classes.iter().find(|class| class.network.contains(&ip));
        let earned_tier = || match known.slot {
            Some(number) => Some(earned?.tier_of_known(number)),
            None => earned?.tier_of_network(keyed, key),
        };
        let tier = known.pinned.or_else(|| Some(class?.tier)).or_else(earned_tier).unwrap_or_default();
        let policy = class.and_then(|class| class.policy);
        Identity { tier, policy, slot: Some(slot), ..Identity::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_core::Preset;
    use evenkeel_wire::Endpoint;

    #[test]
    fn a_class_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["10.0.0.0/8 3", "2001:db8::/32 0 rbs-mild", "::1/128 1 random"] {
            assert_eq!(text.parse::<Class>().map(|class| class.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "10.0.0.0/8",
            "10.0.0.0/33 1",
            "10.0.0.1 1",
            "10.0.0.0/8 4",
            "10.0.0.0/8 -1",
            "10.0.0.0/8 1 x",
        ] {
            assert_eq!(text.parse::<Class>(), Err(NoClass), "{text}");
        }
        assert_eq!("10.0.0.0/8 1 random more".parse::<Class>(), Err(NoClass));
    }

    #[test]
    fn the_narrowest_network_says_who_a_caller_is() {
        let rules = Rules { policy: Policy::Rbs(Preset::Default), ..Rules::default() };
        let classes = ["10.0.0.0/8 1", "10.1.0.0/16 3 random", "::/0 2"].map(|text| text.parse().unwrap());
        let keyed = Keyed::new([1, 2]);
        let classes = Classes::new(classes.to_vec(), &rules);
        let identity = |ip: &str| {
            let endpoint = Endpoint::new(ip.parse().unwrap(), 1);
            classes.identity(&endpoint.into(), &Known::default(), (&keyed, None))
        };
        let told = |ip| (identity(ip).tier.number(), identity(ip).policy);
        assert_eq!(told("10.9.9.9"), (1, None));
        assert_eq!(told("10.1.9.9"), (3, Some(Policy::Random)));
        assert_eq!(told("2001:db8::1"), (2, None));
        assert_eq!(told("11.0.0.1"), (0, None));
        assert!(identity("11.0.0.1").slot.is_some());
        let nobody = Classes::new(Vec::new(), &Rules::default());
        assert_eq!(
            nobody.identity(
                &Endpoint::new("10.1.1.1".parse().unwrap(), 1).into(),
                &Known::default(),
                (&keyed, None)
            ),
            Identity::default()
        );
    }

    #[test]
    fn whoever_is_known_has_one_uplink_and_the_tier_it_is_held_at() {
        let rules = Rules { policy: Policy::Rbs(Preset::Default), ..Rules::default() };
        let classes = Classes::new(vec!["10.0.0.0/8 1 random".parse().unwrap()], &rules);
        let keyed = Keyed::new([1, 2]);
        let identity = |ip: &str, known| {
            let endpoint = Endpoint::new(ip.parse().unwrap(), 1);
            classes.identity(&endpoint.into(), &known, (&keyed, None))
        };
        let ann = Known { slot: Some(7), pinned: Tier::new(3) };
        let (here, there) = (identity("10.0.0.1", ann), identity("2001:db8::1", ann));
        assert_eq!((here.slot, here.tier, here.policy), (there.slot, Tier::TOP, Some(Policy::Random)));
        assert_eq!((there.tier, there.policy), (Tier::TOP, None));
        let bob = Known { slot: Some(8), pinned: None };
        assert_ne!(identity("10.0.0.1", bob).slot, here.slot, "two members behind one address");
        assert_eq!(identity("10.0.0.1", bob).tier.number(), 1, "the network's");
        let nobody = identity("10.0.0.1", Known::default());
        assert!(nobody.slot.is_some_and(|slot| slot != 7 && slot != 8));
    }
}
