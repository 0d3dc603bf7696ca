/* SPDX-License-Identifier: MIT */
/*
 * Backends are switched while two processors, and the timer interrupts of both, run sites of every
 * kind. Each call of an op must do what it does under one backend or under the other. The interrupt
 * flag of the one is not that of the other, and the shim has one for all processors: so the load
 * sets the processor's itself, and looks at nothing else.
 */
#include "bp_paravirt.h"
#include "check.h"
#include "live.h"
#include "shim.h"
#include "sites.h"
#include "smp.h"

enum { ROOM = 256, PERIOD = 500000, PATIENCE = 200, PAUSES = 1000, HALTS = 256 };

static struct bp_change changes[ROOM];
static const struct bp_backend *current;
static bool stop, stopped, inside_never;
static uint32_t loads, timers, traps, again, wrong, wrong_line, shims;

/* What live.h asks for. Only the second processor attends: the first one applies. */

static void summon(struct bp_live *live)
{
	(void)live;
	smp_interrupt_others(VECTOR_SUMMONS);
}

static int inside(const struct bp_live *live, const void *frame)
{
	if (!frame || inside_never)
		return 0; /* no site has called this test */
	for (const uintptr_t *word = frame; word < (const uintptr_t *)(ap_stack + AP_STACK); word++)
		if (bp_live_inside(live, *word))
			return 1;
	return 0;
}

static struct bp_live live;

/* Called by live_entry.S. */
bool breakpoint_hit(const void *frame, uintptr_t *ip);
void summoned(const void *frame);

bool breakpoint_hit(const void *frame, uintptr_t *ip)
{
	if (!bp_live_trap(&live, ip, frame))
		return false;
	__atomic_add_fetch(&traps, 1, __ATOMIC_RELAXED);
	return true;
}

void summoned(const void *frame)
{
	smp_end_of_interrupt();
	bp_live_attend(&live, frame);
}

void smp_timer_interrupt(void)
{
	__atomic_add_fetch(&timers, 1, __ATOMIC_RELAXED);
	smp_end_of_interrupt();
}

/* The load. */

static void expect(bool good, uint32_t line)
{
	if (good)
		return;
	wrong_line = line;
	__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}
#define EXPECT(good) expect(good, __LINE__)

static void flags_on(void)
{
	shim_if = 1;
	__asm__ volatile("sti" : : : "memory");
}

static void flags_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static bool is_on(void)
{
	return read_flags() & FLAGS_IF;
}

/* The shim's flags are the interrupt flag alone; bit 1 of the processor's is always set. */
static bool plausible(unsigned long flags)
{
	return flags == 0 || flags == FLAGS_IF || (flags & 2 && flags < 1 << 12);
}

/* Under the shim an op leaves the processor's interrupt flag alone; it is called only where it does
 * not change it under native either. */
static void load_irq(void)
{
	flags_on();
	EXPECT(plausible(pv_irq_save()) && is_on());
	EXPECT(plausible(site_tail()) && is_on());
	EXPECT(plausible(site_pointers_data[1]()) && is_on());
	pv_irq_restore(2 | FLAGS_IF);
	EXPECT(is_on());
	pv_irq_enable();
	EXPECT(is_on());
	site_jb(10);
	EXPECT(is_on());
	__asm__ volatile(IRQ_CALL("pv_irq_enable") : : : "memory");
	EXPECT(is_on());
	flags_off();
	pv_irq_disable();
	EXPECT(!is_on());
	__asm__ volatile(IRQ_CALL("pv_irq_disable") : : : "memory");
	EXPECT(!is_on());
	site_jb(9);
	EXPECT(!is_on());
	site_jnz(0);
	EXPECT(!is_on());
	site_pointers[1]();
	EXPECT(!is_on());
	pv_irq_restore(2);
	EXPECT(!is_on());
	EXPECT(plausible(pv_irq_save()) && !is_on());
	flags_on();
	site_jnz(1);
	EXPECT(is_on());
	site_pointers[0]();
	EXPECT(is_on());
}

static void load_pte(void)
{
	unsigned long value = 0x12345003, mask = PTE_PSEUDO, entry = 0;

	EXPECT(((pv_make_pte(value) ^ value) & ~mask) == 0);
	EXPECT(((pv_pte_val(value) ^ value) & ~mask) == 0);
	EXPECT(((site_address_make(value) ^ value) & ~mask) == 0);
	EXPECT(((site_address_val(value) ^ value) & ~mask) == 0);
	pv_set_pte(&entry, value);
	EXPECT(((entry ^ value) & ~mask) == 0);
}

static void load_registers(void)
{
	unsigned long root = read_cr3();

	EXPECT(pv_read_cr3() == root);
	EXPECT(site_address_cr3() == root);
	EXPECT(site_pointers_data[0]() == root);
	pv_write_cr3(root);
	pv_flush_tlb();
	site_tail_long();
	EXPECT(read_cr3() == root);
	write_cr2(0x1234567);
	EXPECT(pv_read_cr2() == 0x1234567);
	EXPECT(site_address_cr2() == 0x1234567);
	pv_io_delay();
	site_pointers[2]();
	EXPECT(site_tail_nothing() == 42);
	EXPECT(site_jz_nothing(0) == 42);
	EXPECT(site_jz_nothing(1) == 43);
}

