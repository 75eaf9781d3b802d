//! `policy.exempt_networks`: which addresses a login may come from without being asked.
//!
//! An address is what RFC 4291 section 2.2 and inet_pton(3) write, never a name: `PAM_RHOST` is the application's word,
//! and a name in it is whatever the client's own name server says.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::de::{Deserialize, Deserializer, SeqAccess, Unexpected, Visitor};

/// How many networks there may be.
const MOST: usize = 64;

/// The networks of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// The first network that holds `rhost`, if that is a literal address: no name, zone, bracket, port or blank.
    #[must_use]
    pub fn holding(&self, rhost: &[u8]) -> Option<Network> {
        let address = std::str::from_utf8(rhost).ok()?.parse().ok()?;
        self.iter().find(|network| network.holds(address))
    }

    /// All of them, as they are written.
    pub fn iter(&self) -> impl Iterator<Item = Network> + '_ {
        self.0.iter().copied()
    }
}

/// The addresses that begin with the same bits, RFC 4632: `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    address: IpAddr,
    /// How many bits they begin with, from 1.
    prefix: u32,
}

impl Network {
    /// Whether `address` is one of them. IPv4 mapped into IPv6 counts as IPv4. A loopback address is none, since from
    /// there comes whoever uses a tunnel or a proxy on this host, and neither is the unspecified one.
    #[must_use]
    pub fn holds(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && !(address.is_loopback() || address.is_unspecified())
            && (bits(address) ^ bits(self.address)) >> (u128::BITS - self.prefix) == 0
    }

    /// The first address and the last.
    #[must_use]
    pub fn ends(self) -> (IpAddr, IpAddr) {
        let behind = u128::MAX.checked_shr(self.prefix).unwrap_or(0);
        let last = address_of(bits(self.address) | behind, self.address);
        (self.address, last)
    }

    /// # Errors
    /// What must be written, in the middle of a sentence.
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('%') {
            return Err("without a zone: an address with one is never exempt".to_owned());
        }
        let (address, prefix) = literal(text).ok_or_else(|| LITERAL.to_owned())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(width);
        if prefix > width {
            return Err("at most /32 for IPv4 and /128 for IPv6".to_owned());
        }
        Self::of(address, prefix)
    }

    fn of(address: IpAddr, prefix: u32) -> Result<Self, String> {
        if let IpAddr::V6(mapped) = address {
            if mapped.to_ipv4_mapped().is_some() {
                return Err(as_ipv4(mapped, prefix));
            }
        }
        if prefix == 0 || address.is_unspecified() && is_one(address, prefix) {
            return Err("networks that are known: /0 exempts everybody".to_owned());
        }
        let behind = u128::MAX.checked_shr(prefix).unwrap_or(0);
        let first = address_of(bits(address) & !behind, address);
        let network = Self {
            address: first,
            prefix,
        };
        if first != address {
            return Err(format!(
                "\"{network}\" for the network or \"{address}\" for one address, not {address}/{prefix}"
            ));
        }
        match network.ends() {
            (first, last) if first.is_loopback() && last.is_loopback() => Err(LOOPBACK.to_owned()),
            _ => Ok(network),
        }
    }
}

/// As it is written: one address without its prefix.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_one(self.address, self.prefix) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

const LITERAL: &str =
    r#"an address or a network in numbers, like "192.0.2.7", "10.1.0.0/16" or "2001:db8::/32""#;
const LOOPBACK: &str =
    "networks of other hosts: a loopback address is that of every tunnel and proxy on this one";

