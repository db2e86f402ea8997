/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Services: addresses that stand for a set of backends, and the way back. */
#ifndef VETH_SERVICE_H
#define VETH_SERVICE_H

#include "conntrack.h"
#include "hash.h"
#include "nat.h"

struct service_key {
	struct in6_addr addr;
	__be16 port;
	__u8 proto;
	__u8 reserved;
};

struct service_value {
	/* Not 0. */
	__u16 id;
	/* Slots 0 to backends - 1 of `service_slots`. */
	__u16 backends;
};

struct service_slot {
	__u16 service;
	__u16 slot;
};

/* An address and port: of a backend, or of the service itself for the way back. */
struct location {
	struct in6_addr addr;
	__be16 port;
	__u16 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_key);
	__type(value, struct service_value);
} services SEC(".maps");

/* Slot to backend. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_slot);
	__type(value, __u32);
} service_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct location);
} backends SEC(".maps");

/* Service to its own address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct location);
} reverse_nat SEC(".maps");

/* One flow always picks the same slot: jhash2 of addresses, ports and protocol. */
static __noinline __u32 pick_slot(const struct flow *flow, __u32 slots)
{
	__u32 words[10];

	if (!flow || !slots)
		return 0;
	memcpy(words, &flow->saddr, 16);
	memcpy(words + 4, &flow->daddr, 16);
	words[8] = (__u32)flow->sport << 16 | flow->dport;
	words[9] = flow->proto;
	return jhash2(words, 10, config.hash_seed) % slots;
}

static __always_inline struct location *select_backend(const struct packet *pkt, const struct service_value *service,
						       __u32 *id)
{
	struct service_slot key = { .service = service->id };
	const __u32 *backend;

	if (!service->backends)
		return NULL;
	key.slot = pick_slot(&pkt->flow, service->backends);
	backend = bpf_map_lookup_elem(&service_slots, &key);
	if (!backend)
		return NULL;
	*id = *backend;
	return bpf_map_lookup_elem(&backends, id);
}

/* The backend of a connection: the one it has, while that exists, else a new choice. 0 or the reason to drop. */
static __always_inline int connection_backend(struct __sk_buff *skb, struct packet *pkt,
					      const struct service_value *service, struct location *chosen)
{
	__u64 now = bpf_ktime_get_ns();
	struct ct_value first = {};
	struct location *backend;
	struct ct_value *value;
	struct ct_key key;

	key_forward(&key, &pkt->flow, DIR_SERVICE);
	value = ct_live(&key, now);
	if (value && !(is_over(value) && is_opening(pkt))) {
		__u32 id = value->backend;

		backend = bpf_map_lookup_elem(&backends, &id);
		if (backend) {
			ct_advance(skb, pkt, value, SIDE_ORIGINAL, now);
			*chosen = *backend;
			return 0;
		}
	}
	backend = select_backend(pkt, service, &first.backend);
	if (!backend)
		return REASON_NO_BACKEND;
	*chosen = *backend;
	first.service = service->id;
	first.state = ct_first_state(pkt, 0);
	return ct_create(skb, pkt, &key, &first, now);
}

/* Sends what goes to a service to a backend. 0 or the reason to drop. */
static __always_inline int to_backend(struct __sk_buff *skb, struct packet *pkt)
{
	struct service_key key = {
		.addr = pkt->flow.daddr,
		.port = pkt->flow.dport,
		.proto = pkt->flow.proto,
	};
	const struct service_value *service;
	struct location backend;
	int reason;

	if (pkt->flow.proto != IPPROTO_TCP && pkt->flow.proto != IPPROTO_UDP)
		return 0;
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return 0;
	reason = connection_backend(skb, pkt, service, &backend);
	if (reason)
		return reason;
	if (addr_equal(&backend.addr, &pkt->flow.saddr))
		return REASON_HAIRPIN;
	pkt->service = service->id;
	return translate_destination(skb, pkt, &backend.addr, backend.port);
}

/* Makes a reply, or an ICMP error about a request, come from the service again. 0 or the reason to drop. */
static __always_inline int from_service(struct __sk_buff *skb, struct packet *pkt, int related)
{
	__u32 id = pkt->service;
	struct location *found;
	struct location service;

	if (!id)
		return 0;
	found = bpf_map_lookup_elem(&reverse_nat, &id);
	if (!found)
		return REASON_NO_REVERSE_NAT;
	service = *found;
	return related ? translate_related(skb, pkt, &service.addr, service.port) :
			 translate_source(skb, pkt, &service.addr, service.port);
}

#endif
