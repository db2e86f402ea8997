//! `struct sk_buff`: a packet and what the kernel knows of it.

use crate::bpf::Memory;
use crate::net::linear::Linear;
use crate::net::seg6::SrhState;
use crate::net::sock::Sock;
use crate::net::tunnel::TunnelInfo;
use crate::uapi::ctx::skb::CB_LEN;

/// `ETH_HLEN`.
pub const ETH_HLEN: u32 = 14;
/// `VLAN_HLEN`.
pub const VLAN_HLEN: u32 = 4;
/// `include/linux/skbuff.h: SKB_MAX_ALLOC` on x86-64: `SKB_MAX_ORDER(0, 2)`, v6.12.
pub const SKB_MAX_ALLOC: u32 = (4096 << 2) - SHARED_INFO;
/// `SKB_DATA_ALIGN(sizeof(struct skb_shared_info))` on x86-64.
pub const SHARED_INFO: u32 = 320;
/// `NET_SKB_PAD + NET_IP_ALIGN` on x86-64.
pub const SKB_PAD: u32 = 64;

/// `(u16)~0U`: a header nobody has found yet.
pub const HEADER_UNSET: u16 = 0xffff;
/// `include/uapi/linux/filter.h`: offsets from here on count from the network header.
const SKF_NET_OFF: i32 = -0x10_0000;
/// Offsets from here on count from the MAC header.
const SKF_LL_OFF: i32 = -0x20_0000;

/// EtherTypes, as host numbers.
#[allow(missing_docs)]
pub mod eth_p {
    pub const IP: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const IPV6: u16 = 0x86dd;
    pub const VLAN_8021Q: u16 = 0x8100;
    pub const VLAN_8021AD: u16 = 0x88a8;
    pub const P_802_3: u16 = 0x0001;
    pub const P_802_2: u16 = 0x0004;
    /// The smallest EtherType that is not an 802.3 length.
    pub const MIN_802_3: u16 = 0x0600;
    pub const TEB: u16 = 0x6558;
    pub const MPLS_UC: u16 = 0x8847;
    pub const MPLS_MC: u16 = 0x8848;

    /// The protocol behind a VLAN tag that is taken off: `include/linux/if_vlan.h: vlan_set_encap_proto`, v6.12. `inner`: the
    /// two bytes behind the tag; `raw`: the two after them are 0xffff.
    pub const fn encapsulated(inner: u16, raw: bool) -> u16 {
        match (inner >= MIN_802_3, raw) {
            (true, _) => inner,
            (false, true) => P_802_3,
            (false, false) => P_802_2,
        }
    }
}

/// `PACKET_*` of `include/uapi/linux/if_packet.h`: `pkt_type`.
#[allow(missing_docs)]
pub mod pkt_type {
    pub const HOST: u8 = 0;
    pub const BROADCAST: u8 = 1;
    pub const MULTICAST: u8 = 2;
    pub const OTHERHOST: u8 = 3;
}

/// `SKB_GSO_*` of `include/linux/skbuff.h`, v6.12.
#[allow(missing_docs)]
pub mod gso_type {
    pub const TCPV4: u32 = 1 << 0;
    pub const DODGY: u32 = 1 << 1;
    pub const TCPV6: u32 = 1 << 4;
    pub const GRE: u32 = 1 << 6;
    pub const GRE_CSUM: u32 = 1 << 7;
    pub const IPXIP4: u32 = 1 << 8;
    pub const IPXIP6: u32 = 1 << 9;
    pub const UDP_TUNNEL: u32 = 1 << 10;
    pub const UDP_TUNNEL_CSUM: u32 = 1 << 11;
    pub const UDP_L4: u32 = 1 << 17;
}

/// `ip_summed`, `include/linux/skbuff.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IpSummed {
    /// Nothing is known.
    #[default]
    None,
    /// The checksum was verified.
    Unnecessary,
    /// [`SkBuff::csum`] sums everything from the network header on.
    Complete,
    /// Whoever transmits fills in the checksum.
    Partial,
}

/// A VLAN tag beside the packet (`vlan_proto`, `vlan_tci`), both as host numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VlanTag {
    /// Its EtherType.
    pub proto: u16,
    /// Priority, DEI and VLAN id.
    pub tci: u16,
}