/// IPv4 in the upper bits, so that a prefix counts from the same end in both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of these bits, of the family of `family`.
fn address_of(bits: u128, family: IpAddr) -> IpAddr {
    let [a, b, c, d, ..] = bits.to_be_bytes();
    match family {
        IpAddr::V4(_) => [a, b, c, d].into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

fn is_one(address: IpAddr, prefix: u32) -> bool {
    prefix == if address.is_ipv4() { 32 } else { 128 }
}

/// The address, and the prefix where there is one: digits alone, and no 0 before them.
fn literal(text: &str) -> Option<(IpAddr, Option<u32>)> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Some((text.parse().ok()?, None));
    };
    let number: u32 = prefix.parse().ok()?;
    (number.to_string() == prefix).then_some((address.parse().ok()?, Some(number)))
}

/// What is meant by a network of mapped addresses.
fn as_ipv4(mapped: Ipv6Addr, prefix: u32) -> String {
    let network = mapped.to_ipv4_mapped().zip(prefix.checked_sub(96));
    let network = network.map(|(address, prefix)| Network::of(address.into(), prefix));
    let example = network.transpose().ok().flatten();
    let example = example.map_or("10.1.0.0/16".to_owned(), |network| network.to_string());
    format!("IPv4 as such, like \"{example}\": mapped into IPv6 it counts as IPv4")
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Networks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a list of at most {MOST} networks, like [\"10.1.0.0/16\", \"2001:db8::/32\"]"
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Networks, A::Error> {
        let mut networks = Vec::new();
        while let Some(network) = list.next_element()? {
            if networks.len() == MOST {
                let other = Unexpected::Other("more");
                return Err(serde::de::Error::invalid_value(other, &self));
            }
            networks.push(network);
        }
        Ok(Networks(networks))
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NetworkVisitor)
    }
}

struct NetworkVisitor;

