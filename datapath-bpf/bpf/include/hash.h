/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Bob Jenkins' lookup3 (2006, public domain) over 32-bit words: the hash the kernel calls jhash2. */
#ifndef BPFTWIN_HASH_H
#define BPFTWIN_HASH_H

#include "abi.h"

#define JHASH_INITVAL 0xdeadbeef

static __always_inline __u32 rol32(__u32 word, __u32 shift)
{
	return word << shift | word >> (32 - shift);
}

static __always_inline void jhash_mix(__u32 *a, __u32 *b, __u32 *c)
{
	*a -= *c, *a ^= rol32(*c, 4), *c += *b;
	*b -= *a, *b ^= rol32(*a, 6), *a += *c;
	*c -= *b, *c ^= rol32(*b, 8), *b += *a;
	*a -= *c, *a ^= rol32(*c, 16), *c += *b;
	*b -= *a, *b ^= rol32(*a, 19), *a += *c;
	*c -= *b, *c ^= rol32(*b, 4), *b += *a;
}

static __always_inline void jhash_final(__u32 *a, __u32 *b, __u32 *c)
{
	*c ^= *b, *c -= rol32(*b, 14);
	*a ^= *c, *a -= rol32(*c, 11);
	*b ^= *a, *b -= rol32(*a, 25);
	*c ^= *b, *c -= rol32(*b, 16);
	*a ^= *c, *a -= rol32(*c, 4);
	*b ^= *a, *b -= rol32(*a, 14);
	*c ^= *b, *c -= rol32(*b, 24);
}

/* The hash of `n` words, `n` a constant of at least one. */
static __always_inline __u32 jhash2(const __u32 *k, __u32 n, __u32 seed)
{
	__u32 a = JHASH_INITVAL + (n << 2) + seed;
	__u32 b = a, c = a;

	while (n > 3) {
		a += k[0], b += k[1], c += k[2];
		jhash_mix(&a, &b, &c);
		n -= 3;
		k += 3;
	}
	if (n == 3)
		c += k[2];
	if (n >= 2)
		b += k[1];
	a += k[0];
	jhash_final(&a, &b, &c);
	return c;
}

#endif
