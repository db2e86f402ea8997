//! Links, addresses, routes and neighbours of one namespace by netlink. Numbers are those of
//! `include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h`, v6.12.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bpftwin_conformance::case::RouteKind;

use super::message::Message;
use crate::failure::{Failure, Stop};
use crate::sys::{NLA_F_NESTED, Netlink, Prog, attributes};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTFILTER: u16 = 44;
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
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
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

const TC_H_CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;

/// The loopback of every namespace.
pub const LOOPBACK: u32 = 1;
/// How long a device may take to come up; a few milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sets `/proc/sys/net/<path>` of this thread's namespace. A kernel without IPv6 has nothing to set there.
pub fn sysctl(path: &str, value: &str) -> Result<(), Failure> {
    let file = Path::new("/proc/sys/net").join(path);
    if path.starts_with("ipv6") && !Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(());
    }
    if std::fs::read_to_string(&file).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    std::fs::write(&file, value).map_err(|error| Failure::Harness(format!("{}: {error}", file.display())))
}

/// One end of a pair of devices.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its ifindex.
    pub ifindex: u32,
    /// Its MAC address.
    pub mac: &'a [u8],
    /// Its MTU.
    pub mtu: u32,
}

impl End<'_> {
    fn message(&self) -> Result<Message, Stop> {
        check_mac(&format!("device {}", self.name), self.mac)?;
        Ok(Message::link(self.ifindex, false)
            .text(IFLA_IFNAME, self.name)
            .attr(IFLA_ADDRESS, self.mac)
            .u32(IFLA_MTU, self.mtu))
    }
}

/// Asks in the namespace of one socket.
pub struct Rtnl {
    socket: Netlink,
}

impl Rtnl {
    /// In the namespace of `socket`.
    pub fn new(socket: Netlink) -> Self {
        Self { socket }
    }

    /// One request; what the kernel refuses is declined as "the kernel does not `what`".
    pub fn ask(
        &mut self,
        what: &str,
        kind: u16,
        flags: u16,
        message: &Message,
    ) -> Result<Vec<Vec<u8>>, Stop> {
        self.socket
            .request(kind, flags, message.bytes())
            .map_err(|error| Stop::decline(format!("the kernel does not {what}: {error}")))
    }

    /// Brings a device up.
    pub fn up(&mut self, name: &str, ifindex: u32) -> Result<(), Stop> {
        self.ask(&format!("bring up {name}"), RTM_NEWLINK, CHANGE, &Message::link(ifindex, true)).map(drop)
    }

    /// Makes a veth pair: `here`, and `there` in another namespace.
    pub fn veth(&mut self, here: &End<'_>, there: &End<'_>, namespace: u32) -> Result<(), Stop> {
        let peer = there.message()?.u32(IFLA_NET_NS_FD, namespace);
        let veth = Message::default()
            .text(IFLA_INFO_KIND, "veth")
            .nest(IFLA_INFO_DATA, &Message::default().nest(VETH_INFO_PEER, &peer));
        let link = here.message()?.nest(IFLA_LINKINFO, &veth);
        self.ask(&format!("make device {}", here.name), RTM_NEWLINK, NEW, &link).map(drop)
    }

    /// Makes a dummy device.
    pub fn dummy(&mut self, device: &End<'_>) -> Result<(), Stop> {
        let link = device.message()?.nest(IFLA_LINKINFO, &Message::default().text(IFLA_INFO_KIND, "dummy"));
        self.ask(&format!("make device {}", device.name), RTM_NEWLINK, NEW, &link).map(drop)
    }

    /// Attaches an XDP program to a device, with `XDP_FLAGS_*`; it stays as long as the device.
    pub fn xdp(&mut self, what: &str, ifindex: u32, prog: &Prog, flags: u32) -> Result<(), Stop> {
        let xdp = Message::default().u32(IFLA_XDP_FD, prog.raw()).u32(IFLA_XDP_FLAGS, flags);
        let message = Message::link(ifindex, true).nest(IFLA_XDP | NLA_F_NESTED, &xdp);
        self.ask(what, RTM_NEWLINK, CHANGE, &message).map(drop)
    }

    /// Gives a device the qdisc `clsact`.
    pub fn clsact(&mut self, name: &str, ifindex: u32) -> Result<(), Stop> {
        let message = traffic_control(ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0).text(TCA_KIND, "clsact");
        self.ask(&format!("give clsact to {name}"), RTM_NEWQDISC, NEW, &message).map(drop)
    }

