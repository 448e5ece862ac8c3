//! IP addresses and networks.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Evaluated, text};
use crate::environment::{Library, Overload, Run};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::{Opaque, Value};

/// An address.
#[derive(Debug)]
struct Ip(IpAddr);

/// A network: an address, host bits and all, and the length of its prefix.
#[derive(Debug)]
struct Cidr(IpAddr, u8);

impl Opaque for Ip {
    fn of(&self) -> Type {
        Type::opaque("net.IP")
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Ip>().is_some_and(|other| self.0 == other.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> u64 {
        bits(self.0) / 8
    }
}

impl Opaque for Cidr {
    fn of(&self) -> Type {
        Type::opaque("net.CIDR")
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Cidr>().is_some_and(|other| (self.0, self.1) == (other.0, other.1))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> u64 {
        bits(self.0) / 8
    }
}

pub(super) fn library() -> Library {
    use Type::{Bool, Int, String};
    let (ip, cidr) = (|| Type::opaque("net.IP"), || Type::opaque("net.CIDR"));
    let of_ip = |function, id, result: Type, run: Run| Overload::member(function, id, &[ip()], result, run);
    let overloads = vec![
        Overload::global("ip", "string_to_ip", &[String], ip(), make_ip),
        Overload::global("isIP", "is_ip", &[String], Bool, is_ip),
        Overload::global("string", "ip_to_string", &[ip()], String, ip_text),
        Overload::global("ip.isCanonical", "ip_is_canonical", &[String], Bool, is_canonical),
        of_ip("family", "ip_family", Int, family),
        of_ip("isUnspecified", "ip_is_unspecified", Bool, unspecified),
        of_ip("isLoopback", "ip_is_loopback", Bool, loopback),
        of_ip("isLinkLocalMulticast", "ip_is_link_local_multicast", Bool, link_local_multicast),
        of_ip("isLinkLocalUnicast", "ip_is_link_local_unicast", Bool, link_local_unicast),
        of_ip("isGlobalUnicast", "ip_is_global_unicast", Bool, global_unicast),
        Overload::global("cidr", "string_to_cidr", &[String], cidr(), make_cidr),
        Overload::global("isCIDR", "is_cidr", &[String], Bool, is_cidr),
        Overload::global("string", "cidr_to_string", &[cidr()], String, cidr_text),
        Overload::member("containsIP", "cidr_contains_ip_string", &[cidr(), String], Bool, contains_ip),
        Overload::member("containsIP", "cidr_contains_ip_ip", &[cidr(), ip()], Bool, contains_ip),
        Overload::member("containsCIDR", "cidr_contains_cidr_string", &[cidr(), String], Bool, contains_cidr),
        Overload::member("containsCIDR", "cidr_contains_cidr", &[cidr(), cidr()], Bool, contains_cidr),
        Overload::member("ip", "cidr_ip", &[cidr()], ip(), ip_of),
        Overload::member("prefixLength", "cidr_prefix_length", &[cidr()], Int, prefix_length),
        Overload::member("masked", "cidr_masked", &[cidr()], cidr(), masked),
    ];
    Library { overloads, types: vec![ip(), cidr()] }
}

fn bits(address: IpAddr) -> u64 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn parse_ip(raw: &str) -> Result<IpAddr, String> {
    if raw.contains('%') {
        return Err(format!("IP address {raw:?} with zone value is not allowed"));
    }
    let address: IpAddr = raw.parse().map_err(|_| {
        format!("IP Address {raw:?} parse error during conversion from string: ParseAddr({raw:?}): unable to parse IP")
    })?;
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {raw:?} is not allowed"))
        }
        _ => Ok(address),
    }
}

fn parse_cidr(raw: &str) -> Result<Cidr, String> {
    let wrong = |why: &str| {
        format!("network address parse error during conversion from string: netip.ParsePrefix({raw:?}): {why}")
    };
    let (address, length) = raw.split_once('/').ok_or_else(|| wrong("no '/'"))?;
    let address: IpAddr = address.parse().map_err(|_| wrong("unable to parse IP"))?;
    if let IpAddr::V6(six) = address
        && six.to_ipv4_mapped().is_some()
    {
        return Err(format!("IPv4-mapped IPv6 address {raw:?} is not allowed"));
    }
    let plain = length.bytes().all(|byte| byte.is_ascii_digit()) && (length.len() == 1 || !length.starts_with('0'));
    let length: u8 = length.parse().ok().filter(|_| plain).ok_or_else(|| wrong("bad bits after slash"))?;
    if u64::from(length) > bits(address) {
        return Err(wrong("prefix length out of range"));
    }
    Ok(Cidr(address, length))
}

/// The address without what is behind the prefix.
fn mask(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(four) & mask).into())
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(six) & mask).into())
        }
    }
}

