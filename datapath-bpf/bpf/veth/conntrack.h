/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Connections: which packets belong to one, and what state it is in. */
#ifndef VETH_CONNTRACK_H
#define VETH_CONNTRACK_H

#include "state.h"

/* The first packet's flow, the direction that packet had, and whose connection it is. */
struct ct_key {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	enum direction direction;
	__u16 endpoint;
};

enum ct_state : __u8 {
	/* Not TCP. */
	CT_UNREPLIED,
	CT_REPLIED,
	/* TCP: RFC 9293, 3.3.2, as far as an onlooker can tell. */
	CT_SYN_SENT,
	CT_SYN_RECEIVED,
	CT_ESTABLISHED,
	CT_HALF_CLOSED,
	CT_CLOSED,
	CT_RESET,
};

/* Index of the per-side fields. */
enum {
	SIDE_ORIGINAL,
	SIDE_REPLY,
};

struct ct_value {
	__u64 last_seen_ns;
	__u64 expires_ns;
	__u64 packets[2];
	__u64 bytes[2];
	__u32 remote_identity;
	/* The service whose address the client used, 0: none. */
	__u16 service;
	enum ct_state state;
	/* TCP flags seen so far, by side. */
	__u8 seen[2];
	/* Whether an ICMP error spoke of it. */
	__u8 related;
	__u8 reserved[2];
	/* In DIR_SERVICE entries: the chosen backend. */
	__u32 backend;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct ct_key);
	__type(value, struct ct_value);
} conntrack SEC(".maps");

enum ct_result {
	CT_RESULT_NEW,
	CT_RESULT_ORIGINAL,
	CT_RESULT_REPLY,
	CT_RESULT_RELATED,
	CT_RESULT_INVALID,
};

static __always_inline enum direction opposite(enum direction direction)
{
	return direction == DIR_EGRESS ? DIR_INGRESS : DIR_EGRESS;
}

static __always_inline void key_forward(struct ct_key *key, const struct flow *flow, enum direction direction)
{
	key->saddr = flow->saddr;
	key->daddr = flow->daddr;
	key->sport = flow->sport;
	key->dport = flow->dport;
	key->proto = flow->proto;
	key->direction = direction;
	key->endpoint = config.endpoint;
}

/* The key under which the connection stands if this flow is its reply direction. */
static __always_inline void key_reverse(struct ct_key *key, const struct flow *flow, enum direction direction)
{
	key->saddr = flow->daddr;
	key->daddr = flow->saddr;
	key->sport = flow->dport;
	key->dport = flow->sport;
	key->proto = flow->proto;
	key->direction = direction;
	key->endpoint = config.endpoint;
}

static __always_inline struct ct_value *ct_live(const struct ct_key *key, __u64 now)
{
	struct ct_value *value = bpf_map_lookup_elem(&conntrack, key);

	return value && value->expires_ns > now ? value : NULL;
}