impl Visitor<'_> for NetworkVisitor {
    type Value = Network;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LITERAL)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Network, E> {
        Network::parse(text)
            .map_err(|expected| E::invalid_value(Unexpected::Other("text"), &expected.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks(texts.iter().map(|text| network(text)).collect())
    }

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn only_a_literal_address_is_held() {
        let networks = networks(&["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]);
        for (rhost, network) in [
            ("10.1.0.0", "10.1.0.0/16"),
            ("10.1.255.255", "10.1.0.0/16"),
            ("::ffff:10.1.2.3", "10.1.0.0/16"),
            ("::ffff:a01:203", "10.1.0.0/16"),
            ("::FFFF:10.1.2.3", "10.1.0.0/16"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::", "2001:db8::/32"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::/32"),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32"),
            ("2001:db8::10.1.2.3", "2001:db8::/32"),
        ] {
            let found = networks.holding(rhost.as_bytes());
            assert_eq!(found.map(|it| it.to_string()).as_deref(), Some(network));
        }
        for rhost in [
            &b""[..],
            b"10.0.255.255",
            b"10.2.0.0",
            b"192.0.2.6",
            b"192.0.2.8",
            b"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            b"2001:db9::",
            b"10.1.2.3.example.com",
            b"10.1.evil.example.com",
            b"localhost",
            b"UNKNOWN",
            b" 10.1.2.3",
            b"10.1.2.3 ",
            b"10.1.2.3\n",
            b"10.1.2.3\0",
            b"10.1.2.3.",
            b"10.1.2.3:22",
            b"10.1.2.3/32",
            b"10.1.2.3%eth0",
            b"[10.1.2.3]",
            b"[2001:db8::1]",
            b"2001:db8::1%eth0",
            b"2001:db8::1%1",
            b"2001:db8::/32",
            b"010.1.2.3",
            b"10.01.2.3",
            b"10.1.2.003",
            b"0x0a.1.2.3",
            b"10.1.515",
            b"10.66051",
            b"167838211",
            b"10.1.2",
            b"10.1.2.256",
            b"+10.1.2.3",
            b"10.1.2.3,10.1.2.4",
            b"::10.1.2.3",
            b"::fffe:10.1.2.3",
            b"::ffff:0:10.1.2.3",
            b"64:ff9b::10.1.2.3",
            b"2002:a01:203::1",
            b"2001:db8:::1",
            b"\xff10.1.2.3",
            "１０.1.2.3".as_bytes(),
        ] {
            assert_eq!(networks.holding(rhost), None, "{rhost:?}");
        }
        assert_eq!(Networks::default().holding(b"10.1.2.3"), None);
    }

    #[test]
    fn the_families_are_apart() {
        let all = networks(&["::/1", "8000::/1"]);
        for rhost in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(all.holding(rhost.as_bytes()), None, "{rhost}");
        }
        assert_eq!(networks(&["0.0.0.0/1"]).holding(b"1::1"), None);
    }

    /// They come from whoever has an account on this host, or a program that knows no address.
    #[test]
    fn loopback_and_unspecified_are_never_held() {
        let halves = networks(&["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]);
        for rhost in [
            "127.0.0.1",
            "127.255.255.255",
            "::ffff:127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
        ] {
            assert_eq!(halves.holding(rhost.as_bytes()), None, "{rhost}");
        }
        for rhost in ["126.255.255.255", "128.0.0.0", "0.0.0.1", "::2", "::1:0:1"] {
            assert!(halves.holding(rhost.as_bytes()).is_some(), "{rhost}");
        }
    }

    #[test]
    fn what_is_no_network_is_told_what_to_write() {
        const EVERYBODY: &str = "networks that are known: /0 exempts everybody";
        const WIDTH: &str = "at most /32 for IPv4 and /128 for IPv6";
        const ZONE: &str = "without a zone: an address with one is never exempt";
        let mapped = |example: &str| {
            format!("IPv4 as such, like \"{example}\": mapped into IPv6 it counts as IPv4")
        };
        let bits = |network: &str, address: &str, prefix: u8| {
            format!(
                "\"{network}\" for the network or \"{address}\" for one address, not {address}/{prefix}"
            )
        };
        for (text, expected) in [
            ("", LITERAL.to_owned()),
            ("office", LITERAL.to_owned()),
            ("10.1.*", LITERAL.to_owned()),
            ("10.1", LITERAL.to_owned()),
            ("10.1/16", LITERAL.to_owned()),
            ("10.1.", LITERAL.to_owned()),
            (" 10.1.0.0/16", LITERAL.to_owned()),
            ("10.1.0.0/16 ", LITERAL.to_owned()),
            ("10.1.0.0 /16", LITERAL.to_owned()),
            ("10.1.0.0/", LITERAL.to_owned()),
            ("/16", LITERAL.to_owned()),
            ("10.1.0.0/+16", LITERAL.to_owned()),
            ("10.1.0.0/-1", LITERAL.to_owned()),
            ("10.1.0.0/016", LITERAL.to_owned()),
            ("10.1.0.0/16/16", LITERAL.to_owned()),
            ("10.1.0.0/255.255.0.0", LITERAL.to_owned()),
            ("10.1.0.0-10.1.0.9", LITERAL.to_owned()),
            ("010.1.0.0/16", LITERAL.to_owned()),
            ("[2001:db8::]/32", LITERAL.to_owned()),
            ("10.1.0.0/4294967297", LITERAL.to_owned()),
            ("fe80::%eth0/64", ZONE.to_owned()),
            ("fe80::1%1", ZONE.to_owned()),
            ("10.1.0.0/33", WIDTH.to_owned()),
            ("2001:db8::/129", WIDTH.to_owned()),
            ("10.1.0.0/4294967295", WIDTH.to_owned()),
            ("0.0.0.0/0", EVERYBODY.to_owned()),
            ("10.1.2.3/0", EVERYBODY.to_owned()),
            ("::/0", EVERYBODY.to_owned()),
            ("2001:db8::/0", EVERYBODY.to_owned()),
            ("0.0.0.0", EVERYBODY.to_owned()),
            ("::", EVERYBODY.to_owned()),
            ("127.0.0.0/8", LOOPBACK.to_owned()),
            ("127.0.0.1", LOOPBACK.to_owned()),
            ("127.128.0.0/9", LOOPBACK.to_owned()),
            ("::1", LOOPBACK.to_owned()),
            ("::1/128", LOOPBACK.to_owned()),
            ("10.1.2.3/16", bits("10.1.0.0/16", "10.1.2.3", 16)),
            ("192.0.2.1/31", bits("192.0.2.0/31", "192.0.2.1", 31)),
            ("127.0.0.1/1", bits("0.0.0.0/1", "127.0.0.1", 1)),
            ("2001:db8::1/64", bits("2001:db8::/64", "2001:db8::1", 64)),
            ("8000::1/1", bits("8000::/1", "8000::1", 1)),
            ("::ffff:10.0.0.0/104", mapped("10.0.0.0/8")),
            ("::ffff:192.0.2.7", mapped("192.0.2.7")),
            ("::ffff:c000:207/128", mapped("192.0.2.7")),
            ("::ffff:0.0.0.0/96", mapped("10.1.0.0/16")),
            ("::ffff:0.0.0.0/0", mapped("10.1.0.0/16")),
            ("::ffff:10.1.2.3/104", mapped("10.1.0.0/16")),
        ] {
            assert_eq!(Network::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_network_is_shown_as_it_is_best_written() {
        for (text, shown, first, last) in [
            ("10.1.0.0/16", "10.1.0.0/16", "10.1.0.0", "10.1.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("128.0.0.0/1", "128.0.0.0/1", "128.0.0.0", "255.255.255.255"),
            (
                "2001:DB8:0::/32",
                "2001:db8::/32",
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
            ("fe80::1", "fe80::1", "fe80::1", "fe80::1"),
        ] {
            let network = network(text);
            assert_eq!(network.to_string(), shown);
            let ends = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!(network.ends(), ends, "{text}");
        }
    }

    /// By the digits of both, one after the other.
    fn begins_alike(address: &[u8], network: &[u8], prefix: u32) -> bool {
        let digits =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:08b}")).collect() };
        digits(address)[..prefix as usize] == digits(network)[..prefix as usize]
    }

    proptest! {
        #[test]
        fn a_network_holds_what_begins_alike(first: u32, other: u32, near in 0_u32..33, prefix in 1_u32..=32) {
            // Half of them differ late.
            let other = first ^ other.checked_shr(near).unwrap_or(0);
            let (first, other) = (std::net::Ipv4Addr::from(first), std::net::Ipv4Addr::from(other));
            let masked = u32::from(first) & u32::MAX << (32 - prefix);
            let network = Network { address: std::net::Ipv4Addr::from(masked).into(), prefix };
            let expected = begins_alike(&other.octets(), &first.octets(), prefix)
                && !other.is_loopback() && !other.is_unspecified();
            prop_assert_eq!(network.holds(other.into()), expected);
            prop_assert_eq!(network.holds(other.to_ipv6_mapped().into()), expected);
            let (low, high) = network.ends();
            prop_assert_eq!(expected, (low..=high).contains(&IpAddr::from(other))
                && !other.is_loopback() && !other.is_unspecified());
        }

        #[test]
        fn so_it_does_in_ipv6(first: u128, other: u128, near in 0_u32..129, prefix in 1_u32..=128) {
            let other = first ^ other.checked_shr(near).unwrap_or(0);
            let (first, other) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(other));
            let masked = first.to_bits() & u128::MAX << (128 - prefix);
            let network = Network { address: Ipv6Addr::from_bits(masked).into(), prefix };
            let literal = network.to_string();
            let expected = begins_alike(&other.octets(), &first.octets(), prefix)
                && other.to_ipv4_mapped().is_none() && !other.is_loopback() && !other.is_unspecified();
            prop_assert_eq!(network.holds(other.into()), expected);
            // As it is shown it may be written.
            if let Ok(again) = Network::parse(&literal) {
                prop_assert_eq!(again, network);
            }
        }
    }
}