fn ip_at(args: &[Value<'_>], at: usize) -> Result<IpAddr, Failure> {
    match args.get(at) {
        Some(Value::String(text)) => parse_ip(text.as_str()).map_err(Failure::error),
        Some(Value::Opaque(value)) => {
            value.as_any().downcast_ref::<Ip>().map(|ip| ip.0).ok_or_else(Failure::no_such_overload)
        }
        _ => Err(Failure::no_such_overload()),
    }
}

fn cidr_at(args: &[Value<'_>], at: usize) -> Result<(IpAddr, u8), Failure> {
    match args.get(at) {
        Some(Value::String(text)) => {
            let parsed = parse_cidr(text.as_str()).map(|cidr| (cidr.0, cidr.1));
            let words = |why| format!("network address parse error during conversion from string: {why}");
            parsed.map_err(|why| Failure::error(words(why)))
        }
        Some(Value::Opaque(value)) => {
            let found = value.as_any().downcast_ref::<Cidr>().map(|cidr| (cidr.0, cidr.1));
            found.ok_or_else(Failure::no_such_overload)
        }
        _ => Err(Failure::no_such_overload()),
    }
}

fn make_ip<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| Value::Opaque(Arc::new(Ip(address))))
}

fn is_ip<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(parse_ip(text(args, 0)?).is_ok()))
}

fn ip_text<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| Value::text(address.to_string()))
}

fn is_canonical<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(ip_at(args, 0)?.to_string() == text(args, 0)?))
}

fn family<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| Value::Int(if address.is_ipv4() { 4 } else { 6 }))
}

fn unspecified<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| Value::Bool(address.is_unspecified()))
}

fn loopback<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| Value::Bool(address.is_loopback()))
}

fn link_local_multicast<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| {
        Value::Bool(match address {
            IpAddr::V4(four) => four.octets()[..3] == [224, 0, 0],
            IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
        })
    })
}

fn is_link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn link_local_unicast<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| Value::Bool(is_link_local_unicast(address)))
}

fn global_unicast<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ip_at(args, 0).map(|address| {
        let broadcast = matches!(address, IpAddr::V4(four) if four.is_broadcast());
        let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
        Value::Bool(!broadcast && !special && !is_link_local_unicast(address))
    })
}

fn make_cidr<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    cidr_at(args, 0).map(|(address, length)| Value::Opaque(Arc::new(Cidr(address, length))))
}

fn is_cidr<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(parse_cidr(text(args, 0)?).is_ok()))
}

fn cidr_text<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    cidr_at(args, 0).map(|(address, length)| Value::text(format!("{address}/{length}")))
}

fn within(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    address.is_ipv4() == network.is_ipv4() && mask(address, length) == mask(network, length)
}

fn contains_ip<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(within(ip_at(args, 1)?, cidr_at(args, 0)?)))
}

fn contains_cidr<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let (outer, inner) = (cidr_at(args, 0)?, cidr_at(args, 1)?);
    Ok(Value::Bool(outer.1 <= inner.1 && within(inner.0, outer)))
}

fn ip_of<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    cidr_at(args, 0).map(|(address, _)| Value::Opaque(Arc::new(Ip(address))))
}

fn prefix_length<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    cidr_at(args, 0).map(|(_, length)| Value::Int(length.into()))
}

fn masked<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    cidr_at(args, 0).map(|(address, length)| Value::Opaque(Arc::new(Cidr(mask(address, length), length))))
}