static __always_inline int is_opening(const struct packet *pkt)
{
	return pkt->flow.proto == IPPROTO_TCP && !(pkt->flags & PKT_LATER_FRAGMENT) &&
	       (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* A connection that is over does not take a new one's SYN for its own. */
static __always_inline int is_over(const struct ct_value *value)
{
	return value->state == CT_CLOSED || value->state == CT_RESET;
}

/* RFC 9293: combinations no implementation sends. */
static __always_inline int has_bad_flags(__u8 flags)
{
	flags &= TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK;
	return !flags || (flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN) ||
	       (flags & (TCP_SYN | TCP_RST)) == (TCP_SYN | TCP_RST) ||
	       (flags & (TCP_FIN | TCP_ACK)) == TCP_FIN;
}

static __always_inline enum ct_state tcp_state(const struct ct_value *value, __u8 flags, int side)
{
	enum ct_state state = value->state;

	if (flags & TCP_RST || state == CT_RESET)
		return CT_RESET;
	if (flags & TCP_FIN)
		return value->seen[!side] & TCP_FIN ? CT_CLOSED : CT_HALF_CLOSED;
	if (state == CT_SYN_SENT && side == SIDE_REPLY && (flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		return CT_SYN_RECEIVED;
	if (state == CT_SYN_RECEIVED && side == SIDE_ORIGINAL && (flags & (TCP_SYN | TCP_ACK)) == TCP_ACK)
		return CT_ESTABLISHED;
	return state;
}

static __always_inline __u32 ct_timeout(const struct ct_value *value, __u8 proto)
{
	switch (value->state) {
	case CT_SYN_SENT:
	case CT_SYN_RECEIVED:
		return config.timeouts.tcp_syn;
	case CT_ESTABLISHED:
		return config.timeouts.tcp_established;
	case CT_HALF_CLOSED:
		return config.timeouts.tcp_half_closed;
	case CT_CLOSED:
	case CT_RESET:
		return config.timeouts.tcp_closed;
	case CT_UNREPLIED:
	case CT_REPLIED:
		break;
	}
	if (proto == IPPROTO_UDP)
		return value->state == CT_REPLIED ? config.timeouts.udp_replied : config.timeouts.udp_unreplied;
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		return config.timeouts.icmp;
	return config.timeouts.other;
}

/* Accounts for a packet and moves the connection's state. */
static __always_inline void ct_advance(struct __sk_buff *skb, const struct packet *pkt, struct ct_value *value,
				       int side, __u64 now)
{
	__u8 flags = pkt->flags & PKT_LATER_FRAGMENT ? 0 : pkt->tcp_flags;

	if (pkt->flow.proto == IPPROTO_TCP) {
		value->state = tcp_state(value, flags, side);
		value->seen[side] |= flags;
	} else if (side == SIDE_REPLY) {
		value->state = CT_REPLIED;
	}
	__sync_fetch_and_add(&value->packets[side], 1);
	__sync_fetch_and_add(&value->bytes[side], skb->len);
	value->last_seen_ns = now;
	value->expires_ns = now + ct_timeout(value, pkt->flow.proto) * NSEC_PER_SEC;
}

/* The connection an ICMP error speaks of. The quoted packet went the other way, and may have been either side's. */
static __always_inline int ct_related(struct packet *pkt, enum direction direction, __u64 now)
{
	struct ct_value *value;
	struct ct_key key;

	key_forward(&key, &pkt->inner, opposite(direction));
	value = ct_live(&key, now);
	if (value) {
		pkt->service = value->service;
	} else {
		key_reverse(&key, &pkt->inner, direction);
		value = ct_live(&key, now);
		if (!value)
			return CT_RESULT_INVALID;
	}
	value->related = 1;
	return CT_RESULT_RELATED;
}

/* Finds the packet's connection and accounts for it: enum ct_result. Sets the service to translate back. */
static __noinline int ct_lookup(struct __sk_buff *skb, struct packet *pkt, __u64 now)
{
	enum direction direction = skb->cb[CB_DIRECTION];
	struct ct_value *value;
	struct ct_key key;

	if (!pkt)
		return CT_RESULT_INVALID;
	if (pkt->flags & PKT_ICMP_ERROR)
		return ct_related(pkt, direction, now);
	if (pkt->flow.proto == IPPROTO_TCP && !(pkt->flags & PKT_LATER_FRAGMENT) && has_bad_flags(pkt->tcp_flags))
		return CT_RESULT_INVALID;

	key_reverse(&key, &pkt->flow, opposite(direction));
	value = ct_live(&key, now);
	if (value && !(is_over(value) && is_opening(pkt))) {
		ct_advance(skb, pkt, value, SIDE_REPLY, now);
		pkt->service = value->service;
		return CT_RESULT_REPLY;
	}
	key_forward(&key, &pkt->flow, direction);
	value = ct_live(&key, now);
	if (value && !(is_over(value) && is_opening(pkt))) {
		ct_advance(skb, pkt, value, SIDE_ORIGINAL, now);
		return CT_RESULT_ORIGINAL;
	}
	if (pkt->flow.proto == IPPROTO_TCP && !is_opening(pkt) && !config.tcp_loose)
		return CT_RESULT_INVALID;
	return CT_RESULT_NEW;
}

/* The state a connection begins in. One picked up in its middle, or seen from one side, passes for established. */
static __always_inline enum ct_state ct_first_state(const struct packet *pkt, int both_sides)
{
	if (pkt->flow.proto != IPPROTO_TCP)
		return CT_UNREPLIED;
	return both_sides && is_opening(pkt) ? CT_SYN_SENT : CT_ESTABLISHED;
}

/* Begins the connection `value`, whose state is set, under `key`: 0 or the reason to drop. */
static __always_inline int ct_create(struct __sk_buff *skb, const struct packet *pkt, const struct ct_key *key,
				     struct ct_value *value, __u64 now)
{
	ct_advance(skb, pkt, value, SIDE_ORIGINAL, now);
	return bpf_map_update_elem(&conntrack, key, value, BPF_ANY) ? REASON_CT_NO_MEMORY : 0;
}

#endif
