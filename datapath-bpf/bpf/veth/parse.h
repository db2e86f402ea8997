/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to `struct packet`. Each function returns 0 or the reason to drop. */
#ifndef VETH_PARSE_H
#define VETH_PARSE_H

#include "state.h"

/* Extension headers followed before a chain is taken for an attack. */
#define MAX_EXT_HEADERS 8

/*
 * Fragments after the first have no ports: the first one leaves them here. RFC 8200 identifies the datagram by
 * addresses and identification, RFC 791 by the protocol too.
 */
struct frag_key {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__u32 id;
	__u8 proto;
	__u8 family;
	__u16 endpoint;
};

struct frag_value {
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct frag_key);
	__type(value, struct frag_value);
} fragments SEC(".maps");

/* The protocol and place that a chain of extension headers leads to. */
struct chain {
	__u32 off;
	__u32 frag_id;
	__u8 proto;
	__u8 is_fragment;
	__u8 later_fragment;
};

/* Follows the extension headers at chain->off, the first of type chain->proto. */
static __noinline int follow_chain(struct __sk_buff *skb, struct chain *chain)
{
	struct ipv6_frag frag;
	struct ipv6_ext ext;

	if (!chain)
		return REASON_BAD_IPV6;
	for (int i = 0; i <= MAX_EXT_HEADERS; i++) {
		switch (chain->proto) {
		case IPPROTO_HOPOPTS:
			/* RFC 8200, 4.1: only directly behind the IPv6 header. */
			if (i)
				return REASON_BAD_IPV6;
			__attribute__((fallthrough));
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (bpf_skb_load_bytes(skb, chain->off, &ext, sizeof(ext)))
				return REASON_TRUNCATED;
			chain->off += (ext.len + 1) * 8;
			chain->proto = ext.nexthdr;
			break;
		case IPPROTO_AH:
			if (bpf_skb_load_bytes(skb, chain->off, &ext, sizeof(ext)))
				return REASON_TRUNCATED;
			chain->off += (ext.len + 2) * 4;
			chain->proto = ext.nexthdr;
			break;
		case IPPROTO_FRAGMENT:
			if (bpf_skb_load_bytes(skb, chain->off, &frag, sizeof(frag)))
				return REASON_TRUNCATED;
			chain->off += sizeof(frag);
			chain->proto = frag.nexthdr;
			chain->frag_id = ntohl(frag.id);
			/* RFC 6946: a fragment that is the whole datagram is none. */
			chain->is_fragment = (frag.frag_off & htons(IPV6_OFFSET | IPV6_MF)) != 0;
			chain->later_fragment = (frag.frag_off & htons(IPV6_OFFSET)) != 0;
			if (chain->later_fragment)
				return 0;
			break;
		default:
			return 0;
		}
	}
	return REASON_EXT_CHAIN_TOO_LONG;
}