    /// Adds a `cls_bpf` filter with direct action to a device that has clsact; `hook` is `TC_H_MIN_INGRESS` or
    /// `TC_H_MIN_EGRESS`, and the filter with the least `pref` runs first.
    pub fn filter(
        &mut self,
        what: &str,
        ifindex: u32,
        prog: &Prog,
        hook: u16,
        pref: u16,
    ) -> Result<(), Stop> {
        let options = Message::default()
            .u32(TCA_BPF_FD, prog.raw())
            .text(TCA_BPF_NAME, "bpf")
            .u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
        let every = u32::from((libc::ETH_P_ALL as u16).to_be());
        let parent = CLSACT_HANDLE | u32::from(hook);
        let message = traffic_control(ifindex, 0, parent, u32::from(pref) << 16 | every)
            .text(TCA_KIND, "bpf")
            .nest(TCA_OPTIONS, &options);
        self.ask(what, RTM_NEWTFILTER, NEW, &message).map(drop)
    }

    /// The attributes of a device.
    fn link(&mut self, name: &str, ifindex: u32) -> Result<Vec<Vec<u8>>, Stop> {
        self.ask(&format!("look at device {name}"), RTM_GETLINK, 0, &Message::link(ifindex, false))
    }

    /// Waits until a frame sent to the device would not be lost.
    pub fn wait(&mut self, name: &str, ifindex: u32) -> Result<(), Stop> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let answers = self.link(name, ifindex)?;
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
        Err(Failure::Harness(format!("device {name} is not up after {PATIENCE:?}")).into())
    }

    /// Gives an address, such as `10.0.0.1/24`, to a device, without asking on the wire whether somebody has it.
    pub fn address(&mut self, name: &str, ifindex: u32, text: &str) -> Result<(), Stop> {
        let (address, prefix) = prefix(text)?;
        let mut fixed = vec![family(address), prefix, 0, 0];
        fixed.extend_from_slice(&ifindex.to_ne_bytes());
        let octets = octets(address);
        let message = Message::new(&fixed)
            .attr(IFA_LOCAL, &octets)
            .attr(IFA_ADDRESS, &octets)
            .u32(IFA_FLAGS, if address.is_ipv6() { IFA_F_NODAD } else { 0 });
        self.ask(&format!("give {text} to {name}"), RTM_NEWADDR, NEW, &message).map(drop)
    }

    /// Waits until packets to an IPv6 address are for this host: the kernel adds that route from a work queue, even
    /// without duplicate address detection (`net/ipv6/addrconf.c: addrconf_dad_work`, v6.12).
    pub fn settle(&mut self, text: &str) -> Result<(), Stop> {
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

    /// Adds a route to the main table; `oif` is the ifindex of its device.
    pub fn route(
        &mut self,
        to: &str,
        kind: RouteKind,
        via: Option<&str>,
        oif: Option<u32>,
    ) -> Result<(), Stop> {
        let what = format!("route to {to}");
        let (to, length) = prefix(to)?;
        let via = via.map(address).transpose()?;
        if via.is_some_and(|via| via.is_ipv6() != to.is_ipv6()) {
            return Err(Stop::case(format!("{what}: the gateway is of the other family")));
        }
        if kind == RouteKind::Unicast && oif.is_none() {
            return Err(Stop::case(format!("{what}: a unicast route needs a device")));
        }
        let scope =
            if via.is_none() && kind == RouteKind::Unicast { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
        let kind = match kind {
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
        if let Some(oif) = oif {
            message = message.u32(RTA_OIF, oif);
        }
        self.ask(&format!("add the {what}"), RTM_NEWROUTE, NEW, &message).map(drop)
    }

    /// Adds a permanent neighbour.
    pub fn neighbour(&mut self, text: &str, mac: &[u8], ifindex: u32) -> Result<(), Stop> {
        let what = format!("neighbour {text}");
        check_mac(&what, mac)?;
        let address = address(text)?;
        let mut fixed = vec![family(address), 0, 0, 0];
        fixed.extend_from_slice(&ifindex.to_ne_bytes());
        fixed.extend_from_slice(&NUD_PERMANENT.to_ne_bytes());
        fixed.extend_from_slice(&[0, 0]);
        let message = Message::new(&fixed).attr(NDA_DST, &octets(address)).attr(NDA_LLADDR, mac);
        self.ask(&format!("add {what}"), RTM_NEWNEIGH, NEW, &message).map(drop)
    }
}

/// `struct tcmsg`.
fn traffic_control(ifindex: u32, handle: u32, parent: u32, info: u32) -> Message {
    let words = [0, ifindex, handle, parent, info];
    Message::new(&words.map(u32::to_ne_bytes).concat())
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
