/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which server a packet goes to: consistent hashing, so that all machines agree and few flows move when servers change.
 */
#ifndef PREFILTER_BALANCE_H
#define PREFILTER_BALANCE_H

#include "hash.h"
#include "state.h"

#define MAX_SERVICES 8

struct service_key {
	struct in6_addr addr;
	__be16 port;
	__u8 proto;
	__u8 reserved;
};

struct service {
	/* Index into `tables`. */
	__u32 table;
	enum forwarding forwarding;
};

struct server {
	struct in6_addr addr;
	__u8 mac[ETH_ALEN];
	/* AF_INET: `addr` is a mapped IPv4 address. 0: there is no such server. */
	__u16 family;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

/* Slot to server. */
struct table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TABLE_SIZE);
	__type(key, __u32);
	__type(value, __u32);
} table_0 SEC(".maps"), table_1 SEC(".maps");

/* A new table is filled aside and then put in place at once. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SERVICES);
	__type(key, __u32);
	__array(values, struct table);
} tables SEC(".maps") = {
	.values = { &table_0, &table_1 },
};

/* Server 0 is none: a slot nobody filled leads nowhere. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

static __always_inline struct service *find_service(const struct parsed *packet)
{
	struct service_key key = {
		.addr = packet->daddr,
		.port = packet->dport,
		.proto = packet->proto,
	};

	return bpf_map_lookup_elem(&services, &key);
}

static __noinline __u32 flow_hash(const struct parsed *packet)
{
	__u32 words[10];

	if (!packet)
		return 0;
	memcpy(words, &packet->saddr, 16);
	memcpy(words + 4, &packet->daddr, 16);
	words[8] = (__u32)packet->sport << 16 | packet->dport;
	words[9] = packet->proto;
	return jhash2(words, 10, config.hash_seed);
}

static __always_inline struct server *find_server(const struct service *service, __u32 hash)
{
	__u32 slot = hash % config.table_size, index = service->table;
	void *table = bpf_map_lookup_elem(&tables, &index);
	struct server *server;
	__u32 *id;

	if (!table)
		return NULL;
	id = bpf_map_lookup_elem(table, &slot);
	if (!id || !*id)
		return NULL;
	server = bpf_map_lookup_elem(&servers, id);
	return server && server->family ? server : NULL;
}

#endif
