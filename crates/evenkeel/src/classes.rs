//! Who a caller is: as long as nobody has an account, the network that it comes from.

use std::fmt;
use std::str::FromStr;

use evenkeel_core::{Identity, Keyed, PeerKey, Policy, Rules, Tier, Uplinks};
use ipnet::IpNet;

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

    /// Who announces as `key`. What tells addresses apart is hashed with `keyed`.
    pub(crate) fn identity(&self, key: &PeerKey, keyed: &Keyed) -> Identity {
        if !self.matter {
            return Identity::default();
        }
        let slot = Some(Uplinks::slot(keyed, key));
        let ip = key.source().ip();
        let class = self.classes.iter().find(|class| class.network.contains(&ip));
        let of =
            |class: &Class| Identity { tier: class.tier, policy: class.policy, slot, ..Identity::default() };
        class.map_or(Identity { slot, ..Identity::default() }, of)
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
            classes.identity(&endpoint.into(), &keyed)
        };
        let told = |ip| (identity(ip).tier.number(), identity(ip).policy);
        assert_eq!(told("10.9.9.9"), (1, None));
        assert_eq!(told("10.1.9.9"), (3, Some(Policy::Random)));
        assert_eq!(told("2001:db8::1"), (2, None));
        assert_eq!(told("11.0.0.1"), (0, None));
        assert!(identity("11.0.0.1").slot.is_some());
        let nobody = Classes::new(Vec::new(), &Rules::default());
        assert_eq!(
            nobody.identity(&Endpoint::new("10.1.1.1".parse().unwrap(), 1).into(), &keyed),
            Identity::default()
        );
    }
}
