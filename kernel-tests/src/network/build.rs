//! From the description of a network to netlink messages. Numbers are those of `include/uapi/linux/{if_link,if_addr,
//! rtnetlink,neighbour}.h`, v6.12.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bpftwin_conformance::case::{Device, Neighbour, Network, Route, RouteKind};

use super::message::Message;
use crate::failure::{Failure, Stop};
use crate::sys::{Netlink, NetlinkError, attributes};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const NEW: u16 = 0x600; // NLM_F_CREATE | NLM_F_EXCL
const CHANGE: u16 = 0;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_QDISC: u16 = 6;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IF_OPER_UP: u8 = 6;
const IFINFOMSG: usize = 16;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTMSG_TYPE: usize = 7;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;

const LOOPBACK: u32 = 1;
/// Both ends of a pair must differ in ifindex: with equal ones some kernels report the link up only after a second.
const PEER_INDEX: u32 = 1 << 20;
/// How long a device may take to come up; a few milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(10);

/// Turns off what makes namespaces differ from run to run: addresses and packets of IPv6's own.
pub fn quiet() -> Result<(), Failure> {
    for (name, value) in
        [("accept_dad", "0"), ("dad_transmits", "0"), ("accept_ra", "0"), ("addr_gen_mode", "1")]
    {
        sysctl(&format!("ipv6/conf/default/{name}"), value)?;
    }
    Ok(())
}

/// Sets `/proc/sys/net/<path>` of this thread's namespace. A kernel without IPv6 has nothing to set there.
fn sysctl(path: &str, value: &str) -> Result<(), Failure> {
    let file = Path::new("/proc/sys/net").join(path);
    if path.starts_with("ipv6") && !Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(());
    }
    if std::fs::read_to_string(&file).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    std::fs::write(&file, value).map_err(|error| Failure::Harness(format!("{}: {error}", file.display())))
}

/// Builds one network through one socket.
pub struct Builder<'a> {
    socket: Netlink,
    network: &'a Network,
}

impl<'a> Builder<'a> {
    /// In the namespace of `socket`.
    pub fn new(socket: Netlink, network: &'a Network) -> Self {
        Self { socket, network }
    }

    /// Makes everything, and returns when every device is operational. `peers` is the namespace for the other ends, and
    /// a socket in it.
    pub fn build(mut self, mut peers: Option<(u32, Netlink)>) -> Result<(), Stop> {
        quiet()?;
        self.ask("bring up the loopback", RTM_NEWLINK, CHANGE, &Message::link(LOOPBACK, true))?;
        for device in &self.network.devices {
            if let Some((namespace, socket)) = &mut peers {
                self.pair(device, *namespace)?;
                let up = Message::link(PEER_INDEX + device.ifindex, true);
                request(
                    socket,
                    &format!("bring up the other end of {}", device.name),
                    RTM_NEWLINK,
                    CHANGE,
                    &up,
                )?;
            }
            let forwarding = if device.forwarding { "1" } else { "0" };
            sysctl(&format!("ipv4/conf/{}/forwarding", device.name), forwarding)?;
            sysctl(&format!("ipv6/conf/{}/forwarding", device.name), forwarding)?;
            let up = Message::link(device.ifindex, true);
            self.ask(&format!("bring up {}", device.name), RTM_NEWLINK, CHANGE, &up)?;
        }
        for device in &self.network.devices {
            self.wait(device)?;
            for address in &device.addresses {
                self.address(device, address)?;
            }
        }
        for device in &self.network.devices {
            device.addresses.iter().try_for_each(|address| self.settle(address))?;
        }
        self.network.routes.iter().try_for_each(|route| self.route(route))?;
        self.network.neighbours.iter().try_for_each(|neighbour| self.neighbour(neighbour))
    }

    fn ask(&mut self, what: &str, kind: u16, flags: u16, message: &Message) -> Result<Vec<Vec<u8>>, Stop> {
        request(&mut self.socket, what, kind, flags, message)
    }

