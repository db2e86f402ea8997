// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Programs whose constants depend on the kernel's types. core_kernel.c says what the kernel's look like; every program
 * answers one question about the difference.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
enum colour { RED = 1, GREEN = 2, GONE = 3 };
enum colour___v2 { BLUE = 9 };
typedef int number;
struct inner {
	int deep;
};
struct task {
	int pid;
	unsigned short narrow;
	short changes_sign;
	int absent;
	struct inner inner;
	char name[4];
	unsigned int flag : 3;
	signed int level : 5;
	enum colour colour;
	void *pointer;
};
struct task___other {
	long renamed;
};
struct missing {
	int field;
};
struct inner___wide {
	long deep;
};
struct task___pointing {
	void *pointer;
	int pid;
};
#pragma clang attribute pop

#define ASK(name, expression) SEC("socket") long name(struct task *task) { return expression; }
#define other ((struct task___other *)task)

ASK(offset_moved, bpf_core_field_offset(task->pid))
ASK(offset_in_anonymous, bpf_core_field_offset(task->inner.deep))
ASK(offset_of_element, bpf_core_field_offset(task->name[3]))
ASK(offset_of_flavour, bpf_core_field_offset(other->renamed))
ASK(size_changed, bpf_core_field_size(task->name))
ASK(field_is_there, bpf_core_field_exists(task->pid))
ASK(field_is_absent, bpf_core_field_exists(task->absent))
ASK(type_is_there, bpf_core_type_exists(struct task))
ASK(type_is_absent, bpf_core_type_exists(struct missing))
ASK(type_size, bpf_core_type_size(struct task))
ASK(typedef_size, bpf_core_type_size(number))
ASK(absent_size, bpf_core_type_size(struct missing))
ASK(enum_moved, bpf_core_enum_value(enum colour, GREEN))
ASK(enum_of_flavour, bpf_core_enum_value(enum colour___v2, BLUE))
ASK(enum_is_there, bpf_core_enum_value_exists(enum colour, RED))
ASK(enum_is_absent, bpf_core_enum_value_exists(enum colour, GONE))
ASK(shape_matches, bpf_core_type_matches(struct inner))
ASK(shape_has_other_sizes, bpf_core_type_matches(struct inner___wide))
ASK(shape_is_absent, bpf_core_type_matches(struct missing))
ASK(shape_of_enum, bpf_core_type_matches(enum colour))
ASK(shape_behind_pointer, bpf_core_type_matches(struct task___pointing))
ASK(bit_field_unsigned, BPF_CORE_READ_BITFIELD(task, flag))
ASK(bit_field_signed, BPF_CORE_READ_BITFIELD(task, level))

/* The host answers a load with 1000 * offset + size. */
ASK(load_moved, task->pid)
ASK(load_widened, task->narrow)
ASK(load_pointer, (long)task->pointer)
ASK(load_guarded, bpf_core_field_exists(task->absent) ? task->absent : 7)

/* What the kernel cannot answer is a fault where it is reached. */
ASK(reached_absent, task->absent)
ASK(reached_sign_change, task->changes_sign)
