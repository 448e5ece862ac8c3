//! Which addresses this service may call on a tenant's behalf (DESIGN D12): not those that are internal to the machine or its
//! link, unless somebody named them.
//!
//! Names are resolved first, every address is held against the rules, and the connection is made to one of those: no second
//! answer of a name server counts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

/// Whether an address may be called, which `host` stands for. A rule is an address, a network, an address with a port, or a
/// host's name.
pub fn may_reach(address: SocketAddr, host: &str, rules: &[String]) -> bool {
    !is_internal(address.ip()) || rules.iter().any(|rule| names(rule, address, host))
}

/// Loopback, link-local, multicast, and what is no host's address at all.
pub fn is_internal(ip: IpAddr) -> bool {
    match plain(ip) {
        IpAddr::V4(ip) => {
            ip.octets()[0] == 0 || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, or behind NAT64 (RFC 6052).
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    let embeds = matches!(six.segments(), [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _]);
    let [.., a, b, c, d] = six.octets();
    if embeds && !six.is_loopback() && !six.is_unspecified() { Ipv4Addr::new(a, b, c, d).into() } else { ip }
}

fn names(rule: &str, address: SocketAddr, host: &str) -> bool {
    let ip = plain(address.ip());
    rule == host
        || rule.parse() == Ok(ip)
        || rule.parse() == Ok(SocketAddr::new(ip, address.port()))
        || rule.parse::<IpNet>().is_ok_and(|network| network.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches(ip: &str, rules: &[&str]) -> bool {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        may_reach(SocketAddr::new(ip.parse().unwrap(), 443), "hook.example.com", &rules)
    }

    #[test]
    fn what_is_inside_is_not_reached_unless_it_is_named() {
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!reaches(ip, &[]), "{ip}");
            assert!(!reaches(ip, &["10.0.0.0/8", "other.example.com"]), "{ip}");
            assert!(reaches(ip, &["hook.example.com"]), "{ip}");
        }
        assert!(reaches("10.1.2.3", &[]) && reaches("2001:db8::1", &[]) && reaches("64:ff9b::808:808", &[]));
        assert!(reaches("127.0.0.1", &["127.0.0.0/8"]) && reaches("::ffff:127.0.0.1", &["127.0.0.1"]));
    }

    #[test]
    fn a_port_may_be_named_alone() {
        assert!(reaches("127.0.0.1", &["127.0.0.1:443"]) && reaches("::1", &["[::1]:443"]));
        assert!(reaches("::ffff:127.0.0.1", &["127.0.0.1:443"]));
        assert!(!reaches("127.0.0.1", &["127.0.0.1:444"]) && !reaches("127.0.0.2", &["127.0.0.1:443"]));
    }
}