static bool is_cpuid(const struct cpuid *found)
{
	struct cpuid native = cpuid(SHIM_LEAF, 0);
	bool shim = !memcmp(&found->ebx, SHIM_VENDOR, 12);

	shims += shim;
	return found->eax == native.eax && (shim || !memcmp(found, &native, sizeof(native)));
}

static void load_cpu(void)
{
	uint64_t efer = rdmsr(MSR_EFER);
	struct cpuid id = pv_cpuid(SHIM_LEAF, 0);

	EXPECT(is_cpuid(&id));
	EXPECT(pv_rdmsr(MSR_EFER) == efer);
	EXPECT(site_slot_call(MSR_EFER) == efer);
	EXPECT(site_slot_call_absolute(MSR_EFER) == efer);
	pv_wrmsr(MSR_SYSENTER_EIP, 0x1234);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x1234);
	site_slot_jump(MSR_SYSENTER_EIP, 0x5678);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x5678);
	site_slot_jump_absolute(MSR_SYSENTER_EIP, 0x9abc);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x9abc);
}

static void load(void)
{
	load_irq();
	load_pte();
	load_registers();
	load_cpu();
	flags_on();
}

/* As entry code calls ops: every register and the arithmetic flags live. One processor's alone. */
static void load_entry(void)
{
	for (unsigned i = 0; i < REGISTERS; i++)
		registers_before[i] = 0x12345678 * (i + 1);
	registers_calls();
	flags_on();
	EXPECT(!memcmp(registers_before, registers_after, sizeof(registers_before)));
	EXPECT((registers_flags & FLAGS_ARITHMETIC) == FLAGS_ARITHMETIC);
}

void smp_main(void)
{
	smp_timer(PERIOD);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		load();
		load_entry();
		if (++loads % HALTS == 0)
			pv_halt(); /* until the timer's next interrupt */
	}
	smp_timer(0);
	flags_off();
	__atomic_store_n(&stopped, true, __ATOMIC_RELEASE);
}

/* The switches. */

static bool apply(uint32_t count)
{
	unsigned long cr0 = read_cr0();
	bool done;

	flags_off();
	write_cr0(cr0 & ~(unsigned long)CR0_WP);
	done = bp_live_apply(&live, changes, count);
	write_cr0(cr0);
	flags_on();
	return done;
}

static void switch_to(const struct bp_backend *to, bool plain)
{
	uint32_t count = ROOM, tries = 0;
	struct bp_status status;

	if (plain)
		status = bp_switch(&bp_paravirt, current, to, kernel_start, kernel_end, poke, NULL);
	else
		status = bp_changes(&bp_paravirt, current, to, kernel_start, kernel_end, changes,
				    &count);
	if (status.error || count > ROOM)
		panic("switch failed");
	while (!plain && !apply(count)) {
		again++;
		if (++tries == PATIENCE)
			panic("a site is never left");
		for (unsigned i = 0; i < PAUSES * tries; i++)
			__asm__ volatile("pause");
	}
	current = to;
}

/* A check without a write: every site holds what its table says was linked. */
static bool as_linked(void)
{
	return !bp_fixup(&bp_paravirt, &bp_paravirt_native, kernel_start, kernel_end, NULL, NULL)
		    .error;
}

bool switch_test(const char *times, const struct bp_backend *chosen)
{
	bool plain = command_line_has("poke=plain"), linked;
	uint32_t number = 0;

	while (*times)
		number = 10 * number + (*times++ - '0');
	inside_never = command_line_has("inside=never");
	current = chosen;
	interrupts_gate(VECTOR_BREAKPOINT, breakpoint_entry);
	interrupts_gate(VECTOR_SUMMONS, summons_entry);
	flags_on();
	live = (struct bp_live){
	    .write = bp_write,
	    .others = smp_start(),
	    .summon = summon,
	    .inside = inside,
	};
	smp_timer(PERIOD);
	for (uint32_t i = 0; i < number; i++) {
		switch_to(current == &bp_paravirt_native ? &bp_paravirt_shim : &bp_paravirt_native,
			  plain);
		load();
	}
	switch_to(NULL, plain);
	linked = as_linked();
	switch_to(chosen, plain);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	while (live.others && !__atomic_load_n(&stopped, __ATOMIC_ACQUIRE))
		__asm__ volatile("pause");
	smp_timer(0);
	flags_off();
	/* As before, for the other checks. */
	shim_if = shim_pending = 0;
	memset((void *)shim_calls, 0, sizeof(shim_calls));
	print("switches %u, processors %u, loads %u, timers %u, traps %u, again %u, shims %u\n",
	      number + 2, live.others + 1, loads, timers, traps, again, shims);
	print("switches: %u wrong, the last at line %u, %s\n", wrong, wrong_line,
	      linked ? "as linked" : "not as linked");
	return !wrong && linked;
}