/// `skb_dst`: what routing said of the packet.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Dst {
    /// Nothing.
    #[default]
    None,
    /// A route that is not valid (`ip6_null_entry`).
    Null,
    /// A metadata destination: `struct bpf_xfrm_info`, for an xfrm interface.
    Xfrm([u8; 8]),
    /// A metadata destination: what a tunnel device shall send, or received.
    Tunnel(Box<TunnelInfo>),
}

/// A packet and what the kernel knows of it. Header offsets count from the buffer's head, as the kernel's do, and are
/// `None` where they are unset.
#[derive(Clone, Debug)]
pub struct SkBuff {
    /// The linear part.
    pub linear: Linear,
    /// The rest of the bytes, which direct packet access does not see.
    pub paged: Vec<u8>,
    /// The device's ifindex.
    pub dev: u32,
    /// EtherType, as a host number.
    pub protocol: u16,
    /// [`pkt_type`].
    pub pkt_type: u8,
    /// `mark`.
    pub mark: u32,
    /// `priority`.
    pub priority: u32,
    /// `hash`, 0 if not computed.
    pub hash: u32,
    /// `l4_hash`.
    pub l4_hash: bool,
    /// `sw_hash`.
    pub sw_hash: bool,
    /// `cb[0..4]` as programs see it: `qdisc_skb_cb.data`.
    pub cb: [u8; CB_LEN],
    /// `qdisc_skb_cb.pkt_len`, `wire_len`.
    pub wire_len: u32,
    /// `qdisc_skb_cb.tc_classid`.
    pub tc_classid: u16,
    /// `tc_index`.
    pub tc_index: u16,
    /// `queue_mapping`.
    pub queue_mapping: u16,
    /// `skb_iif`.
    pub skb_iif: u32,
    /// `tstamp`, nanoseconds.
    pub tstamp: u64,
    /// `tstamp_type`: 0 realtime, 1 monotonic, 2 TAI.
    pub tstamp_type: u8,
    /// `skb_hwtstamps(skb)->hwtstamp`.
    pub hwtstamp: u64,
    /// The tag beside the packet.
    pub vlan: Option<VlanTag>,
    /// What is known of checksums.
    pub ip_summed: IpSummed,
    /// With [`IpSummed::Complete`]: the unfolded sum of all from the network header on.
    pub csum: u32,
    /// With [`IpSummed::Unnecessary`]: how many more checksums were verified.
    pub csum_level: u8,
    /// With [`IpSummed::Partial`]: where summing starts, from the head.
    pub csum_start: u32,
    /// With [`IpSummed::Partial`]: where the field lies, from `csum_start`.
    pub csum_offset: u16,
    /// `encapsulation`: the inner offsets hold.
    pub encapsulation: bool,
    /// `inner_mac_header`, 0 if unset.
    pub inner_mac_header: u32,
    /// `inner_network_header`, 0 if unset.
    pub inner_network_header: u32,
    /// `inner_transport_header`, 0 if unset.
    pub inner_transport_header: u32,
    /// `inner_protocol`, as a host number.
    pub inner_protocol: u16,
    /// `mac_header`.
    pub mac_header: Option<u32>,
    /// `mac_len`.
    pub mac_len: u16,
    /// `network_header`.
    pub network_header: u32,
    /// `transport_header`, 16 bits, [`HEADER_UNSET`] if unset. Making headroom sets it, to a place of no meaning, as in
    /// the kernel.
    pub transport_header: u16,
    /// `gso_size`.
    pub gso_size: u16,
    /// `gso_segs`.
    pub gso_segs: u16,
    /// `gso_type`, `SKB_GSO_*`.
    pub gso_type: u32,
    /// `skb->sk`.
    pub sk: Option<Sock>,
    /// `skb_dst`.
    pub dst: Dst,
    /// What lwt_seg6local programs know of the segment routing header.
    pub srh: Option<SrhState>,
    /// `tc_at_ingress`.
    pub at_ingress: bool,
    /// `redirected`: a tc program sent it here.
    pub redirected: bool,
    /// Whether `data_end` and `data_meta` were computed; a program sees 0 where not.
    pub has_data_pointers: bool,
}

impl SkBuff {
    /// A packet of these bytes with `NET_SKB_PAD` of headroom, nothing known of it: `slab_build_skb`.
    pub fn new(mem: &mut Memory, bytes: &[u8]) -> Self {
        Self::with_headroom(mem, SKB_PAD, bytes)
    }

