//! `policy.exempt_networks`: whom they exempt beside those who are meant.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use super::context::{CheckContext, finding, line_of};
use crate::finding::{Finding, Severity};
use ivalt_core::networks::{Network, Networks};
use ivalt_core::settings::Settings;

/// Checks the networks of every settings file.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let found = context.usable().flat_map(|(config, settings)| {
        let found = [
            everything(&config.path, settings),
            own_address(context, &config.path, settings),
        ];
        let found = found.into_iter().flatten();
        found.map(|found| Finding {
            line: line_of(context.root, &config.path, "exempt_networks"),
            ..found
        })
    });
    found.collect()
}

/// `/0` is refused; two halves of it are the same.
fn everything(file: &Path, settings: &Settings) -> Option<Finding> {
    let networks = &settings.policy.exempt_networks;
    let mut families = [("IPv4", V4), ("IPv6", V6)].into_iter();
    let (family, _) = families.find(|(_, all)| held(networks, all) >= all.1 / 2)?;
    let what = format!(
        "exempt_networks hold half of all addresses of {family} or more: whoever comes from there needs no token"
    );
    let fix = "name only networks that are yours; to ask nobody, remove pam_ivalt's lines: ivaltctl disable --all";
    Some(finding(Severity::LetsIn, "exempt-halves", file, what, fix))
}

/// The first address that may be anybody's, and how many there are. IPv4 counts from 0.
const V4: (u128, u128) = (0, 1 << 32);
/// RFC 4291 section 2.4: 2000::/3.
const V6: (u128, u128) = (1 << 125, 1 << 125);

/// How many of these addresses the networks hold.
fn held(networks: &Networks, all: &(u128, u128)) -> u128 {
    let (first, count) = *all;
    let is_v4 = *all == V4;
    let range = |network: Network| match network.ends() {
        (IpAddr::V4(first), IpAddr::V4(last)) if is_v4 => {
            Some((u128::from(first.to_bits()), u128::from(last.to_bits())))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if !is_v4 => Some((first.to_bits(), last.to_bits())),
        _ => None,
    };
    let end = first + (count - 1);
    let ranges = networks.iter().filter_map(range);
    let ranges = ranges.filter(|(from, to)| *to >= first && *from <= end);
    let mut ranges: Vec<_> = ranges
        .map(|(from, to)| (from.max(first), to.min(end)))
        .collect();
    ranges.sort_unstable();
    let (mut held, mut next) = (0_u128, first);
    for (from, to) in ranges {
        let from = from.max(next);
        if from <= to {
            held += to - from + 1;
            next = to.saturating_add(1);
        }
    }
    held
}

/// Who is on this host by another way, such as a tunnel or a web server, comes from there.
fn own_address(context: &CheckContext, file: &Path, settings: &Settings) -> Option<Finding> {
    let networks = &settings.policy.exempt_networks;
    if !context.root.is_this_machine() || networks.iter().next().is_none() {
        return None;
    }
    let (address, network) = own_addresses().into_iter().find_map(|address| {
        let network = networks.iter().find(|network| network.holds(address))?;
        Some((address, network))
    })?;
    let what = format!(
        "exempt_networks: {network} holds {address}, an address of this host: whoever can make a connection from here, as by a \
         tunnel, a proxy or another account, needs no token for any account of this host"
    );
    let fix = format!(
        "name networks that do not hold {address}, or accept it: ivaltctl check --accept exempt-own-address --because TEXT"
    );
    Some(finding(
        Severity::Warning,
        "exempt-own-address",
        file,
        what,
        fix,
    ))
}

/// Those of every interface, by proc(5); no network of the settings holds a loopback address.
fn own_addresses() -> Vec<IpAddr> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let mut addresses = local_v4(&read("/proc/net/fib_trie"));
    addresses.extend(all_v6(&read("/proc/net/if_inet6")));
    addresses
}

/// The kernel's routing table has each of them as `|-- 192.0.2.7`, and `/32 host LOCAL` below it.
fn local_v4(trie: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines().map(str::trim_start) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// One line for each, which begins with 32 hexadecimal digits.
fn all_v6(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let digits = line.split_whitespace().next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(IpAddr::from(Ipv6Addr::from(bits)))
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_many_of_all_addresses_are_held() {
        let (v4, v6) = (V4.1, V6.1);
        for (networks, of_v4, of_v6) in [
            (&["10.0.0.0/8"][..], v4 / 256, 0),
            (&["0.0.0.0/1", "128.0.0.0/1"], v4, 0),
            (&["0.0.0.0/1", "0.0.0.0/2", "64.0.0.0/2"], v4 / 2, 0),
            (&["2000::/3"], 0, v6),
            (&["::/1"], 0, v6),
            (&["8000::/1"], 0, 0),
            (&["2000::/4", "2001:db8::/32"], 0, v6 / 2),
            (&["3000::/4", "2000::/4"], 0, v6),
        ] {
            let list: Networks = serde_json::from_value(json!(networks)).unwrap();
            assert_eq!(
                (held(&list, &V4), held(&list, &V6)),
                (of_v4, of_v6),
                "{networks:?}"
            );
        }
    }

    #[test]
    fn addresses_as_the_kernel_lists_them() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 192.0.2.0/24 2 0 2\n        \
                    |-- 192.0.2.7\n           /32 host LOCAL\n        |-- 192.0.2.255\n           /32 link BROADCAST\nLocal:\n     \
                    |-- 192.0.2.7\n        /32 host LOCAL\n";
        assert_eq!(local_v4(trie), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        let v6 = "fe800000000000005054006ffe123456 02 40 20 80     eth0\n20010db8000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(
            all_v6(v6),
            ["fe80::5054:6f:fe12:3456", "2001:db8::7"].map(|one| one.parse::<IpAddr>().unwrap())
        );
        // Every host has a loopback address.
        assert!(own_addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }
}
