/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Headers as they are on the wire, each named by its RFC. Every multi-byte field is in network byte order. */
#ifndef BPFTWIN_PACKET_H
#define BPFTWIN_PACKET_H

#include "abi.h"

#define ETH_ALEN 6
#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021AD 0x88a8

/* The numbers of the Protocol and Next Header fields. */
enum {
	IPPROTO_HOPOPTS = 0,
	IPPROTO_ICMP = 1,
	IPPROTO_IPIP = 4,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_IPV6 = 41,
	IPPROTO_ROUTING = 43,
	IPPROTO_FRAGMENT = 44,
	IPPROTO_AH = 51,
	IPPROTO_ICMPV6 = 58,
	IPPROTO_DSTOPTS = 60,
};

struct ethhdr {
	__u8 dst[ETH_ALEN];
	__u8 src[ETH_ALEN];
	__be16 proto;
};

/* IEEE 802.1Q, after the EtherType that announces it. */
struct vlanhdr {
	__be16 tci;
	__be16 proto;
};

/* RFC 826, for Ethernet and IPv4. */
struct arphdr {
	__be16 hrd;
	__be16 pro;
	__u8 hln;
	__u8 pln;
	__be16 op;
	__u8 sha[ETH_ALEN];
	__u8 spa[4];
	__u8 tha[ETH_ALEN];
	__u8 tpa[4];
};

#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

/* RFC 791. */
struct iphdr {
	__u8 ver_ihl;
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__be16 check;
	__be32 saddr;
	__be32 daddr;
};

#define IP_MF 0x2000
#define IP_DF 0x4000
#define IP_OFFSET 0x1fff

/* Both families: RFC 8200 addresses, and IPv4 addresses in the mapped form ::ffff:a.b.c.d of RFC 4291. */
struct in6_addr {
	union {
		__u8 b[16];
		__be32 w[4];
	};
};

/* RFC 8200. */
struct ipv6hdr {
	__be32 ver_tc_flow;
	__be16 payload_len;
	__u8 nexthdr;
	__u8 hop_limit;
	struct in6_addr saddr;
	struct in6_addr daddr;
};

/*
 * RFC 8200, 4.2: what all extension headers begin with. The length counts 8 bytes, without the first 8 (AH, RFC 4302:
 * 4 bytes, without the first 8).
 */
struct ipv6_ext {
	__u8 nexthdr;
	__u8 len;
};

/* RFC 8200, 4.5. */
struct ipv6_frag {
	__u8 nexthdr;
	__u8 reserved;
	__be16 frag_off;
	__be32 id;
};

#define IPV6_MF 0x0001
#define IPV6_OFFSET 0xfff8

/* RFC 9293, up to and including the flags. */
struct tcphdr_head {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u8 doff;
	__u8 flags;
};

#define TCP_CHECK_OFF 16

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

/* RFC 768. */
struct udphdr {
	__be16 source;
	__be16 dest;
	__be16 len;
	__be16 check;
};

#define UDP_CHECK_OFF 6

/* RFC 792 and RFC 4443: the eight bytes all messages begin with. */
struct icmphdr {
	__u8 type;
	__u8 code;
	__be16 check;
	__be16 id;
	__be16 seq;
};

#define ICMP_CHECK_OFF 2

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
};

enum {
	ICMPV6_DEST_UNREACH = 1,
	ICMPV6_PKT_TOOBIG = 2,
	ICMPV6_TIME_EXCEED = 3,
	ICMPV6_PARAMPROB = 4,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
	NDISC_ROUTER_SOLICITATION = 133,
	NDISC_NEIGHBOUR_SOLICITATION = 135,
	NDISC_NEIGHBOUR_ADVERTISEMENT = 136,
	NDISC_REDIRECT = 137,
};

/* RFC 4861, 4.3 and 4.4: solicitation and advertisement have one shape. */
struct ndmsg {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 flags;
	struct in6_addr target;
};

#define ND_NA_SOLICITED 0x40000000
#define ND_NA_OVERRIDE 0x20000000

/* RFC 4861, 4.6.1. */
struct nd_lladdr {
	__u8 type;
	__u8 len;
	__u8 lladdr[ETH_ALEN];
};

#define ND_OPT_TARGET_LL_ADDR 2

static __always_inline int addr_equal(const struct in6_addr *a, const struct in6_addr *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

static __always_inline void addr_map_v4(struct in6_addr *a, __be32 v4)
{
	a->w[0] = 0;
	a->w[1] = 0;
	a->w[2] = htonl(0xffff);
	a->w[3] = v4;
}

#endif
