/* SPDX-License-Identifier: MIT */
/* For assembly: the bounds of a function. */
/* clang-format off */
	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro end name
	ret
	.size \name, . - \name
	.endm
