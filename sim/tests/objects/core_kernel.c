// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The types of an imaginary kernel, for core.bpf.c. */
enum colour { GREEN = 20, RED = 10, BLUE = 90 };
typedef long number;
struct inner {
	long more;
	int deep;
};
struct task {
	long flags;
	int pid;
	union {
		struct {
			unsigned int narrow;
			struct inner inner;
		};
		long same_place;
	};
	char name[16];
	long padding : 11;
	long level : 5;
	unsigned char flag : 3;
	int changes_sign;
	long renamed;
	enum colour colour;
	void *pointer;
};
struct task *task;
number *numbers;
enum colour *colours;
