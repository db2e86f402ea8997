/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where an accepted packet of the pod goes: to a pod of this node, along a route, or up the stack. */
#ifndef VETH_DELIVER_H
#define VETH_DELIVER_H

#include "neighbour.h"
#include "policy.h"

/* The mark that carries an identity from one pod's program to another's: identity above, this below. */
#define MARK_IDENTITY 0x0d00
#define MARK_MASK 0xff00

/* Router's work: 0 or the reason to drop. */
static __always_inline int decrement_ttl(struct __sk_buff *skb, const struct packet *pkt)
{
	__u32 off = ETH_HLEN + (pkt->family == AF_INET ? 8 : 7);
	__be16 old, new;
	__u8 ttl;

	if (bpf_skb_load_bytes(skb, off, &ttl, sizeof(ttl)))
		return REASON_TRUNCATED;
	if (ttl <= 1)
		return REASON_TTL_EXCEEDED;
	/* The TTL is the first byte of its 16-bit word. */
	old = ttl;
	new = --ttl;
	if (pkt->family == AF_INET && bpf_l3_csum_replace(skb, ETH_HLEN + 10, old, new, sizeof(old)))
		return REASON_REWRITE_FAILED;
	return bpf_skb_store_bytes(skb, off, &ttl, sizeof(ttl), 0) ? REASON_REWRITE_FAILED : 0;
}

static __always_inline int deliver_to_pod(struct __sk_buff *skb, const struct packet *pkt, const struct endpoint *to)
{
	__u32 ifindex = to->ifindex;
	__u8 mac[ETH_ALEN];
	int reason;

	memcpy(mac, to->mac, ETH_ALEN);
	reason = decrement_ttl(skb, pkt);
	if (reason)
		return drop(skb, reason);
	if (store_macs(skb, mac, config.gateway_mac))
		return drop(skb, REASON_REWRITE_FAILED);
	count(skb, REASON_FORWARDED);
	return config.delivery == DELIVER_REDIRECT_PEER ? bpf_redirect_peer(ifindex, 0) : bpf_redirect(ifindex, 0);
}

static __always_inline int deliver_by_route(struct __sk_buff *skb, const struct packet *pkt)
{
	struct bpf_fib_lookup route = {
		.family = pkt->family,
		.l4_protocol = pkt->flow.proto,
		.tot_len = skb->len - ETH_HLEN,
		.ifindex = skb->ifindex,
	};
	long found;
	int reason;

	if (pkt->family == AF_INET) {
		route.ipv4_src_or_ipv6_src[0] = pkt->flow.saddr.w[3];
		route.ipv4_dst_or_ipv6_dst[0] = pkt->flow.daddr.w[3];
	} else {
		memcpy(route.ipv4_src_or_ipv6_src, &pkt->flow.saddr, 16);
		memcpy(route.ipv4_dst_or_ipv6_dst, &pkt->flow.daddr, 16);
	}
	found = bpf_fib_lookup(skb, &route, sizeof(route), 0);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return drop(skb, REASON_TOO_BIG);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return drop(skb, REASON_NO_ROUTE);
	reason = decrement_ttl(skb, pkt);
	if (reason)
		return drop(skb, reason);
	if (found == BPF_FIB_LKUP_RET_NO_NEIGH) {
		count(skb, REASON_FORWARDED);
		return bpf_redirect_neigh(route.ifindex, NULL, 0, 0);
	}
	if (store_macs(skb, route.dmac, route.smac))
		return drop(skb, REASON_REWRITE_FAILED);
	count(skb, REASON_FORWARDED);
	return bpf_redirect(route.ifindex, 0);
}

static __always_inline int deliver(struct __sk_buff *skb, const struct packet *pkt)
{
	struct in6_addr to = pkt->flow.daddr;
	const struct endpoint *endpoint;

	if (config.delivery != DELIVER_STACK) {
		endpoint = bpf_map_lookup_elem(&endpoints, &to);
		if (endpoint && endpoint->ifindex)
			return deliver_to_pod(skb, pkt, endpoint);
	}
	if (config.route_by_fib)
		return deliver_by_route(skb, pkt);
	skb->mark = config.identity << 16 | MARK_IDENTITY;
	return pass(skb);
}

#endif