    /// The same with another headroom.
    pub fn with_headroom(mem: &mut Memory, headroom: u32, bytes: &[u8]) -> Self {
        let aligned = (bytes.len() as u32).next_multiple_of(64);
        let linear = Linear::new(mem, headroom, bytes, aligned - bytes.len() as u32);
        Self {
            linear,
            paged: Vec::new(),
            dev: 0,
            protocol: 0,
            pkt_type: pkt_type::HOST,
            mark: 0,
            priority: 0,
            hash: 0,
            l4_hash: false,
            sw_hash: false,
            cb: [0; CB_LEN],
            wire_len: 0,
            tc_classid: 0,
            tc_index: 0,
            queue_mapping: 0,
            skb_iif: 0,
            tstamp: 0,
            tstamp_type: 0,
            hwtstamp: 0,
            vlan: None,
            ip_summed: IpSummed::None,
            csum: 0,
            csum_level: 0,
            csum_start: 0,
            csum_offset: 0,
            encapsulation: false,
            inner_mac_header: 0,
            inner_network_header: 0,
            inner_transport_header: 0,
            inner_protocol: 0,
            mac_header: None,
            mac_len: 0,
            network_header: 0,
            transport_header: HEADER_UNSET,
            gso_size: 0,
            gso_segs: 0,
            gso_type: 0,
            sk: None,
            dst: Dst::None,
            srh: None,
            at_ingress: false,
            redirected: false,
            has_data_pointers: false,
        }
    }

    /// `skb->len`: linear and paged bytes.
    pub fn len(&self) -> u32 {
        self.linear.len() + self.paged.len() as u32
    }

    /// Whether the packet has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `skb_headlen`: linear bytes.
    pub fn headlen(&self) -> u32 {
        self.linear.len()
    }

    /// `skb_network_offset`: from the first byte to the network header.
    pub fn network_offset(&self) -> i32 {
        self.network_header as i32 - self.linear.data() as i32
    }

    /// `skb_transport_offset`: from the first byte to the transport header.
    pub fn transport_offset(&self) -> i32 {
        i32::from(self.transport_header) - self.linear.data() as i32
    }

    /// `skb_reset_network_header`.
    pub fn reset_network_header(&mut self) {
        self.network_header = self.linear.data();
    }

    /// `skb_reset_transport_header`.
    pub fn reset_transport_header(&mut self) {
        self.transport_header = self.linear.data() as u16;
    }

    /// `skb_reset_mac_header`.
    pub fn reset_mac_header(&mut self) {
        self.mac_header = Some(self.linear.data());
    }

    /// `skb_reset_mac_len`: `network_header - mac_header`, 16 bits. `include/linux/skbuff.h`, v6.12.
    pub fn reset_mac_len(&mut self) {
        let mac = self.mac_header.unwrap_or(0xffff);
        self.mac_len = self.network_header.wrapping_sub(mac) as u16;
    }

    /// `pskb_expand_head`: more room; every header keeps its byte. `net/core/skbuff.c`, v6.12.
    pub fn expand_head(&mut self, mem: &mut Memory, more_head: u32, more_tail: u32) {
        self.linear.expand(mem, more_head, more_tail);
        self.mac_header = self.mac_header.map(|h| h + more_head);
        self.transport_header = self.transport_header.wrapping_add(more_head as u16);
        self.network_header += more_head;
        self.inner_mac_header += more_head;
        self.inner_network_header += more_head;
        self.inner_transport_header += more_head;
        if self.ip_summed == IpSummed::Partial {
            self.csum_start += more_head;
        }
    }

    /// `skb_cow_head`/`skb_cow` of a packet nobody else holds: at least `headroom` bytes before the first one.
    pub fn cow(&mut self, mem: &mut Memory, headroom: u32) {
        let have = self.linear.data();
        if headroom > have {
            self.expand_head(mem, (headroom - have).next_multiple_of(SKB_PAD), 0);
        }
    }

    /// `__skb_push` after [`cow`](Self::cow): `len` more bytes in front, of whatever lay there.
    pub fn push(&mut self, mem: &mut Memory, len: u32) {
        self.cow(mem, len);
        self.linear.move_data(-(len as i32));
    }

    /// `__skb_pull`: `len` bytes fewer in front.
    pub fn pull(&mut self, len: u32) {
        self.linear.move_data(len as i32);
    }

