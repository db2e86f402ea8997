//! The namespace a case runs in.
//!
//! With CAP_SYS_ADMIN every case gets a fresh one, and this is all that is in it:
//! - the loopback, up, with its own `127.0.0.1/8` and `::1/128`;
//! - the case's devices, each one end of a veth pair, up and running; their other ends live in a second namespace;
//! - on each device the given addresses and no others (no IPv6 link-local address), with what the kernel adds for them
//!   to its tables: the connected route, the local address, and for IPv4 the subnet's broadcast address;
//! - the given routes (protocol static; scope link without a gateway, else universe; the kernel's default metric) and
//!   permanent neighbours.
//!
//! Without CAP_SYS_ADMIN a case that describes no network runs in the namespace the process was started in, and programs
//! that look around find that one; any other case is declined. The namespaces end with the process.

mod build;
mod message;
pub mod rtnl;

use std::os::fd::{AsRawFd, OwnedFd};

use bpftwin_conformance::case::Network;

use crate::failure::{Failure, Stop};
use crate::sys::{Capability, Netlink, network_namespace, unshare_network};
use build::Builder;
use rtnl::Rtnl;

/// Keeps the other ends of the devices in being.
pub struct Scene {
    _peers: Option<OwnedFd>,
}

/// Moves this thread into the namespace the case describes.
pub fn enter(network: &Network) -> Result<Scene, Stop> {
    if !Capability::SysAdmin.held() {
        return if *network == Network::default() {
            Ok(Scene { _peers: None })
        } else {
            Err(Stop::decline("the case describes a network, and CAP_SYS_ADMIN is missing to make one"))
        };
    }
    if network.devices.is_empty() {
        let here = fresh()?;
        Builder::new(here, network).build(None)?;
        return Ok(Scene { _peers: None });
    }
    let there = fresh()?;
    let peers = network_namespace()
        .map_err(|error| Failure::Harness(format!("cannot open this network namespace: {error}")))?;
    build::quiet()?;
    let here = fresh()?;
    Builder::new(here, network).build(Some((peers.as_raw_fd() as u32, there)))?;
    Ok(Scene { _peers: Some(peers) })
}

/// A fresh namespace, to ask in.
pub fn fresh() -> Result<Rtnl, Failure> {
    let failed = |what| move |errno| Failure::Harness(format!("cannot {what}: {errno}"));
    unshare_network().map_err(failed("make a network namespace"))?;
    Netlink::open().map(Rtnl::new).map_err(failed("open a netlink socket"))
}
