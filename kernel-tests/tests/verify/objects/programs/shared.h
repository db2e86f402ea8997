/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Ten programs that cost the verifier something, and what a careless change makes of each: with PLANTED a loop runs twice
 * as often, a global function has become inline, or a map is accessed elsewhere. The lines that cost more then are marked
 * "grows".
 */
#ifndef VERIFY_SHARED_H
#define VERIFY_SHARED_H

#include "abi.h"

#define ROLLED _Pragma("clang loop unroll(disable)")

#ifdef PLANTED
#define TIMES(n) (2 * (n))
/* What was a global function, which is verified once, and now is verified at each call. */
#define GLOBAL static __attribute__((always_inline)) inline
#else
#define TIMES(n) (n)
#define GLOBAL __attribute__((noinline))
#endif

struct block {
	__u8 bytes[1024];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct block);
} blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __attribute__((always_inline)) inline struct block *block(__u32 number)
{
	return bpf_map_lookup_elem(&blocks, &number);
}

#endif
