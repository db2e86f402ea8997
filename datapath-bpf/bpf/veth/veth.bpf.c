/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The datapath of one pod, at the host's side of its veth pair.
 *
 * `from_container` is attached where the host receives what the pod sends (tc ingress of the host's device),
 * `to_container` where it sends to the pod (tc egress). Both hand the packet through stages by tail calls:
 *
 *	from_container -> ARP                        answered, or the stack's
 *	               -> IPV4 | IPV6 -> SERVICE -> EGRESS -> DELIVER
 *	                         IPV6 -> NDP         answered, or the stack's
 *	to_container   -> IPV4 | IPV6 -> INGRESS
 *	any            -> DROP                       counted and reported
 *
 * Directions are the pod's: egress is what it sends.
 */
#include "conntrack.h"
#include "deliver.h"
#include "neighbour.h"
#include "parse.h"
#include "policy.h"
#include "report.h"
#include "service.h"
#include "state.h"

int stage_arp(struct __sk_buff *skb);
int stage_ipv4(struct __sk_buff *skb);
int stage_ipv6(struct __sk_buff *skb);
int stage_ndp(struct __sk_buff *skb);
int stage_service(struct __sk_buff *skb);
int stage_egress(struct __sk_buff *skb);
int stage_deliver(struct __sk_buff *skb);
int stage_ingress(struct __sk_buff *skb);
int stage_drop(struct __sk_buff *skb);

/* Filled by whoever loads the object. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, STAGE_COUNT);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct __sk_buff *));
} stages SEC(".maps") = {
	.values = {
		[STAGE_ARP] = (void *)&stage_arp,
		[STAGE_IPV4] = (void *)&stage_ipv4,
		[STAGE_IPV6] = (void *)&stage_ipv6,
		[STAGE_NDP] = (void *)&stage_ndp,
		[STAGE_SERVICE] = (void *)&stage_service,
		[STAGE_EGRESS] = (void *)&stage_egress,
		[STAGE_DELIVER] = (void *)&stage_deliver,
		[STAGE_INGRESS] = (void *)&stage_ingress,
		[STAGE_DROP] = (void *)&stage_drop,
	},
};

static __always_inline void call_stage(struct __sk_buff *skb, __u32 stage)
{
	bpf_tail_call(skb, &stages, stage);
}

/* Begins a packet: nothing is known of it, and nothing left of the one before. */
static __always_inline int begin(struct __sk_buff *skb, __u32 direction)
{
	struct packet *pkt = packet_state();

	skb->cb[CB_DIRECTION] = direction;
	if (!pkt)
		return TC_ACT_SHOT;
	memset(pkt, 0, sizeof(*pkt));
	switch (skb->protocol) {
	case htons(ETH_P_IP):
		return next(skb, STAGE_IPV4);
	case htons(ETH_P_IPV6):
		return next(skb, STAGE_IPV6);
	case htons(ETH_P_ARP):
		return direction == DIR_EGRESS ? next(skb, STAGE_ARP) : pass(skb);
	}
	return config.pass_other ? pass(skb) : drop(skb, REASON_UNKNOWN_L3);
}

SEC("tc")
int from_container(struct __sk_buff *skb)
{
	return begin(skb, DIR_EGRESS);
}

SEC("tc")
int to_container(struct __sk_buff *skb)
{
	return begin(skb, DIR_INGRESS);
}

SEC("tc")
int stage_arp(struct __sk_buff *skb)
{
	return answer_arp(skb);
}

/* The stage after parsing. */
static __always_inline int after_parsing(struct __sk_buff *skb, int reason)
{
	if (reason)
		return drop(skb, reason);
	return next(skb, skb->cb[CB_DIRECTION] == DIR_EGRESS ? STAGE_SERVICE : STAGE_INGRESS);
}

SEC("tc")
int stage_ipv4(struct __sk_buff *skb)
{
	struct packet *pkt = packet_state();

	if (!pkt)
		return TC_ACT_SHOT;
	return after_parsing(skb, parse_ipv4(skb, pkt));
}

/* Neighbour discovery is between the pod and its node, and no connection (RFC 4861). */
static __always_inline int is_ndp(struct __sk_buff *skb, const struct packet *pkt, __u8 *type)
{
	if (pkt->flow.proto != IPPROTO_ICMPV6 || pkt->flags || bpf_skb_load_bytes(skb, pkt->l4_off, type, 1))
		return 0;
	return *type >= NDISC_ROUTER_SOLICITATION && *type <= NDISC_REDIRECT;
}

SEC("tc")
int stage_ipv6(struct __sk_buff *skb)
{
	struct packet *pkt = packet_state();
	__u8 type = 0;
	int reason;

	if (!pkt)
		return TC_ACT_SHOT;
	reason = parse_ipv6(skb, pkt);
	if (reason || !is_ndp(skb, pkt, &type))
		return after_parsing(skb, reason);
	if (skb->cb[CB_DIRECTION] == DIR_EGRESS && type == NDISC_NEIGHBOUR_SOLICITATION)
		return next(skb, STAGE_NDP);
	return pass(skb);
}

SEC("tc")
int stage_ndp(struct __sk_buff *skb)
{
	const struct packet *pkt = packet_state();

	if (!pkt)
		return TC_ACT_SHOT;
	return answer_ndp(skb, pkt);
}

/* Whether the pod may send with the source address it used. */
static __always_inline int is_own_source(const struct packet *pkt)
{
	const struct in6_addr *saddr = &pkt->flow.saddr;

	if (pkt->family == AF_INET)
		return saddr->w[3] == config.ipv4;
	return saddr->w[0] == config.ipv6.w[0] && saddr->w[1] == config.ipv6.w[1] &&
	       saddr->w[2] == config.ipv6.w[2] && saddr->w[3] == config.ipv6.w[3];
}

SEC("tc")
int stage_service(struct __sk_buff *skb)
{
	struct packet *pkt = packet_state();
	int reason;

	if (!pkt)
		return TC_ACT_SHOT;
	pkt->src_identity = config.identity;
	if (config.check_source && !is_own_source(pkt))
		return drop(skb, REASON_BAD_SOURCE);
	reason = to_backend(skb, pkt);
	if (reason)
		return drop(skb, reason);
	return next(skb, STAGE_EGRESS);
}

/* Remembers a connection the policy permitted. */
static __always_inline int admit(struct __sk_buff *skb, const struct packet *pkt, __u32 remote_identity, __u64 now)
{
	struct ct_value value = {
		.remote_identity = remote_identity,
		.service = pkt->service,
		.state = ct_first_state(pkt, 1),
	};
	struct ct_key key;

	key_forward(&key, &pkt->flow, skb->cb[CB_DIRECTION]);
	return ct_create(skb, pkt, &key, &value, now);
}

SEC("tc")
int stage_egress(struct __sk_buff *skb)
{
	struct packet *pkt = packet_state();
	__u64 now = bpf_ktime_get_ns();
	int reason;

	if (!pkt)
		return TC_ACT_SHOT;
	pkt->dst_identity = identity_of(pkt, &pkt->flow.daddr);
	switch (ct_lookup(skb, pkt, now)) {
	case CT_RESULT_NEW:
		reason = check_policy(skb, pkt);
		if (!reason)
			reason = admit(skb, pkt, pkt->dst_identity, now);
		if (reason)
			return drop(skb, reason);
		break;
	case CT_RESULT_INVALID:
		return drop(skb, pkt->flags & PKT_ICMP_ERROR ? REASON_ICMP_UNRELATED : REASON_CT_INVALID);
	}
	return next(skb, STAGE_DELIVER);
}

SEC("tc")
int stage_deliver(struct __sk_buff *skb)
{
	const struct packet *pkt = packet_state();

	if (!pkt)
		return TC_ACT_SHOT;
	return deliver(skb, pkt);
}

SEC("tc")
int stage_ingress(struct __sk_buff *skb)
{
	struct packet *pkt = packet_state();
	__u64 now = bpf_ktime_get_ns();
	int reason = 0;

	if (!pkt)
		return TC_ACT_SHOT;
	if ((skb->mark & MARK_MASK) == MARK_IDENTITY)
		pkt->src_identity = skb->mark >> 16;
	else
		pkt->src_identity = identity_of(pkt, &pkt->flow.saddr);
	pkt->dst_identity = config.identity;
	switch (ct_lookup(skb, pkt, now)) {
	case CT_RESULT_NEW:
		reason = check_policy(skb, pkt);
		if (!reason)
			reason = admit(skb, pkt, pkt->src_identity, now);
		break;
	case CT_RESULT_REPLY:
		reason = from_service(skb, pkt, 0);
		break;
	case CT_RESULT_RELATED:
		reason = from_service(skb, pkt, 1);
		break;
	case CT_RESULT_INVALID:
		reason = pkt->flags & PKT_ICMP_ERROR ? REASON_ICMP_UNRELATED : REASON_CT_INVALID;
		break;
	}
	if (reason)
		return drop(skb, reason);
	return pass(skb);
}

SEC("tc")
int stage_drop(struct __sk_buff *skb)
{
	return report_drop(skb);
}

char _license[] SEC("license") = "Dual BSD/GPL";
