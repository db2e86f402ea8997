//! Which of its IPv6 addresses a host sends from: RFC 6724 section 5, as
//! `net/ipv6/addrconf.c: ipv6_dev_get_saddr, ipv6_get_saddr_eval`, v6.12 has it. Every address here is permanent and
//! preferred, so the rules on deprecated, home and temporary addresses decide nothing.

use std::net::{IpAddr, Ipv6Addr};

use super::network::Device;

/// `net/ipv6/addrlabel.c: ip6addrlbl_init_table`, v6.12: prefix, its length, label.
const LABELS: [(Ipv6Addr, u32, u32); 10] = [
    (Ipv6Addr::UNSPECIFIED, 0, 1),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 5),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 11),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 2),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 12),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 6),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, 7),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 4),
    (Ipv6Addr::UNSPECIFIED, 96, 3),
    (Ipv6Addr::LOCALHOST, 128, 0),
];

/// The address a packet to `dst` out of the device `out` gets; `devices` are all there are, in the order they were made.
/// `None` where no device has an IPv6 address that could be used.
pub fn select(devices: &[Device], out: &Device, dst: Ipv6Addr) -> Option<Ipv6Addr> {
    let to = scope(dst);
    let only_out = dst.is_multicast() || to <= LINK_LOCAL;
    let rank = |(ifindex, address, length): (u32, Ipv6Addr, u8)| {
        let from = scope(address);
        let distance = if from >= to { -from } else { from - 128 };
        let matching = common_prefix(address, dst).min(length.into());
        (
            address == dst,
            distance,
            ifindex == out.ifindex,
            label(address) == label(dst),
            is_orchid(address) == is_orchid(dst),
            matching,
        )
    };
    devices
        .iter()
        .filter(|device| !only_out || device.ifindex == out.ifindex)
        .flat_map(|device| {
            addresses(device).into_iter().map(|(address, length)| (device.ifindex, address, length))
        })
        // Of equals the first.
        .reduce(|best, next| if rank(next) > rank(best) { next } else { best })
        .map(|(_, address, _)| address)
}

/// A device's IPv6 addresses with their prefix lengths in the kernel's order: by falling scope, of one scope the last
/// one given first (`net/ipv6/addrconf.c: ipv6_link_dev_addr`, v6.12).
fn addresses(device: &Device) -> Vec<(Ipv6Addr, u8)> {
    let mut own: Vec<_> = device
        .addresses
        .iter()
        .rev()
        .filter_map(|&(address, length)| match address {
            IpAddr::V6(address) => Some((address, length)),
            IpAddr::V4(_) => None,
        })
        .collect();
    own.sort_by_key(|&(address, _)| -scope(address));
    own
}

/// `IPV6_ADDR_SCOPE_LINKLOCAL`.
const LINK_LOCAL: i32 = 2;

/// `include/net/ipv6.h: ipv6_addr_src_scope`, v6.12.
fn scope(address: Ipv6Addr) -> i32 {
    let [first, second, ..] = address.octets();
    match (first, second & 0xc0) {
        (0xff, _) => i32::from(second & 0xf),
        (0xfe, 0x80) => LINK_LOCAL,
        (0xfe, 0xc0) => 5,
        _ if address.is_loopback() => LINK_LOCAL,
        _ => 14,
    }
}

fn common_prefix(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros()
}

/// The label of the longest prefix that covers `address`.
fn label(address: Ipv6Addr) -> u32 {
    let covering = LABELS.iter().filter(|(prefix, length, _)| common_prefix(address, *prefix) >= *length);
    covering.max_by_key(|(_, length, _)| *length).expect("::/0 covers all").2
}

/// `include/net/ipv6.h: ipv6_addr_orchid`, v6.12: RFC 4843.
fn is_orchid(address: Ipv6Addr) -> bool {
    address.to_bits() >> 100 == 0x0200_1001
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as a kernel 6.18 chose.
    #[test]
    fn each_rule_decides_where_those_before_it_do_not() {
        for (eth0, eth1, to, want) in [
            (&["fd00::1/16", "fd00:1::1/16"][..], &[][..], "fd00:0:0:2::4", Some("fd00:1::1")),
            (&["fd00::1/64", "fd00:1::1/64"], &[], "fd00:0:0:2::4", Some("fd00::1")),
            (&["fd00::1/64", "fd00::2/64"], &[], "fd00::1", Some("fd00::1")),
            (&["fe80::1/64", "fd00::1/64"], &[], "fd00:5::1", Some("fd00::1")),
            (&["fe80::1/64", "fd00::1/64"], &[], "fe80::9", Some("fe80::1")),
            (&["fe80::1/64"], &["fd00::1/64"], "fd00:5::1", Some("fd00::1")),
            (&["2001:db8::1/64", "fd00::1/64"], &[], "fd77::1", Some("fd00::1")),
            (&["2001:db8::1/64", "fd00::1/64"], &[], "2600::1", Some("2001:db8::1")),
            (&["2001:db8::1/64"], &["2600::1/64"], "2600::2", Some("2001:db8::1")),
            (&[], &["2600::1/64"], "2600::2", Some("2600::1")),
            (&[], &[], "2600::2", Some("::1")),
            (&[], &["2600::1/64"], "ff02::1", None),
        ] {
            let device = |name, ifindex, own: &[&str]| {
                let mut device = Device::ethernet(name, ifindex, [2; 6]);
                device.addresses = own
                    .iter()
                    .map(|prefix| {
                        let (address, length) = prefix.split_once('/').unwrap();
                        (address.parse().unwrap(), length.parse().unwrap())
                    })
                    .collect();
                device
            };
            let devices = [Device::loopback(), device("eth0", 2, eth0), device("eth1", 3, eth1)];
            let chosen = select(&devices, &devices[1], to.parse().unwrap());
            assert_eq!(chosen, want.map(|text| text.parse().unwrap()), "to {to} from {eth0:?} or {eth1:?}");
        }
    }
}
