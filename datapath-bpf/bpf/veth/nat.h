/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Rewriting addresses and ports, with every checksum that covers them. */
#ifndef VETH_NAT_H
#define VETH_NAT_H

#include "state.h"

/* Offsets from the MAC header of what a rewrite touches. */
struct rewrite {
	__u16 addr_off;
	/* 0: IPv6 has none. */
	__u16 ip_check_off;
	/* Of the transport header; 0: a later fragment has none. */
	__u16 port_off;
	__u16 check_off;
	__u8 family;
	__u8 proto;
};

static __always_inline __u16 l4_check_off(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return TCP_CHECK_OFF;
	case IPPROTO_UDP:
		return UDP_CHECK_OFF;
	case IPPROTO_ICMPV6:
		return ICMP_CHECK_OFF;
	}
	return 0;
}

/* Where the source or destination of an IP header at `l3_off`, with its transport header at `l4_off`, stands. */
static __always_inline void rewrite_at(struct rewrite *at, __u8 family, __u8 proto, __u16 l3_off, __u16 l4_off,
				       int source)
{
	__u16 check = l4_check_off(proto);

	memset(at, 0, sizeof(*at));
	at->family = family;
	at->proto = proto;
	if (family == AF_INET) {
		at->addr_off = l3_off + (source ? 12 : 16);
		at->ip_check_off = l3_off + 10;
	} else {
		at->addr_off = l3_off + (source ? 8 : 24);
	}
	if (l4_off && (proto == IPPROTO_TCP || proto == IPPROTO_UDP))
		at->port_off = l4_off + (source ? 0 : 2);
	if (l4_off && check)
		at->check_off = l4_off + check;
}

/* The transport checksum after the address in the pseudo-header changed. */
static __always_inline long update_pseudo(struct __sk_buff *skb, const struct rewrite *at, const struct in6_addr *from,
					  const struct in6_addr *to)
{
	__u64 flags = BPF_F_PSEUDO_HDR | (at->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
	struct in6_addr old = *from, new = *to;
	__s64 diff;

	if (at->family == AF_INET)
		return bpf_l4_csum_replace(skb, at->check_off, old.w[3], new.w[3], flags | sizeof(__be32));
	diff = bpf_csum_diff(old.w, sizeof(old), new.w, sizeof(new), 0);
	return bpf_l4_csum_replace(skb, at->check_off, 0, diff, flags);
}

/* Replaces address `from` by `to` and port `from_port` by `to_port`: 0 or negative. */
static __noinline int rewrite(struct __sk_buff *skb, const struct rewrite *at, const struct in6_addr *from,
			      const struct in6_addr *to, __u32 ports)
{
	__be16 from_port = ports >> 16, to_port = ports;
	struct in6_addr new;

	if (!at || !from || !to)
		return -1;
	new = *to;
	if (at->check_off && update_pseudo(skb, at, from, to))
		return -1;
	if (at->family == AF_INET) {
		if (bpf_l3_csum_replace(skb, at->ip_check_off, from->w[3], new.w[3], sizeof(__be32)) ||
		    bpf_skb_store_bytes(skb, at->addr_off, &new.w[3], sizeof(__be32), 0))
			return -1;
	} else if (bpf_skb_store_bytes(skb, at->addr_off, &new, sizeof(new), 0)) {
		return -1;
	}
	if (!at->port_off || from_port == to_port)
		return 0;
	if (at->check_off &&
	    bpf_l4_csum_replace(skb, at->check_off, from_port, to_port,
				sizeof(__be16) | (at->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0)))
		return -1;
	return bpf_skb_store_bytes(skb, at->port_off, &to_port, sizeof(to_port), 0);
}

static __always_inline __u32 port_pair(__be16 from, __be16 to)
{
	return (__u32)from << 16 | to;
}

/* Gives the packet another destination. */
static __always_inline int translate_destination(struct __sk_buff *skb, struct packet *pkt, const struct in6_addr *to,
						 __be16 port)
{
	struct rewrite at;

	rewrite_at(&at, pkt->family, pkt->flow.proto, ETH_HLEN, pkt->flags & PKT_LATER_FRAGMENT ? 0 : pkt->l4_off, 0);
	if (rewrite(skb, &at, &pkt->flow.daddr, to, port_pair(pkt->flow.dport, port)))
		return REASON_REWRITE_FAILED;
	pkt->flow.daddr = *to;
	pkt->flow.dport = port;
	return 0;
}

/* Gives the packet another source. */
static __always_inline int translate_source(struct __sk_buff *skb, struct packet *pkt, const struct in6_addr *to,
					    __be16 port)
{
	struct rewrite at;

	rewrite_at(&at, pkt->family, pkt->flow.proto, ETH_HLEN, pkt->flags & PKT_LATER_FRAGMENT ? 0 : pkt->l4_off, 1);
	if (rewrite(skb, &at, &pkt->flow.saddr, to, port_pair(pkt->flow.sport, port)))
		return REASON_REWRITE_FAILED;
	pkt->flow.saddr = *to;
	pkt->flow.sport = port;
	return 0;
}

/*
 * Translates back an ICMP error about a packet sent to a service: in the quoted packet the backend, its destination,
 * becomes the service again; if the backend itself sent the error, so does the error's source.
 *
 * The ICMP checksum covers the quoted packet. A quoted IPv4 header sums to the same before and after, since its own
 * checksum makes up for the address; what is left are the port, the transport checksum (where the quote is long enough
 * to hold it) and IPv6 addresses.
 */
static __always_inline int translate_related(struct __sk_buff *skb, struct packet *pkt, const struct in6_addr *to,
					     __be16 port)
{
	__u16 icmp_check = pkt->l4_off + ICMP_CHECK_OFF;
	struct in6_addr backend = pkt->inner.daddr, service = *to;
	__be16 before = 0, after = 0;
	struct rewrite at;

	rewrite_at(&at, pkt->family, pkt->inner.proto, pkt->inner_l3_off, pkt->inner_l4_off, 0);
	if (at.check_off && bpf_skb_load_bytes(skb, at.check_off, &before, sizeof(before)))
		at.check_off = 0;
	if (rewrite(skb, &at, &backend, to, port_pair(pkt->inner.dport, port)))
		return REASON_REWRITE_FAILED;
	if (at.check_off && bpf_skb_load_bytes(skb, at.check_off, &after, sizeof(after)))
		return REASON_REWRITE_FAILED;
	if (bpf_l4_csum_replace(skb, icmp_check, before, after, sizeof(after)) ||
	    bpf_l4_csum_replace(skb, icmp_check, pkt->inner.dport, port, sizeof(port)))
		return REASON_REWRITE_FAILED;
	if (pkt->family == AF_INET6 &&
	    bpf_l4_csum_replace(skb, icmp_check, 0,
				bpf_csum_diff(backend.w, sizeof(backend), service.w, sizeof(service), 0), 0))
		return REASON_REWRITE_FAILED;
	pkt->inner.daddr = *to;
	pkt->inner.dport = port;
	return addr_equal(&pkt->flow.saddr, &backend) ? translate_source(skb, pkt, to, 0) : 0;
}

#endif
