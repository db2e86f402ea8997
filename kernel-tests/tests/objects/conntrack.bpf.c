// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Connection tracking and xfrm states: every check of the options, and entries from their making to their release. */
#include "kernel.h"

typedef long long __s64;

#define __ksym __attribute__((section(".ksyms")))
#define MOST 64
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

struct xdp_md;

/* Only their names matter. */
struct nf_conn {
	int unused;
};

struct nf_conn___init {
	int unused;
};

struct xfrm_state {
	int unused;
};

struct tuple {
	__u32 addr[2];
	__u16 port[2];
};

struct tuple6 {
	__u32 addr[8];
	__u16 port[2];
};

struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u16 ct_zone_id;
	__u8 ct_zone_dir;
	__u8 reserved[3];
};

struct bpf_sock_tuple {
	int unused;
};

struct bpf_xfrm_state_opts {
	__s32 error;
	__s32 netns_id;
	__u32 words[7];
};

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 size,
					 struct bpf_ct_opts *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp, struct bpf_sock_tuple *tuple, __u32 size,
					 struct bpf_ct_opts *opts, __u32 opts_size) __ksym;
extern struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 size,
					       struct bpf_ct_opts *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *ct) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn___init *ct, __u32 ms) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *ct, __u32 ms) __ksym;
extern int bpf_ct_set_status(const struct nf_conn___init *ct, __u32 status) __ksym;
extern int bpf_ct_change_status(struct nf_conn *ct, __u32 status) __ksym;
extern struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *xdp, struct bpf_xfrm_state_opts *opts,
						 __u32 size) __ksym;
extern void bpf_xdp_xfrm_state_release(struct xfrm_state *state) __ksym;

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__s64 results[MOST];
__u32 next;

static __always_inline void note(__s64 value)
{
	__u32 at = next++;

	if (at < MOST)
		results[at] = value;
}

static __always_inline void look(struct __sk_buff *skb, void *tuple, __u32 size, struct bpf_ct_opts *opts, __u32 opts_size)
{
	struct nf_conn *ct;

	opts->error = 0;
	ct = bpf_skb_ct_lookup(skb, tuple, size, opts, opts_size);
	note(ct != NULL);
	if (ct)
		bpf_ct_release(ct);
	note(opts->error);
	note(opts->dir | opts->ct_zone_dir << 8);
}

static __always_inline void make(struct __sk_buff *skb, void *tuple, __u32 size, struct bpf_ct_opts *opts)
{
	struct nf_conn___init *new;
	struct nf_conn *ct;

	opts->error = 0;
	new = bpf_skb_ct_alloc(skb, tuple, size, opts, sizeof(*opts));
	note(new != NULL);
	note(opts->error);
	if (!new)
		return;
	bpf_ct_set_timeout(new, 30000);
	note(bpf_ct_set_status(new, 1 << 2));
	note(bpf_ct_set_status(new, 1 << 3));
	ct = bpf_ct_insert_entry(new);
	note(ct != NULL);
	if (!ct)
		return;
	note(bpf_ct_change_timeout(ct, 20000));
	note(bpf_ct_change_status(ct, 0));
	note(bpf_ct_change_status(ct, 1 << 3));
	note(bpf_ct_change_status(ct, 1 << 3 | 1 << 2 | 1 << 1 | 1 << 10));
	note(bpf_ct_change_timeout(ct, 1));
	bpf_ct_release(ct);
}

SEC("tc")
int entries(struct __sk_buff *skb)
{
	struct tuple tuple = { { 0x0100000a + (skb->mark << 24), 0x0200000a }, { 0x1234, 0x5678 } };
	struct tuple back = { { tuple.addr[1], tuple.addr[0] }, { 0x5678, 0x1234 } };
	struct bpf_ct_opts opts = { .netns_id = -1, .l4proto = skb->mark & 1 ? IPPROTO_TCP : IPPROTO_UDP };

	next = 0;
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	make(skb, &tuple, sizeof(tuple), &opts);
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	look(skb, &back, sizeof(back), &opts, sizeof(opts));
	look(skb, &back, sizeof(back), &opts, 12);
	make(skb, &back, sizeof(back), &opts);
	opts.ct_zone_id = 5;
	opts.ct_zone_dir = 1;
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	look(skb, &back, sizeof(back), &opts, sizeof(opts));
	look(skb, &back, sizeof(back), &opts, 12);
	return TC_ACT_OK;
}

SEC("tc")
int zones(struct __sk_buff *skb)
{
	struct tuple6 tuple = { { 0x20, 0, 0, skb->mark, 0x20, 0, 0, 77 }, { 0x1234, 0x5678 } };
	struct tuple6 back = { { 0x20, 0, 0, 77, 0x20, 0, 0, skb->mark }, { 0x5678, 0x1234 } };
	struct bpf_ct_opts opts = { .netns_id = -1, .l4proto = IPPROTO_UDP, .ct_zone_id = 9, .ct_zone_dir = skb->mark & 3 };

	next = 0;
	make(skb, &tuple, sizeof(tuple), &opts);
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	look(skb, &back, sizeof(back), &opts, sizeof(opts));
	opts.ct_zone_id = 0;
	opts.ct_zone_dir = 0;
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	look(skb, &back, sizeof(back), &opts, sizeof(opts));
	return TC_ACT_OK;
}

SEC("tc")
int mistakes(struct __sk_buff *skb)
{
	struct tuple6 tuple = {};
	struct bpf_ct_opts good = { .netns_id = -1, .l4proto = IPPROTO_TCP }, opts = good;

	next = 0;
	look(skb, NULL, 0, &opts, sizeof(opts));
	look(skb, &tuple, sizeof(tuple), &opts, 8);
	look(skb, &tuple, sizeof(tuple), &opts, 14);
	look(skb, &tuple, 20, &opts, sizeof(opts));
	opts.reserved[1] = 1;
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	opts = good;
	opts.ct_zone_id = 1;
	look(skb, &tuple, sizeof(tuple), &opts, 12);
	opts = good;
	opts.l4proto = 1;
	look(skb, &tuple, 20, &opts, sizeof(opts));
	make(skb, &tuple, 20, &opts);
	opts.netns_id = -2;
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	make(skb, &tuple, sizeof(tuple), &opts);
	opts.netns_id = 77;
	opts.l4proto = IPPROTO_UDP;
	look(skb, &tuple, sizeof(tuple), &opts, sizeof(opts));
	make(skb, &tuple, sizeof(tuple), &opts);
	make(skb, &tuple, 20, &opts);
	return TC_ACT_OK;
}

SEC("xdp")
int on_xdp(struct xdp_md *xdp)
{
	struct tuple tuple = {};
	struct bpf_ct_opts opts = { .netns_id = -1, .l4proto = IPPROTO_TCP };
	struct bpf_xfrm_state_opts state = {};
	struct xfrm_state *found;
	struct nf_conn *ct;
	int i;

	next = 0;
	ct = bpf_xdp_ct_lookup(xdp, (void *)&tuple, sizeof(tuple), &opts, sizeof(opts));
	if (ct)
		bpf_ct_release(ct);
	note(opts.error);
	for (i = -2; i < 1; i++) {
		state.netns_id = i;
		found = bpf_xdp_get_xfrm_state(xdp, &state, sizeof(state));
		if (found)
			bpf_xdp_xfrm_state_release(found);
		note(state.error);
	}
	found = bpf_xdp_get_xfrm_state(xdp, &state, 32);
	if (found)
		bpf_xdp_xfrm_state_release(found);
	note(state.error);
	return XDP_DROP;
}