static __always_inline int is_icmp_error(__u8 proto, __u8 type)
{
	if (proto == IPPROTO_ICMPV6)
		return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* The identifier of an echo stands on the side of the one who asked, so that request and reply are one flow. */
static __always_inline void echo_ports(struct flow *flow, const struct icmphdr *icmp)
{
	if (icmp->type == ICMP_ECHO || icmp->type == ICMPV6_ECHO_REQUEST)
		flow->sport = icmp->id;
	else if (icmp->type == ICMP_ECHOREPLY || icmp->type == ICMPV6_ECHO_REPLY)
		flow->dport = icmp->id;
}

/* The ports of the flow quoted by an ICMP error, of which eight bytes are certain (RFC 792). */
static __always_inline int parse_inner_l4(struct __sk_buff *skb, struct packet *pkt)
{
	struct flow *inner = &pkt->inner;
	struct icmphdr icmp;
	__be16 ports[2];

	switch (inner->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		if (bpf_skb_load_bytes(skb, pkt->inner_l4_off, ports, sizeof(ports)))
			return REASON_TRUNCATED;
		inner->sport = ports[0];
		inner->dport = ports[1];
		return 0;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (bpf_skb_load_bytes(skb, pkt->inner_l4_off, &icmp, sizeof(icmp)))
			return REASON_TRUNCATED;
		echo_ports(inner, &icmp);
	}
	return 0;
}

static __always_inline int parse_inner_ipv4(struct __sk_buff *skb, struct packet *pkt)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, pkt->inner_l3_off, &ip, sizeof(ip)))
		return REASON_TRUNCATED;
	if (ip.ver_ihl >> 4 != 4 || (ip.ver_ihl & 0xf) < 5)
		return REASON_BAD_IPV4;
	if (ip.frag_off & htons(IP_OFFSET))
		return REASON_ICMP_UNRELATED;
	addr_map_v4(&pkt->inner.saddr, ip.saddr);
	addr_map_v4(&pkt->inner.daddr, ip.daddr);
	pkt->inner.proto = ip.protocol;
	pkt->inner_l4_off = pkt->inner_l3_off + (ip.ver_ihl & 0xf) * 4;
	return parse_inner_l4(skb, pkt);
}

static __always_inline int parse_inner_ipv6(struct __sk_buff *skb, struct packet *pkt)
{
	struct chain chain = {};
	struct ipv6hdr ip6;
	int reason;

	if (bpf_skb_load_bytes(skb, pkt->inner_l3_off, &ip6, sizeof(ip6)))
		return REASON_TRUNCATED;
	if (ntohl(ip6.ver_tc_flow) >> 28 != 6)
		return REASON_BAD_IPV6;
	chain.off = pkt->inner_l3_off + sizeof(ip6);
	chain.proto = ip6.nexthdr;
	reason = follow_chain(skb, &chain);
	if (reason)
		return reason;
	if (chain.later_fragment)
		return REASON_ICMP_UNRELATED;
	pkt->inner.saddr = ip6.saddr;
	pkt->inner.daddr = ip6.daddr;
	pkt->inner.proto = chain.proto;
	pkt->inner_l4_off = chain.off;
	return parse_inner_l4(skb, pkt);
}

static __always_inline int parse_icmp(struct __sk_buff *skb, struct packet *pkt)
{
	struct icmphdr icmp;

	if (bpf_skb_load_bytes(skb, pkt->l4_off, &icmp, sizeof(icmp)))
		return REASON_TRUNCATED;
	if (!is_icmp_error(pkt->flow.proto, icmp.type)) {
		echo_ports(&pkt->flow, &icmp);
		return 0;
	}
	pkt->flags |= PKT_ICMP_ERROR;
	pkt->inner_l3_off = pkt->l4_off + sizeof(icmp);
	return pkt->family == AF_INET ? parse_inner_ipv4(skb, pkt) : parse_inner_ipv6(skb, pkt);
}

static __always_inline int parse_l4(struct __sk_buff *skb, struct packet *pkt)
{
	struct tcphdr_head tcp;
	struct udphdr udp;

	switch (pkt->flow.proto) {
	case IPPROTO_TCP:
		if (bpf_skb_load_bytes(skb, pkt->l4_off, &tcp, sizeof(tcp)))
			return REASON_TRUNCATED;
		if (tcp.doff >> 4 < 5)
			return REASON_BAD_L4;
		pkt->flow.sport = tcp.source;
		pkt->flow.dport = tcp.dest;
		pkt->tcp_flags = tcp.flags;
		return 0;
	case IPPROTO_UDP:
		if (bpf_skb_load_bytes(skb, pkt->l4_off, &udp, sizeof(udp)))
			return REASON_TRUNCATED;
		pkt->flow.sport = udp.source;
		pkt->flow.dport = udp.dest;
		return 0;
	case IPPROTO_ICMP:
		return pkt->family == AF_INET ? parse_icmp(skb, pkt) : 0;
	case IPPROTO_ICMPV6:
		return pkt->family == AF_INET6 ? parse_icmp(skb, pkt) : 0;
	}
	return 0;
}

