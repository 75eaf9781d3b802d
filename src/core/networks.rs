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
