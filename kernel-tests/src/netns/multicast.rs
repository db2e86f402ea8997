//! Waits until devices have told their IPv6 groups, so that none of that comes between the frames of a case.
//!
//! A device with an IPv6 address belongs to groups, and reports each of them a few ticks later, at a random moment
//! (`net/ipv6/mcast.c: mld_ifc_event, mld_ifc_work`, v6.12), and as often as the machine's `net.ipv6.mld_qrv` says. So
//! when every group that is to be reported was seen in that many reports on their way out, no more comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use super::build::Rooms;
use super::tap::{Frame, Taps};
use crate::failure::Failure;

/// How long reports may take; some ten milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often each group is reported: `MLD_QRV_DEFAULT`. A namespace cannot tell what the machine has been set to.
const REPORTS: u32 = 2;

/// A namespace, a device and a group.
type Membership = (u32, String, Ipv6Addr);

/// Returns when every membership was reported.
pub fn settle(rooms: &mut Rooms<'_>, taps: &mut Taps) -> Result<(), Failure> {
    let mut due = BTreeMap::new();
    for (number, room) in rooms.iter().enumerate() {
        let devices: BTreeSet<&str> = rooms.ipv6_devices(number).collect();
        if !devices.is_empty() {
            room.enter()?;
            let memberships =
                memberships()?.into_iter().filter(|(device, _)| devices.contains(device.as_str()));
            due.extend(memberships.map(|(device, group)| ((number as u32, device, group), REPORTS)));
        }
    }
    let start = Instant::now();
    while !due.is_empty() {
        for frame in taps.drain()? {
            for group in reported(&frame) {
                let (_, device) = rooms.names(frame.namespace, frame.ifindex)?;
                let membership = (frame.namespace, device.to_owned(), group);
                if let Some(left) = due.get_mut(&membership) {
                    *left -= 1;
                    if *left == 0 {
                        due.remove(&membership);
                    }
                }
            }
        }
        if start.elapsed() > PATIENCE {
            let ((_, device, group), _): (&Membership, _) = due.first_key_value().expect("not empty");
            return Err(Failure::Harness(format!(
                "{device} does not report {REPORTS} times that it belongs to {group}: is net.ipv6.mld_qrv {REPORTS}?"
            )));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Devices and groups of this thread's namespace that are reported: of link scope or wider, without all nodes
/// (`net/ipv6/mcast.c: MAF_NOREPORT`). The kernel lists an index, a name, 32 digits and more, one membership a line.
fn memberships() -> Result<Vec<(String, Ipv6Addr)>, Failure> {
    const LIST: &str = "/proc/thread-self/net/igmp6";
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let unreadable = |why: &str| Failure::Harness(format!("{LIST}: {why}"));
    let text = std::fs::read_to_string(LIST).map_err(|error| unreadable(&error.to_string()))?;
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (device, digits) = words.next().zip(words.next()).ok_or_else(|| unreadable(line))?;
        let group = u128::from_str_radix(digits, 16).map_err(|_| unreadable(line))?;
        let group = Ipv6Addr::from_bits(group);
        if group != ALL_NODES && group.octets()[1] & 0xf >= 2 {
            found.push((device.to_owned(), group));
        }
    }
    Ok(found)
}

/// The groups that a frame on its way out reports: RFC 3810, 5.2. The kernel puts the router alert in front (8 bytes).
fn reported(frame: &Frame) -> Vec<Ipv6Addr> {
    const HEADERS: usize = 14 + 40 + 8;
    const RECORDS: usize = HEADERS + 8;
    const RECORD: usize = 20;
    let data = &frame.data;
    let report = frame.is_outgoing()
        && data.get(12..14) == Some(&[0x86, 0xdd])
        && data.get(20) == Some(&0)
        && data.get(54) == Some(&58)
        && data.get(HEADERS) == Some(&143);
    let records = if report { data.get(RECORDS..).unwrap_or_default() } else { &[] };
    let group = |record: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(&record[4..]).expect("16 bytes"));
    // None of them has sources.
    records.chunks_exact(RECORD).map(group).collect()
}