    fn pair(&mut self, device: &Device, namespace: u32) -> Result<(), Stop> {
        let Device { name, ifindex, mac, mtu, .. } = device;
        if !(LOOPBACK + 1..PEER_INDEX).contains(ifindex) {
            return Err(Stop::case(format!("device {name}: ifindex {ifindex} is not in 2..{PEER_INDEX}")));
        }
        check_mac(&format!("device {name}"), mac)?;
        let peer_mac = [[0x02, 0xfe].as_slice(), &ifindex.to_be_bytes()].concat();
        let peer = Message::link(PEER_INDEX + ifindex, false)
            .text(IFLA_IFNAME, &format!("peer{ifindex}"))
            .attr(IFLA_ADDRESS, &peer_mac)
            .u32(IFLA_MTU, *mtu)
            .u32(IFLA_NET_NS_FD, namespace);
        let veth = Message::default()
            .text(IFLA_INFO_KIND, "veth")
            .nest(IFLA_INFO_DATA, &Message::default().nest(VETH_INFO_PEER, &peer));
        let link = Message::link(*ifindex, false)
            .text(IFLA_IFNAME, name)
            .attr(IFLA_ADDRESS, mac)
            .u32(IFLA_MTU, *mtu)
            .nest(IFLA_LINKINFO, &veth);
        self.ask(&format!("make device {name}"), RTM_NEWLINK, NEW, &link).map(drop)
    }

    /// Waits until a frame sent to the device would not be lost.
    fn wait(&mut self, device: &Device) -> Result<(), Stop> {
        let start = Instant::now();
        let what = format!("look at device {}", device.name);
        while start.elapsed() < PATIENCE {
            let answers = self.ask(&what, RTM_GETLINK, 0, &Message::link(device.ifindex, false))?;
            let has = |kind, test: &dyn Fn(&[u8]) -> bool| {
                let found =
                    |answer: &Vec<u8>| attributes(&answer[IFINFOMSG..]).any(|(k, v)| k == kind && test(v));
                answers.iter().any(found)
            };
            if has(IFLA_OPERSTATE, &|state| state == [IF_OPER_UP])
                && has(IFLA_QDISC, &|qdisc| qdisc != b"noop\0")
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::Harness(format!("device {} is not up after {PATIENCE:?}", device.name)).into())
    }

    fn address(&mut self, device: &Device, text: &str) -> Result<(), Stop> {
        let (address, prefix) = prefix(text)?;
        let mut fixed = vec![family(address), prefix, 0, 0];
        fixed.extend_from_slice(&device.ifindex.to_ne_bytes());
        let octets = octets(address);
        let message = Message::new(&fixed)
            .attr(IFA_LOCAL, &octets)
            .attr(IFA_ADDRESS, &octets)
            .u32(IFA_FLAGS, if address.is_ipv6() { IFA_F_NODAD } else { 0 });
        self.ask(&format!("give {} to {}", text, device.name), RTM_NEWADDR, NEW, &message).map(drop)
    }

