/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The first program a packet from outside meets: it stops what is denied by prefix, slows down sources that send too
 * much, and spreads what goes to a service over servers. What it does not stop or send on is the stack's.
 *
 *	parse -> denied? -> over its rate? -> for a service? -> too big? -> encapsulate | send directly
 */
#include "balance.h"
#include "filter.h"
#include "forward.h"
#include "parse.h"
#include "state.h"
#include "too_big.h"

/* Sends a packet of `bytes` bytes for `service` on. */
static __always_inline int forward(struct xdp_md *xdp, const struct parsed *packet, const struct service *service,
				   __u64 bytes)
{
	__u32 hash = flow_hash(packet);
	const struct server *server = find_server(service, hash);
	__u32 extra;

	if (!server)
		return finish(OUTCOME_NO_SERVER, bytes, XDP_DROP);
	extra = overhead(service, server);
	if (packet->l3_len + extra > config.mtu) {
		if (!config.reply_too_big || !packet->dont_fragment)
			return finish(OUTCOME_TOO_BIG, bytes, XDP_DROP);
		if (reply_too_big(xdp, packet, config.mtu - extra))
			return finish(OUTCOME_NO_ROOM, bytes, XDP_DROP);
		return finish(OUTCOME_TOO_BIG_REPLIED, bytes, XDP_TX);
	}
	if (extra ? encapsulate(xdp, packet, server, service->forwarding, hash) : send_directly(xdp, server))
		return finish(OUTCOME_NO_ROOM, bytes, XDP_DROP);
	return finish(OUTCOME_FORWARDED, bytes, XDP_TX);
}

SEC("xdp")
int xdp_prefilter(struct xdp_md *xdp)
{
	__u64 bytes = bpf_xdp_get_buff_len(xdp);
	const struct service *service;
	struct parsed packet = {};

	switch (parse(xdp, &packet, bytes)) {
	case PARSED_NOT_IP:
		return finish(OUTCOME_NOT_IP, bytes, XDP_PASS);
	case PARSED_MALFORMED:
		return finish(OUTCOME_MALFORMED, bytes, config.drop_malformed ? XDP_DROP : XDP_PASS);
	}
	if (is_denied(&packet, bytes))
		return finish(OUTCOME_DENIED, bytes, XDP_DROP);
	if (is_over_rate(&packet))
		return finish(OUTCOME_RATE_LIMITED, bytes, XDP_DROP);
	if (packet.fragment)
		return finish(OUTCOME_FRAGMENT, bytes, XDP_PASS);
	service = find_service(&packet);
	if (!service)
		return finish(OUTCOME_PASSED, bytes, XDP_PASS);
	return forward(xdp, &packet, service, bytes);
}

char _license[] SEC("license") = "Dual BSD/GPL";
