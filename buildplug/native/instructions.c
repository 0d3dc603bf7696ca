/* SPDX-License-Identifier: MIT */
/* Where instructions of x86_64 begin and end. Source: Intel SDM vol. 2, 2.1 and 2.2 (formats), and
 * appendix A (opcode maps). Knows what compilers make of kernels; what is rare is not known. */
#include "loops.h"

enum {
	LONGEST = 15, /* bytes of an instruction */
	NARROW = 0x66,
	LOCK = 0xf0,
	REPEAT_UNEQUAL = 0xf2,
	REPEAT = 0xf3,
	REX = 0x40, /* the upper four bits of one */
	REX_W = 8,
	ESCAPE = 0x0f,
	SECOND = 0x100, /* of an opcode behind ESCAPE */
	GROUP_7 = SECOND | 0x01,
	HINT_NOP = SECOND | 0x1e,
	GROUP_15 = SECOND | 0xae,
	REGISTER = 3, /* ModRM.mod */
	WITH_SIB = 4, /* ModRM.rm */
	NO_BASE = 5,  /* ModRM.rm or SIB.base */
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What follows each opcode, and may be before it:
 * m   ModRM
 * l   ModRM; if that is of memory, LOCK may be before
 * r   ModRM; REPEAT may be before
 * R   ModRM; REPEAT must be before
 * b   a byte
 * z   four bytes, two if NARROW
 * v   the same, but eight if REX_W
 * j   four bytes, not if NARROW, as processors differ then
 * B,Z ModRM, and b or z
 * t,T ModRM, and b or z if its reg is 0 or 1
 * .   nothing
 * s   nothing; REPEAT or REPEAT_UNEQUAL may be before
 * P   it is a prefix
 * -   not known */
static const char FOLLOWING[] = "llmmbz--llmmbz--" /* 00 */
				"llmmbz--llmmbz--"
				"llmmbzP-llmmbzP-"
				"llmmbzP-mmmmbzP-"
				"----------------" /* 40 */
				"................"
				"---mPPP-zZbBssss"
				"bbbbbbbbbbbbbbbb"
				"BZ-Bmmllmmmmmmmm" /* 80 */
				"s.........-....."
				"----ssssbzssssss"
				"bbbbbbbbvvvvvvvv"
				"BB-.--BZ-.-..b-." /* c0 */
				"mmmm---.--------"
				"bbbbbbbbjj-b...."
				"P.PP..tT......mm"
				"mmmm-.....-.-m--" /* 0f 00 */
				"--------m-----Rm"
				"mmmm------------"
				"....------------"
				"mmmmmmmmmmmmmmmm" /* 0f 40 */
				"----------------"
				"----------------"
				"----------------"
				"jjjjjjjjjjjjjjjj" /* 0f 80 */
				"mmmmmmmmmmmmmmmm"
				"...mBm--..-lBmmm"
				"ll-l--mmR-Blrrmm"
				"ll-----m........" /* 0f c0 */
				"----------------"
				"----------------"
				"----------------";

/* Opcodes for which ModRM.reg matters: a bit for each that is known if the operand is in memory, if
 * it is in a register, and if it is in memory behind LOCK. */
static const struct group {
	uint16_t opcode;
	uint8_t memory, registers, locked;
} GROUPS[] = {
    {0x80, 0xff, 0xff, 0x7f},
    {0x81, 0xff, 0xff, 0x7f},
    {0x83, 0xff, 0xff, 0x7f},
    {0x8c, 0x3f, 0x3f, 0},
    {0x8d, 0xff, 0, 0},
    {0x8e, 0x3f, 0x3f, 0},
    {0x8f, 0x01, 0x01, 0},
    {0xc6, 0x01, 0x01, 0},
    {0xc7, 0x01, 0x01, 0},
    {0xf6, 0xff, 0xff, 0x0c},
    {0xf7, 0xff, 0xff, 0x0c},
    {0xfe, 0x03, 0x03, 0x03},
    {0xff, 0x7f, 0x57, 0x03},
    {SECOND | 0x00, 0x3f, 0x3f, 0},
    {GROUP_7, 0xdf, 0x50, 0},
    {SECOND | 0x0d, 0x07, 0, 0},
    {SECOND | 0x18, 0x0f, 0, 0},
    {HINT_NOP, 0, 0, 0},
    {SECOND | 0x20, 0, 0xff, 0},
    {SECOND | 0x21, 0, 0xff, 0},
    {SECOND | 0x22, 0, 0xff, 0},
    {SECOND | 0x23, 0, 0xff, 0},
    {GROUP_15, 0xff, 0, 0},
    {SECOND | 0xba, 0xf0, 0xf0, 0xe0},
    {SECOND | 0xc7, 0x02, 0xc0, 0x02},
};

/* What else is known in a register: opcode << 8 | ModRM. */
static const uint32_t SINGLE[] = {
    GROUP_7 << 8 | 0xc1,  /* vmcall */
    GROUP_7 << 8 | 0xca,  /* clac */
    GROUP_7 << 8 | 0xcb,  /* stac */
    GROUP_7 << 8 | 0xd0,  /* xgetbv */
    GROUP_7 << 8 | 0xd1,  /* xsetbv */
    GROUP_7 << 8 | 0xd9,  /* vmmcall */
    GROUP_7 << 8 | 0xf8,  /* swapgs */
    GROUP_7 << 8 | 0xf9,  /* rdtscp */
    HINT_NOP << 8 | 0xfa, /* endbr64 */
    HINT_NOP << 8 | 0xfb, /* endbr32 */
    GROUP_15 << 8 | 0xe8, /* lfence */
    GROUP_15 << 8 | 0xf0, /* mfence */
    GROUP_15 << 8 | 0xf8, /* sfence */
};

static int in(const char *letters, int letter)
{
	while (*letters && *letters != letter)
		letters++;
	return *letters;
}

/* Whether an opcode that is followed by this ModRM byte is known; prefix: the LOCK or REPEAT before
 * it, or 0. */
static int known(unsigned opcode, int follows, unsigned modrm, int prefix)
{
	int in_register = modrm >> 6 == REGISTER, reg = 1 << (modrm >> 3 & 7), allowed = 0xff;
	int locked = follows == 'l' ? 0xff : 0;

	for (unsigned i = 0; i < COUNT(GROUPS); i++)
		if (GROUPS[i].opcode == opcode) {
			allowed = in_register ? GROUPS[i].registers : GROUPS[i].memory;
			locked = GROUPS[i].locked;
		}
	for (unsigned i = 0; i < COUNT(SINGLE); i++)
		if (SINGLE[i] == (opcode << 8 | modrm))
			allowed = 0xff;
	if (prefix == LOCK)
		return !in_register && locked & reg;
	if (prefix ? prefix != REPEAT || !in("rR", follows) : follows == 'R')
		return 0;
	return allowed & reg;
}

/* The next byte; 0 behind the last, which *at then tells. */
static unsigned take(const uint8_t *code, int64_t left, int64_t *at)
{
	unsigned byte = *at < left ? code[*at] : 0;

	++*at;
	return byte;
}

/* The length of the instruction at code, of which there are `left` bytes, and at which of them its
 * immediate begins, 0 for none. 0 if it is not known; the immediate then stays as it was. */
static int64_t decode(const uint8_t *code, int64_t left, int64_t *immediate)
{
	int64_t at = 0;
	int narrow = 0, prefix = 0, rex = 0, follows;
	unsigned opcode, modrm = 0;

	if (left > LONGEST)
		left = LONGEST;
	for (; at < left && FOLLOWING[code[at]] == 'P'; at++) {
		narrow |= code[at] == NARROW;
		if (code[at] == LOCK || code[at] == REPEAT || code[at] == REPEAT_UNEQUAL) {
			if (prefix)
				return 0;
			prefix = code[at];
		}
	}
	if (at < left && (code[at] & 0xf0) == REX)
		rex = code[at++];
	opcode = take(code, left, &at);
	if (opcode == ESCAPE)
		opcode = SECOND | take(code, left, &at);
	follows = FOLLOWING[opcode];
	if (narrow && (opcode == GROUP_15 || (prefix && prefix != LOCK)))
		return 0; /* NARROW may make them other instructions */
	if (in("mlrRBZtT", follows)) {
		modrm = take(code, left, &at);
		unsigned mod = modrm >> 6, base = modrm & 7;
		if (mod != REGISTER && base == WITH_SIB)
			base = take(code, left, &at) & 7;
		if (mod == 1)
			at += 1;
		else if (mod == 2 || (mod == 0 && base == NO_BASE))
			at += 4;
		if (!known(opcode, follows, modrm, prefix))
			return 0;
	} else if (prefix == LOCK || (prefix && follows != 's')) {
		return 0;
	}

	int64_t start = at, word = narrow && !(rex & REX_W) ? 2 : 4;
	int one = in("bBt", follows), whole = in("zZTv", follows);
	if (in("tT", follows) && modrm & 0x30) /* reg is neither 0 nor 1 */
		one = whole = 0;
	if (in("P-", follows) || (narrow && follows == 'j'))
		return 0;
	if (one)
		at += 1;
	else if (follows == 'v' && rex & REX_W)
		at += 8;
	else if (whole)
		at += word;
	else if (follows == 'j')
		at += 4;
	if (at > left)
		return 0;
	*immediate = at > start ? start : 0;
	return at;
}

/* Goes on from the place before if that is of the same function and not behind this one: sorted
 * places of a function take one pass over it. */
int64_t find_instructions(const uint8_t *code, int64_t size, const int64_t *functions,
			  const int64_t *places, int64_t count, int64_t *found)
{
	int64_t function = -1, start = 0, end = 0, immediate = 0;

	for (int64_t i = 0; i < count; i++, found += 3) {
		found[0] = found[1] = found[2] = -1;
		if (functions[i] < 0 || functions[i] > places[i] || functions[i] > size)
			continue;
		if (functions[i] != function || places[i] < start)
			end = function = functions[i];
		for (int64_t length; end <= places[i]; end += length) {
			length = decode(code + end, size - end, &immediate);
			if (!length)
				break;
			start = end;
		}
		if (end <= places[i])
			continue;
		found[0] = start;
		found[1] = end;
		if (immediate)
			found[2] = start + immediate;
	}
	return 0;
}
