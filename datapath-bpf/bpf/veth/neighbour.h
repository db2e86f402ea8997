/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Answers to the pod's questions for its gateway's MAC address, so that none need reach the stack. */
#ifndef VETH_NEIGHBOUR_H
#define VETH_NEIGHBOUR_H

#include "report.h"

/* Sends the frame back to the pod it came from. */
static __always_inline int send_back(struct __sk_buff *skb)
{
	count(skb, REASON_FORWARDED);
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int store_macs(struct __sk_buff *skb, const __u8 *dst, const volatile __u8 *src)
{
	__u8 macs[2 * ETH_ALEN];

	for (int i = 0; i < ETH_ALEN; i++) {
		macs[i] = dst[i];
		macs[ETH_ALEN + i] = src[i];
	}
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
}

/* RFC 826: a request for the gateway's address is answered, everything else is the stack's. */
static __always_inline int answer_arp(struct __sk_buff *skb)
{
	__be32 target, gateway = config.gateway_ipv4;
	struct arphdr arp;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)))
		return drop(skb, REASON_TRUNCATED);
	memcpy(&target, arp.tpa, sizeof(target));
	if (arp.hrd != htons(ARPHRD_ETHER) || arp.pro != htons(ETH_P_IP) || arp.hln != ETH_ALEN ||
	    arp.pln != sizeof(target) || arp.op != htons(ARPOP_REQUEST) || !gateway || target != gateway)
		return pass(skb);

	arp.op = htons(ARPOP_REPLY);
	memcpy(arp.tha, arp.sha, ETH_ALEN);
	memcpy(arp.tpa, arp.spa, sizeof(arp.spa));
	memcpy(arp.spa, &target, sizeof(target));
	for (int i = 0; i < ETH_ALEN; i++)
		arp.sha[i] = config.gateway_mac[i];
	if (store_macs(skb, arp.tha, config.gateway_mac) || bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0))
		return drop(skb, REASON_REWRITE_FAILED);
	return send_back(skb);
}

/* An advertisement as it leaves, and what its checksum covers besides the message. */
struct advertisement {
	struct ipv6hdr ip6;
	struct ndmsg nd;
	struct nd_lladdr option;
};

struct pseudo_header {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be32 len;
	__be32 nexthdr;
};

static __always_inline __be16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __be16 advertisement_checksum(struct advertisement *reply)
{
	struct pseudo_header pseudo = {
		.saddr = reply->ip6.saddr,
		.daddr = reply->ip6.daddr,
		.len = htonl(sizeof(reply->nd) + sizeof(reply->option)),
		.nexthdr = htonl(IPPROTO_ICMPV6),
	};
	__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);

	return csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&reply->nd, sizeof(reply->nd) + sizeof(reply->option), sum));
}

/* RFC 4861, 7.2.4: whoever asks without an address of its own (7.2.2) is answered to all nodes, unsolicited. */
static __always_inline void address_advertisement(struct advertisement *reply, const struct in6_addr *asker)
{
	static const struct in6_addr nobody = {};

	if (addr_equal(asker, &nobody)) {
		reply->ip6.daddr.w[0] = htonl(0xff020000);
		reply->ip6.daddr.w[3] = htonl(1);
		reply->nd.flags = htonl(ND_NA_OVERRIDE);
	} else {
		reply->ip6.daddr = *asker;
		reply->nd.flags = htonl(ND_NA_SOLICITED | ND_NA_OVERRIDE);
	}
}

/* Whether the gateway is asked for; RFC 4861, 7.1.1 says what else a solicitation must be. */
static __always_inline int asks_for_gateway(const struct ipv6hdr *ip6, const struct ndmsg *ask)
{
	struct in6_addr gateway;

	for (int i = 0; i < 4; i++)
		gateway.w[i] = config.gateway_ipv6.w[i];
	return ip6->hop_limit == 255 && ask->code == 0 && (gateway.w[0] | gateway.w[3]) &&
	       addr_equal(&ask->target, &gateway);
}

/* A neighbour solicitation for the gateway's address becomes its advertisement, every other one is the stack's. */
static __always_inline int answer_ndp(struct __sk_buff *skb, const struct packet *pkt)
{
	struct advertisement reply = {};
	struct ipv6hdr ip6;
	struct ndmsg ask;
	__u8 asker[ETH_ALEN];

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)) ||
	    bpf_skb_load_bytes(skb, pkt->l4_off, &ask, sizeof(ask)) ||
	    bpf_skb_load_bytes(skb, ETH_ALEN, asker, sizeof(asker)))
		return drop(skb, REASON_TRUNCATED);
	if (!asks_for_gateway(&ip6, &ask))
		return pass(skb);

	reply.ip6.ver_tc_flow = htonl(6U << 28);
	reply.ip6.payload_len = htons(sizeof(reply.nd) + sizeof(reply.option));
	reply.ip6.nexthdr = IPPROTO_ICMPV6;
	reply.ip6.hop_limit = 255;
	reply.ip6.saddr = ask.target;
	reply.nd.type = NDISC_NEIGHBOUR_ADVERTISEMENT;
	reply.nd.target = ask.target;
	address_advertisement(&reply, &ip6.saddr);
	reply.option.type = ND_OPT_TARGET_LL_ADDR;
	reply.option.len = 1;
	for (int i = 0; i < ETH_ALEN; i++)
		reply.option.lladdr[i] = config.gateway_mac[i];
	reply.nd.check = advertisement_checksum(&reply);

	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(reply), 0) || store_macs(skb, asker, config.gateway_mac) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &reply, sizeof(reply), 0))
		return drop(skb, REASON_REWRITE_FAILED);
	return send_back(skb);
}

#endif
