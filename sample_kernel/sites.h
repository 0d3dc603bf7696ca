/* SPDX-License-Identifier: MIT */
/* sites.S: a function for each form of reference to a pv op. */
#ifndef SITES_H
#define SITES_H

#include "paravirt.h"

unsigned long site_tail(void);
void site_tail_long(void);
unsigned long site_tail_nothing(void);
void site_jnz(uint32_t condition);
void site_jb(uint32_t condition);
unsigned long site_jz_nothing(uint32_t condition);
unsigned long site_slot_call(uint32_t msr);
void site_slot_jump(uint32_t msr, unsigned long value);
unsigned long site_slot_call_absolute(uint32_t msr);
void site_slot_jump_absolute(uint32_t msr, unsigned long value);
unsigned long site_address_root(void);
unsigned long site_address_make(unsigned long value);
unsigned long site_address_val(unsigned long pte);
unsigned long site_address_fault(void);
#define site_address_cr3 site_address_root /* in x86_64/xen_switch.c */
#define site_address_cr2 site_address_fault
extern void (*const site_pointers[3])(void);
extern unsigned long (*site_pointers_data[2])(void);

#endif
