/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The configuration of one pod's datapath, what the stages know about the packet at hand, and how they hand it on. */
#ifndef VETH_STATE_H
#define VETH_STATE_H

#include "abi.h"
#include "packet.h"

#define NSEC_PER_SEC 1000000000ULL

enum event_channel : __u8 {
	EVENTS_OFF,
	EVENTS_RING,
	EVENTS_PERF,
};

enum delivery : __u8 {
	DELIVER_STACK,
	DELIVER_REDIRECT,
	DELIVER_REDIRECT_PEER,
};

/* Seconds of silence after which a connection is forgotten. */
struct ct_timeouts {
	__u32 tcp_syn;
	__u32 tcp_established;
	__u32 tcp_half_closed;
	__u32 tcp_closed;
	__u32 udp_unreplied;
	__u32 udp_replied;
	__u32 icmp;
	__u32 other;
};

struct veth_config {
	/* Who the pod is. */
	__u32 identity;
	__be32 ipv4;
	struct in6_addr ipv6;
	/* The addresses the pod has as its default route, answered for by the datapath. */
	__be32 gateway_ipv4;
	struct in6_addr gateway_ipv6;
	__u8 gateway_mac[ETH_ALEN];
	/* The pod's number on this node: part of the keys of all maps that pods share. */
	__u16 endpoint;
	/* The identity of addresses nothing else is known about. */
	__u32 world_identity;
	/* The seed of the hash that picks a backend. */
	__u32 hash_seed;
	struct ct_timeouts timeouts;
	/* Where notifications go. */
	enum event_channel events;
	/* How packets reach a pod of this node. */
	enum delivery delivery;
	/* Whether packets for elsewhere are routed here (1) or by the stack (0). */
	__u8 route_by_fib;
	/* Whether a packet no rule speaks of is dropped. */
	__u8 enforce_egress;
	__u8 enforce_ingress;
	/* Whether the pod may only send with its own addresses. */
	__u8 check_source;
	/* Whether a TCP connection may be picked up in its middle. */
	__u8 tcp_loose;
	/* Whether frames that are neither IP nor ARP pass. */
	__u8 pass_other;
};

volatile const struct veth_config config = {
	.identity = 1000,
	.gateway_mac = { 0x02, 0, 0, 0, 0, 0x01 },
	.endpoint = 1,
	.world_identity = 2,
	.events = EVENTS_RING,
	.timeouts = {
		.tcp_syn = 60,
		.tcp_established = 21600,
		.tcp_half_closed = 120,
		.tcp_closed = 10,
		.udp_unreplied = 30,
		.udp_replied = 120,
		.icmp = 30,
		.other = 60,
	},
};

/* Directions, as the pod sees them. */
enum direction : __u8 {
	DIR_EGRESS,
	DIR_INGRESS,
	/* Only in conntrack keys: the connection to a service's address, before translation. */
	DIR_SERVICE,
};

enum stage {
	STAGE_ARP,
	STAGE_IPV4,
	STAGE_IPV6,
	STAGE_NDP,
	STAGE_SERVICE,
	STAGE_EGRESS,
	STAGE_DELIVER,
	STAGE_INGRESS,
	STAGE_DROP,
	STAGE_COUNT,
};

/* Why a packet was dropped; 0 counts what was let through. Metrics and notifications hold these: append only. */
enum reason : __u8 {
	REASON_FORWARDED,
	REASON_MISSED_TAIL_CALL,
	REASON_UNKNOWN_L3,
	REASON_TRUNCATED,
	REASON_BAD_IPV4,
	REASON_BAD_IPV6,
	REASON_EXT_CHAIN_TOO_LONG,
	REASON_BAD_L4,
	REASON_FRAG_NOT_FOUND,
	REASON_BAD_SOURCE,
	REASON_POLICY_DENIED,
	REASON_POLICY_DENIED_CIDR,
	REASON_NO_POLICY,
	REASON_CT_INVALID,
	REASON_CT_NO_MEMORY,
	REASON_ICMP_UNRELATED,
	REASON_NO_BACKEND,
	REASON_HAIRPIN,
	REASON_NO_REVERSE_NAT,
	REASON_REWRITE_FAILED,
	REASON_TTL_EXCEEDED,
	REASON_NO_ROUTE,
	REASON_TOO_BIG,
};

/* A transport flow. Ports are 0 where there are none; an ICMP echo has its identifier on the requester's side. */
struct flow {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 reserved[3];
};

enum packet_flags {
	/* A fragment that is not the first: no transport header. */
	PKT_LATER_FRAGMENT = 1 << 0,
	/* An ICMP error; `inner` is the flow of the packet it quotes. */
	PKT_ICMP_ERROR = 1 << 1,
};

/* What the stages know about the packet. */
struct packet {
	struct flow flow;
	struct flow inner;
	__u32 src_identity;
	__u32 dst_identity;
	/* Service whose backend was chosen, 0: none. */
	__u16 service;
	/* Offsets from the MAC header. */
	__u16 l4_off;
	__u16 inner_l3_off;
	__u16 inner_l4_off;
	__u8 family;
	__u8 flags;
	__u8 tcp_flags;
	__u8 reserved;
};

/* The packet passes from stage to stage here; programs do not migrate between CPUs, not even over a tail call. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} scratch SEC(".maps");

static __always_inline struct packet *packet_state(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Words of skb->cb. */
enum {
	CB_DIRECTION,
	CB_REASON,
};

/* The stages; `stages` itself stands with the programs, in veth.bpf.c. */
static __always_inline void call_stage(struct __sk_buff *skb, __u32 stage);

#endif
