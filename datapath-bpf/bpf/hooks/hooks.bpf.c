/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a host does beside its packets: where connections go, which options sockets may have, which files below
 * /proc/sys may be written, what streams are made of. One program for each kind of hook.
 */
#include "hook_abi.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Network byte order. */
struct endpoint {
	__be32 addr;
	__be16 port;
	__be16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct endpoint);
	__type(value, struct endpoint);
	__uint(max_entries, 64);
} services SEC(".maps");

enum counter {
	CONNECTS_SENT_ELSEWHERE,
	OPTIONS_REFUSED,
	SYSCTLS_WRITTEN,
	MESSAGES_DROPPED,
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, enum counter);
	__type(value, __u64);
	__uint(max_entries, COUNTERS);
} counters SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &which);

	if (counter)
		*counter += 1;
}

/* A service's connections go to its backend, and their socket is marked. */
SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct endpoint key = { .addr = ctx->user_ip4, .port = ctx->user_port };
	struct endpoint *backend = bpf_map_lookup_elem(&services, &key);
	__u32 mark = 0x5e;

	if (!backend)
		return 1;
	if (bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		return 0;
	ctx->user_ip4 = backend->addr;
	ctx->user_port = backend->port;
	count(CONNECTS_SENT_ELSEWHERE);
	return 1;
}

/* Marks are the host's; receive buffers have a least size. */
SEC("cgroup/setsockopt")
int set_option(struct bpf_sockopt *ctx)
{
	__u32 *value = ctx->optval;

	if (ctx->level != SOL_SOCKET)
		return 1;
	if (ctx->optname == SO_MARK) {
		count(OPTIONS_REFUSED);
		bpf_set_retval(-EPERM);
		return 0;
	}
	if (ctx->optname == SO_RCVBUF && (void *)(value + 1) <= ctx->optval_end && *value < 65536)
		*value = 65536;
	return 1;
}

/* Nobody makes raw sockets; every other one starts with a priority. */
SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *ctx)
{
	if (ctx->type == SOCK_RAW)
		return 0;
	ctx->priority = 3;
	return 1;
}

/* Port ranges may be written, as the host would have them; nothing else. */
SEC("cgroup/sysctl")
int write_sysctl(struct bpf_sysctl *ctx)
{
	const char wanted[] = "ip_local_port_range";
	const char range[] = "40000 60999";
	char name[24] = {};

	if (!ctx->write)
		return 1;
	if (bpf_sysctl_get_name(ctx, name, sizeof(name), 1) != sizeof(wanted) - 1)
		return 0;
	for (__u32 i = 0; i < sizeof(wanted) - 1; i++)
		if (name[i] != wanted[i])
			return 0;
	if (bpf_sysctl_set_new_value(ctx, range, sizeof(range) - 1))
		return 0;
	count(SYSCTLS_WRITTEN);
	return 1;
}

struct option {
	__u8 kind;
	__u8 len;
	__be16 magic;
	__be32 value;
};

/* Connections give up after ten seconds, and say who they belong to in an option of every segment. */
SEC("sockops")
int tcp_events(struct bpf_sock_ops *ctx)
{
	struct option option = { .kind = 254, .len = sizeof(option), .magic = htons(0xeb9f), .value = htonl(7) };
	int timeout = 10000;

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		if (bpf_setsockopt(ctx, SOL_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout)))
			return 0;
		bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		bpf_reserve_hdr_opt(ctx, sizeof(option), 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		bpf_store_hdr_opt(ctx, &option, sizeof(option), 0);
		break;
	}
	return 1;
}

/* Messages begin with a letter. */
SEC("sk_msg")
int check_message(struct sk_msg_md *ctx)
{
	__u8 *first;

	if (bpf_msg_pull_data(ctx, 0, 1, 0))
		return SK_DROP;
	first = ctx->data;
	if ((void *)(first + 1) > ctx->data_end || *first < 'a' || *first > 'z') {
		count(MESSAGES_DROPPED);
		return SK_DROP;
	}
	return SK_PASS;
}

/* Whoever shares a port takes datagrams of eight bytes or more behind the header. */
SEC("sk_reuseport")
int pick_socket(struct sk_reuseport_md *ctx)
{
	if (ctx->ip_protocol == 17 && ctx->len < 16)
		return SK_DROP;
	return SK_PASS;
}

/* Records of a stream: two bytes of length, network byte order, that count themselves. */
SEC("sk_skb/stream_parser")
int stream_parser(struct __sk_buff *ctx)
{
	__be16 len;

	if (bpf_skb_load_bytes(ctx, 0, &len, sizeof(len)))
		return 0;
	return ntohs(len);
}

/* Records from low ports pass. */
SEC("sk_skb/stream_verdict")
int stream_verdict(struct stream *ctx)
{
	__u32 port = ntohl(ctx->remote_port);

	return port < 1024 ? SK_PASS : SK_DROP;
}

/* The tag of a segment routing header tells where its packet passed. */
SEC("lwt_seg6local")
int tag_segment(struct __sk_buff *ctx)
{
	__be16 tag = htons(0x2a);

	/* Behind the IPv6 header and six bytes of the other. */
	if (bpf_lwt_seg6_store_bytes(ctx, 40 + 6, &tag, sizeof(tag)))
		return BPF_DROP;
	return BPF_OK;
}

/* Packets for this host pass, all others stay out. */
SEC("netfilter")
int local_only(struct bpf_nf_ctx *ctx)
{
	/* NF_INET_LOCAL_IN */
	return ctx->state->hook == 1 ? NF_ACCEPT : NF_DROP;
}

struct request {
	__u32 which;
	__u32 by;
	__u64 before;
};

/* Adds to a counter, and tells what it was. */
SEC("syscall")
int add_to_counter(struct request *ctx)
{
	__u32 which = ctx->which;
	__u64 *counter = bpf_map_lookup_elem(&counters, &which);

	if (!counter)
		return 1;
	ctx->before = *counter;
	*counter += ctx->by;
	return 0;
}