/* The transport header of a fragmented datagram: parsed in the first fragment, remembered for the others. */
static __always_inline int parse_fragment(struct __sk_buff *skb, struct packet *pkt, __u32 id, int later)
{
	struct frag_key key = {
		.saddr = pkt->flow.saddr,
		.daddr = pkt->flow.daddr,
		.id = id,
		.proto = pkt->family == AF_INET ? pkt->flow.proto : 0,
		.family = pkt->family,
		.endpoint = config.endpoint,
	};
	struct frag_value value = {};
	struct frag_value *known;
	int reason;

	if (!later) {
		reason = parse_l4(skb, pkt);
		if (reason)
			return reason;
		value.sport = pkt->flow.sport;
		value.dport = pkt->flow.dport;
		value.proto = pkt->flow.proto;
		bpf_map_update_elem(&fragments, &key, &value, BPF_ANY);
		return 0;
	}
	pkt->flags |= PKT_LATER_FRAGMENT;
	known = bpf_map_lookup_elem(&fragments, &key);
	if (!known)
		return REASON_FRAG_NOT_FOUND;
	pkt->flow.sport = known->sport;
	pkt->flow.dport = known->dport;
	pkt->flow.proto = known->proto;
	return 0;
}

/* The IPv4 header is read in place: 34 bytes of linear data are what every driver gives. */
static __always_inline int parse_ipv4(struct __sk_buff *skb, struct packet *pkt)
{
	void *data_end = (void *)(long)skb->data_end;
	void *data = (void *)(long)skb->data;
	const struct iphdr *ip = data + ETH_HLEN;
	__u32 ihl, tot_len;
	__be16 frag_off;

	pkt->family = AF_INET;
	if ((void *)(ip + 1) > data_end)
		return REASON_TRUNCATED;
	ihl = (ip->ver_ihl & 0xf) * 4;
	tot_len = ntohs(ip->tot_len);
	if (ip->ver_ihl >> 4 != 4 || ihl < sizeof(*ip) || tot_len < ihl)
		return REASON_BAD_IPV4;
	if (ETH_HLEN + tot_len > skb->len)
		return REASON_TRUNCATED;
	addr_map_v4(&pkt->flow.saddr, ip->saddr);
	addr_map_v4(&pkt->flow.daddr, ip->daddr);
	pkt->flow.proto = ip->protocol;
	pkt->l4_off = ETH_HLEN + ihl;
	frag_off = ip->frag_off;
	if (frag_off & htons(IP_MF | IP_OFFSET))
		return parse_fragment(skb, pkt, ntohs(ip->id), (frag_off & htons(IP_OFFSET)) != 0);
	return parse_l4(skb, pkt);
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct packet *pkt)
{
	void *data_end = (void *)(long)skb->data_end;
	void *data = (void *)(long)skb->data;
	const struct ipv6hdr *ip6 = data + ETH_HLEN;
	struct chain chain = {};
	int reason;

	pkt->family = AF_INET6;
	if ((void *)(ip6 + 1) > data_end)
		return REASON_TRUNCATED;
	if (ntohl(ip6->ver_tc_flow) >> 28 != 6)
		return REASON_BAD_IPV6;
	if (ETH_HLEN + sizeof(*ip6) + ntohs(ip6->payload_len) > skb->len)
		return REASON_TRUNCATED;
	pkt->flow.saddr = ip6->saddr;
	pkt->flow.daddr = ip6->daddr;
	chain.off = ETH_HLEN + sizeof(*ip6);
	chain.proto = ip6->nexthdr;
	reason = follow_chain(skb, &chain);
	if (reason)
		return reason;
	pkt->flow.proto = chain.proto;
	pkt->l4_off = chain.off;
	if (chain.is_fragment)
		return parse_fragment(skb, pkt, chain.frag_id, chain.later_fragment);
	return parse_l4(skb, pkt);
}

#endif
