/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Telling a sender that its packet does not fit: RFC 1191 and RFC 8201. */
#ifndef PREFILTER_TOO_BIG_H
#define PREFILTER_TOO_BIG_H

#include "forward.h"
#include "state.h"

/* Bytes of the packet, from its IP header on, that a reply quotes: header and ports without many options. */
#define QUOTE_LEN 64

/* RFC 1191, 4, and RFC 4443, 3.2. */
struct too_big {
	__u8 type;
	__u8 code;
	__be16 check;
	union {
		struct {
			__be16 unused;
			__be16 mtu;
		} v4;
		__be32 v6_mtu;
	};
};

struct pseudo_header {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be32 len;
	__be32 nexthdr;
};

static __always_inline __be16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The checksum over message and quotation. */
static __always_inline int fill_checksum(struct too_big *message, void *data_end, __u32 seed)
{
	void *quote = message + 1;

	if (quote + QUOTE_LEN > data_end)
		return -1;
	message->check = fold(bpf_csum_diff(NULL, 0, (__be32 *)message, sizeof(*message) + QUOTE_LEN, seed));
	return 0;
}

static __always_inline int fill_reply_v4(void *l3, void *data_end, const struct parsed *packet, __u32 mtu)
{
	struct iphdr ip = {
		.ver_ihl = 0x45,
		.tot_len = htons(sizeof(ip) + sizeof(struct too_big) + QUOTE_LEN),
		.frag_off = htons(IP_DF),
		.ttl = OUTER_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = packet->daddr.w[3],
		.daddr = packet->saddr.w[3],
	};
	struct too_big *message = l3 + sizeof(ip);

	ip.check = ipv4_checksum(&ip);
	if ((void *)(message + 1) > data_end)
		return -1;
	memcpy(l3, &ip, sizeof(ip));
	memset(message, 0, sizeof(*message));
	message->type = ICMP_DEST_UNREACH;
	message->code = 4;
	message->v4.mtu = htons(mtu);
	return fill_checksum(message, data_end, 0);
}

static __always_inline int fill_reply_v6(void *l3, void *data_end, const struct parsed *packet, __u32 mtu)
{
	__u32 len = sizeof(struct too_big) + QUOTE_LEN;
	struct ipv6hdr ip6 = {
		.ver_tc_flow = htonl(6U << 28),
		.payload_len = htons(len),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = OUTER_TTL,
		.saddr = packet->daddr,
		.daddr = packet->saddr,
	};
	struct pseudo_header pseudo = {
		.saddr = packet->daddr,
		.daddr = packet->saddr,
		.len = htonl(len),
		.nexthdr = htonl(IPPROTO_ICMPV6),
	};
	struct too_big *message = l3 + sizeof(ip6);

	if ((void *)(message + 1) > data_end)
		return -1;
	memcpy(l3, &ip6, sizeof(ip6));
	memset(message, 0, sizeof(*message));
	message->type = ICMPV6_PKT_TOOBIG;
	message->v6_mtu = htonl(mtu);
	return fill_checksum(message, data_end, bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0));
}

/* Turns the packet into the reply to its sender, which leaves by the way it came. `mtu` is what would have fitted. */
static __noinline int reply_too_big(struct xdp_md *xdp, const struct parsed *packet, __u32 mtu)
{
	__u32 l2_len, room, len;
	void *data, *data_end;
	__u8 sender[ETH_ALEN];
	struct l2 l2;
	__be16 proto;

	if (!packet)
		return -1;
	l2_len = packet->l3_off;
	len = xdp->data_end - xdp->data;
	if (len < l2_len + QUOTE_LEN || save_l2(xdp, &l2))
		return -1;
	memcpy(sender, l2.bytes + ETH_ALEN, ETH_ALEN);
	room = (packet->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct too_big);
	proto = packet->family == AF_INET ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	if (bpf_xdp_adjust_tail(xdp, -(int)(len - l2_len - QUOTE_LEN)) || bpf_xdp_adjust_head(xdp, -(int)room))
		return -1;
	data = (void *)(long)xdp->data;
	data_end = (void *)(long)xdp->data_end;
	if (restore_l2(data, data_end, &l2, l2_len, proto, sender))
		return -1;
	barrier_var(l2_len);
	if (l2_len > MAX_L2_LEN)
		return -1;
	return packet->family == AF_INET ? fill_reply_v4(data + l2_len, data_end, packet, mtu) :
					   fill_reply_v6(data + l2_len, data_end, packet, mtu);
}

#endif
