/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Sending a packet on to a server. */
#ifndef PREFILTER_FORWARD_H
#define PREFILTER_FORWARD_H

#include "balance.h"
#include "state.h"

#define OUTER_TTL 64

/* The Ethernet header with its VLAN tags, kept while the packet's head moves. */
struct l2 {
	__u8 bytes[MAX_L2_LEN];
};

static __always_inline void copy_mac(__u8 *to, const volatile __u8 *from)
{
	for (int i = 0; i < ETH_ALEN; i++)
		to[i] = from[i];
}

static __always_inline int save_l2(struct xdp_md *xdp, struct l2 *l2)
{
	void *data_end = (void *)(long)xdp->data_end;
	void *data = (void *)(long)xdp->data;

	/* An IP header is behind it: this much there is, with or without tags. */
	if (data + MAX_L2_LEN > data_end)
		return -1;
	memcpy(l2->bytes, data, MAX_L2_LEN);
	return 0;
}

/* Puts the Ethernet header, `len` bytes with its tags, at the new head, announcing `proto` and going to `dst`. */
static __always_inline int restore_l2(void *data, void *data_end, const struct l2 *l2, __u32 len, __be16 proto,
				      const volatile __u8 *dst)
{
	__u8 *to = data;

	if (data + MAX_L2_LEN > data_end)
		return -1;
	copy_mac(to, dst);
	copy_mac(to + ETH_ALEN, config.mac);
	to += 2 * ETH_ALEN;
	if (len == ETH_HLEN) {
		memcpy(to, &proto, sizeof(proto));
	} else if (len == ETH_HLEN + sizeof(struct vlanhdr)) {
		memcpy(to, l2->bytes + 2 * ETH_ALEN, 4);
		memcpy(to + 4, &proto, sizeof(proto));
	} else {
		memcpy(to, l2->bytes + 2 * ETH_ALEN, 8);
		memcpy(to + 8, &proto, sizeof(proto));
	}
	return 0;
}

static __always_inline __be16 ipv4_checksum(struct iphdr *ip)
{
	__u64 sum = bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0);

	sum = (sum & 0xffff) + (sum >> 16 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* What encapsulation puts between the Ethernet header and the packet. */
static __always_inline __u32 overhead(const struct service *service, const struct server *server)
{
	__u32 ip = server->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	switch (service->forwarding) {
	case FORWARD_IPIP:
		return ip;
	case FORWARD_GUE:
		return ip + sizeof(struct udphdr);
	case FORWARD_DSR:
		break;
	}
	return 0;
}

/*
 * The protocol number of the packet inside an IP header: IPv4 or IPv6, or UDP with variant 1 of GUE, which needs no
 * number, for the packet's own version says what it is.
 */
static __always_inline __u8 inner_proto(const struct parsed *packet, enum forwarding forwarding)
{
	if (forwarding == FORWARD_GUE)
		return IPPROTO_UDP;
	return packet->family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/* Fills the outer headers at `l3`; `hash` varies the UDP source port, so that routers spread flows. */
static __always_inline int fill_outer(void *l3, void *data_end, const struct parsed *packet,
				      const struct server *server, enum forwarding forwarding, __u32 hash)
{
	__u32 payload = packet->l3_len + (forwarding == FORWARD_GUE ? sizeof(struct udphdr) : 0);
	__u8 proto = inner_proto(packet, forwarding);
	struct udphdr *udp;

	if (server->family == AF_INET) {
		struct iphdr outer = {
			.ver_ihl = 0x45,
			.tot_len = htons(sizeof(outer) + payload),
			.frag_off = htons(IP_DF),
			.ttl = OUTER_TTL,
			.protocol = proto,
			.saddr = config.encap_ipv4,
			.daddr = server->addr.w[3],
		};

		outer.check = ipv4_checksum(&outer);
		if (l3 + sizeof(outer) > data_end)
			return -1;
		memcpy(l3, &outer, sizeof(outer));
		udp = l3 + sizeof(outer);
	} else {
		struct ipv6hdr outer = {
			.ver_tc_flow = htonl(6U << 28),
			.payload_len = htons(payload),
			.nexthdr = proto,
			.hop_limit = OUTER_TTL,
			.daddr = server->addr,
		};

		for (int i = 0; i < 4; i++)
			outer.saddr.w[i] = config.encap_ipv6.w[i];
		if (l3 + sizeof(outer) > data_end)
			return -1;
		memcpy(l3, &outer, sizeof(outer));
		udp = l3 + sizeof(outer);
	}
	if (forwarding != FORWARD_GUE)
		return 0;
	if ((void *)(udp + 1) > data_end)
		return -1;
	udp->source = htons(0xc000 | (hash & 0x3fff));
	udp->dest = config.gue_port;
	udp->len = htons(payload);
	/* RFC 768 and, for tunnels over IPv6, RFC 6935: the inner checksum is enough. */
	udp->check = 0;
	return 0;
}

/* Wraps the packet and sends it to the router. */
static __noinline int encapsulate(struct xdp_md *xdp, const struct parsed *packet, const struct server *server,
				  enum forwarding forwarding, __u32 hash)
{
	__u32 l2_len, room;
	void *data, *data_end;
	struct l2 l2;
	__be16 proto;

	if (!packet || !server)
		return -1;
	l2_len = packet->l3_off;
	room = server->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (forwarding == FORWARD_GUE)
		room += sizeof(struct udphdr);
	proto = server->family == AF_INET ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	if (save_l2(xdp, &l2) || bpf_xdp_adjust_head(xdp, -(int)room))
		return -1;
	data = (void *)(long)xdp->data;
	data_end = (void *)(long)xdp->data_end;
	if (restore_l2(data, data_end, &l2, l2_len, proto, config.router_mac))
		return -1;
	barrier_var(l2_len);
	if (l2_len > MAX_L2_LEN)
		return -1;
	return fill_outer(data + l2_len, data_end, packet, server, forwarding, hash);
}

/* Direct server return: only the MAC addresses change. */
static __always_inline int send_directly(struct xdp_md *xdp, const struct server *server)
{
	void *data_end = (void *)(long)xdp->data_end;
	struct ethhdr *eth = (void *)(long)xdp->data;

	if ((void *)(eth + 1) > data_end)
		return -1;
	copy_mac(eth->dst, server->mac);
	copy_mac(eth->src, config.mac);
	return 0;
}

#endif