    /// `__pskb_pull_tail` as far as needed: makes the first `len` bytes linear. `false` if there are not so many.
    pub fn may_pull(&mut self, mem: &mut Memory, len: u32) -> bool {
        if len <= self.headlen() {
            return true;
        }
        if len > self.len() {
            return false;
        }
        let moved: Vec<u8> = self.paged.drain(..(len - self.linear.len()) as usize).collect();
        if self.linear.tailroom() < moved.len() as u32 {
            let more = moved.len() as u32 - self.linear.tailroom();
            self.expand_head(mem, 0, more);
        }
        let old = self.linear.len();
        self.linear.set_len(len);
        self.linear.bytes_mut(mem)[old as usize..].copy_from_slice(&moved);
        true
    }

    /// `skb_ensure_writable(skb, len)` of a packet nobody else holds: `pskb_may_pull`.
    pub fn ensure_writable(&mut self, mem: &mut Memory, len: u32) -> bool {
        self.may_pull(mem, len)
    }

    /// `skb_copy_bits`: copies `out.len()` bytes from `offset`, which may lie in the headroom. `false` if they are not all
    /// there; `out` may then be partly written.
    pub fn copy_bits(&self, mem: &Memory, offset: i32, out: &mut [u8]) -> bool {
        let len = out.len() as i64;
        if i64::from(offset) + len > i64::from(self.len()) || offset < -(self.linear.data() as i32) {
            return false;
        }
        let headlen = i64::from(self.headlen());
        let linear = (headlen - i64::from(offset)).clamp(0, len) as usize;
        let start = self.linear.data_addr().wrapping_add_signed(i64::from(offset));
        out[..linear].copy_from_slice(mem.raw(start, linear));
        if linear < out.len() {
            let from = (i64::from(offset) + linear as i64 - headlen) as usize;
            let rest = out.len() - linear;
            out[linear..].copy_from_slice(&self.paged[from..from + rest]);
        }
        true
    }

    /// What `LD_ABS` finds: `size` bytes, big-endian (`net/core/filter.c: bpf_skb_load_helper_32_no_cache`, v6.12).
    pub fn load_absolute(&self, mem: &Memory, offset: i32, size: u32) -> Option<u64> {
        let at = if offset >= 0 {
            offset
        } else if offset >= SKF_NET_OFF {
            (offset - SKF_NET_OFF) + self.network_offset()
        } else if offset >= SKF_LL_OFF {
            (offset - SKF_LL_OFF) + self.mac_header? as i32 - self.linear.data() as i32
        } else {
            return None;
        };
        let mut bytes = [0; 8];
        self.copy_bits(mem, at, &mut bytes[8 - size as usize..]).then(|| u64::from_be_bytes(bytes))
    }

    /// All bytes from `offset` on.
    pub fn bytes_from(&self, mem: &Memory, offset: u32) -> Vec<u8> {
        let mut out = vec![0; (self.len() - offset) as usize];
        assert!(self.copy_bits(mem, offset as i32, &mut out), "the range is inside");
        out
    }

    /// What a program that never looks at `tstamp_type` reads as `tstamp`: at ingress, only a receive stamp.
    /// `net/core/filter.c: bpf_convert_tstamp_read`, v6.12.
    pub fn tstamp_as_seen(&self) -> u64 {
        if self.at_ingress && self.tstamp_type != 0 { 0 } else { self.tstamp }
    }

    /// `skb_clear_hash`.
    pub fn clear_hash(&mut self) {
        self.hash = 0;
        self.l4_hash = false;
        self.sw_hash = false;
    }

    /// `skb_is_gso`.
    pub fn is_gso(&self) -> bool {
        self.gso_size != 0
    }

    /// `skb_scrub_packet`: what does not go along to another device, nor, if `xnet`, to another namespace.
    /// `net/core/skbuff.c`, v6.12.
    pub fn scrub(&mut self, xnet: bool) {
        self.pkt_type = pkt_type::HOST;
        self.skb_iif = 0;
        self.dst = Dst::None;
        if xnet {
            self.mark = 0;
            self.clear_tstamp();
        }
    }

    /// `skb_clear_tstamp`: a delivery time stays.
    pub fn clear_tstamp(&mut self) {
        if self.tstamp_type == 0 {
            self.tstamp = 0;
        }
    }

    /// `skb_gso_reset`.
    pub fn gso_reset(&mut self) {
        self.gso_size = 0;
        self.gso_segs = 0;
        self.gso_type = 0;
    }
}