    /// Waits until packets to an IPv6 address are for this host: the kernel adds that route from a work queue, even
    /// without duplicate address detection (`net/ipv6/addrconf.c: addrconf_dad_work`, v6.12).
    fn settle(&mut self, text: &str) -> Result<(), Stop> {
        let (address, _) = prefix(text)?;
        if address.is_ipv4() {
            return Ok(());
        }
        let fixed = [&[family(address), 128][..], &[0; 10]].concat();
        let message = Message::new(&fixed).attr(RTA_DST, &octets(address));
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let answers = self.socket.request(RTM_GETROUTE, 0, message.bytes()).unwrap_or_default();
            if answers.iter().any(|answer| answer[RTMSG_TYPE] == libc::RTN_LOCAL) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::Harness(format!("address {text} is not this host's after {PATIENCE:?}")).into())
    }

    fn route(&mut self, route: &Route) -> Result<(), Stop> {
        let what = format!("route to {}", route.to);
        let (to, length) = prefix(&route.to)?;
        let via = route.via.as_deref().map(address).transpose()?;
        if via.is_some_and(|via| via.is_ipv6() != to.is_ipv6()) {
            return Err(Stop::case(format!("{what}: the gateway is of the other family")));
        }
        if route.kind == RouteKind::Unicast && route.dev.is_none() {
            return Err(Stop::case(format!("{what}: a unicast route needs a device")));
        }
        let scope =
            if via.is_none() && route.kind == RouteKind::Unicast { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
        let kind = match route.kind {
            RouteKind::Unicast => libc::RTN_UNICAST,
            RouteKind::Blackhole => libc::RTN_BLACKHOLE,
            RouteKind::Unreachable => libc::RTN_UNREACHABLE,
            RouteKind::Prohibit => libc::RTN_PROHIBIT,
        };
        let fixed = [family(to), length, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, kind, 0, 0, 0, 0];
        let mut message = Message::new(&fixed).attr(RTA_DST, &octets(to));
        if let Some(via) = via {
            message = message.attr(RTA_GATEWAY, &octets(via));
        }
        if let Some(dev) = &route.dev {
            message = message.u32(RTA_OIF, self.ifindex(&what, dev)?);
        }
        self.ask(&format!("add the {what}"), RTM_NEWROUTE, NEW, &message).map(drop)
    }

    fn neighbour(&mut self, neighbour: &Neighbour) -> Result<(), Stop> {
        let what = format!("neighbour {}", neighbour.address);
        check_mac(&what, &neighbour.mac)?;
        let address = address(&neighbour.address)?;
        let mut fixed = vec![family(address), 0, 0, 0];
        fixed.extend_from_slice(&self.ifindex(&what, &neighbour.dev)?.to_ne_bytes());
        fixed.extend_from_slice(&NUD_PERMANENT.to_ne_bytes());
        fixed.extend_from_slice(&[0, 0]);
        let message = Message::new(&fixed).attr(NDA_DST, &octets(address)).attr(NDA_LLADDR, &neighbour.mac);
        self.ask(&format!("add {what}"), RTM_NEWNEIGH, NEW, &message).map(drop)
    }

    fn ifindex(&self, what: &str, name: &str) -> Result<u32, Stop> {
        let device = self.network.devices.iter().find(|device| device.name == name);
        match device {
            Some(device) => Ok(device.ifindex),
            None if name == "lo" => Ok(LOOPBACK),
            None => Err(Stop::case(format!("{what}: there is no device {name}"))),
        }
    }
}

fn request(
    socket: &mut Netlink,
    what: &str,
    kind: u16,
    flags: u16,
    message: &Message,
) -> Result<Vec<Vec<u8>>, Stop> {
    socket
        .request(kind, flags, message.bytes())
        .map_err(|error: NetlinkError| Stop::decline(format!("the kernel does not {what}: {error}")))
}

fn check_mac(what: &str, mac: &[u8]) -> Result<(), Stop> {
    if mac.len() == 6 {
        Ok(())
    } else {
        Err(Stop::case(format!("{what}: a MAC address of {} bytes instead of 6", mac.len())))
    }
}

fn address(text: &str) -> Result<IpAddr, Stop> {
    text.parse().map_err(|error| Stop::case(format!("{text:?}: {error}")))
}

fn prefix(text: &str) -> Result<(IpAddr, u8), Stop> {
    let bad = || Stop::case(format!("{text:?} is not an address with a prefix length, such as 10.0.0.1/24"));
    let (ip, length) = text.split_once('/').ok_or_else(bad)?;
    let ip = address(ip)?;
    let length: u8 = length.parse().map_err(|_| bad())?;
    if length as usize > octets(ip).len() * 8 { Err(bad()) } else { Ok((ip, length)) }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    family as u8
}
