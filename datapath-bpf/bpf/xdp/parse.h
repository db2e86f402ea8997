/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to `struct parsed`, by direct access: every step compares with the end of the packet. */
#ifndef PREFILTER_PARSE_H
#define PREFILTER_PARSE_H

#include "state.h"

enum parse_result {
	PARSED,
	PARSED_NOT_IP,
	PARSED_MALFORMED,
};

#define MAX_EXT_HEADERS 6

/* RFC 768 and RFC 9293 begin alike. */
struct ports {
	__be16 source;
	__be16 dest;
};

static __always_inline int parse_ports(void *l4, void *data_end, struct parsed *packet)
{
	const struct ports *ports = l4;

	if (packet->fragment || (packet->proto != IPPROTO_TCP && packet->proto != IPPROTO_UDP))
		return PARSED;
	if ((void *)(ports + 1) > data_end)
		return PARSED_MALFORMED;
	packet->sport = ports->source;
	packet->dport = ports->dest;
	return PARSED;
}

static __always_inline int parse_ipv4(void *l3, void *data_end, struct parsed *packet)
{
	const struct iphdr *ip = l3;
	__u32 ihl;

	if ((void *)(ip + 1) > data_end)
		return PARSED_MALFORMED;
	ihl = (ip->ver_ihl & 0xf) * 4;
	packet->l3_len = ntohs(ip->tot_len);
	if (ip->ver_ihl >> 4 != 4 || ihl < sizeof(*ip) || packet->l3_len < ihl || l3 + ihl > data_end)
		return PARSED_MALFORMED;
	packet->family = AF_INET;
	addr_map_v4(&packet->saddr, ip->saddr);
	addr_map_v4(&packet->daddr, ip->daddr);
	packet->proto = ip->protocol;
	packet->dont_fragment = (ip->frag_off & htons(IP_DF)) != 0;
	packet->fragment = (ip->frag_off & htons(IP_MF | IP_OFFSET)) != 0;
	return parse_ports(l3 + ihl, data_end, packet);
}

/*
 * The header behind an extension header of type *nexthdr, or NULL if it is cut short. A fragment header is no fragment
 * when it says so (RFC 6946).
 */
static __always_inline void *skip_extension(void *at, void *data_end, __u8 *nexthdr, __u8 *fragment)
{
	const struct ipv6_frag *frag = at;
	const struct ipv6_ext *ext = at;

	if (at + sizeof(*frag) > data_end)
		return NULL;
	if (*nexthdr == IPPROTO_FRAGMENT)
		*fragment = (frag->frag_off & htons(IPV6_OFFSET | IPV6_MF)) != 0;
	switch (*nexthdr) {
	case IPPROTO_FRAGMENT:
		at += sizeof(*frag);
		break;
	case IPPROTO_AH:
		at += (ext->len + 2) * 4;
		break;
	default:
		at += (ext->len + 1) * 8;
	}
	*nexthdr = ext->nexthdr;
	return at;
}

static __always_inline int parse_ipv6(void *l3, void *data_end, struct parsed *packet)
{
	const struct ipv6hdr *ip6 = l3;
	void *at = l3 + sizeof(*ip6);
	__u8 nexthdr;

	if (at > data_end || ntohl(ip6->ver_tc_flow) >> 28 != 6)
		return PARSED_MALFORMED;
	packet->family = AF_INET6;
	packet->saddr = ip6->saddr;
	packet->daddr = ip6->daddr;
	packet->l3_len = sizeof(*ip6) + ntohs(ip6->payload_len);
	packet->dont_fragment = 1;
	nexthdr = ip6->nexthdr;
	for (int i = 0; i <= MAX_EXT_HEADERS; i++) {
		switch (nexthdr) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			at = skip_extension(at, data_end, &nexthdr, &packet->fragment);
			if (!at)
				return PARSED_MALFORMED;
			if (packet->fragment)
				return PARSED;
			break;
		default:
			packet->proto = nexthdr;
			return parse_ports(at, data_end, packet);
		}
	}
	return PARSED_MALFORMED;
}

/* The whole packet, of `bytes` bytes; what the IP header claims must be there. */
static __always_inline int parse(struct xdp_md *xdp, struct parsed *packet, __u64 bytes)
{
	void *data_end = (void *)(long)xdp->data_end;
	void *data = (void *)(long)xdp->data;
	const struct ethhdr *eth = data;
	void *l3 = data + sizeof(*eth);
	__be16 proto;
	int result;

	if (l3 > data_end)
		return PARSED_NOT_IP;
	proto = eth->proto;
	for (int i = 0; i < 2; i++) {
		const struct vlanhdr *vlan = l3;

		if (proto != htons(ETH_P_8021Q) && proto != htons(ETH_P_8021AD))
			break;
		l3 = (void *)(vlan + 1);
		if (l3 > data_end)
			return PARSED_NOT_IP;
		proto = vlan->proto;
	}
	packet->l3_off = l3 - data;
	if (proto == htons(ETH_P_IP))
		result = parse_ipv4(l3, data_end, packet);
	else if (proto == htons(ETH_P_IPV6))
		result = parse_ipv6(l3, data_end, packet);
	else
		return PARSED_NOT_IP;
	return packet->l3_off + packet->l3_len > bytes ? PARSED_MALFORMED : result;
}

#endif
