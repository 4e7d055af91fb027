/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_VALUE_H
#define TOOLS_CLI_VALUE_H

/*
 * Values as people type them, and how they are shown. Every parser takes the whole text or nothing: no sign,
 * no space, nothing after the value; false, and ret untouched, on anything else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 136 years: keeps every sum with a clock inside 64 bits. */
#define SECONDS_MAX UINT32_MAX

/* 2^60: sums of sizes stay inside 64 bits. */
#define SIZE_VALUE_MAX (UINT64_C(1) << 60)

/* Decimal digits, min <= value <= max. */
bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number);

/* 1..65535. */
bool port_parse(const char *text, uint16_t *ret_port);

/* `A-B`, two ports with A <= B. */
bool port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last);

/* `A-B` with A <= B, both included; `A-` is up to `max`. */
bool span_parse(const char *text, uint64_t max, uint64_t *ret_first, uint64_t *ret_last);

/* Seconds, also with a fraction (`0.25`); more than zero. A part of a millisecond counts as a whole one. */
bool seconds_parse(const char *text, uint64_t *ret_ms);

/*
 * Bytes (a second, for a rate): `700`, `64K`, `1.5M`, `2G` in 1024s; `100kbit`, `100Mbit`, `1Gbit` in 1000s
 * of bits. Units in either case; what is less than a byte is dropped.
 */
bool size_parse(const char *text, uint64_t *ret_bytes);

/* 8 to 64 hex digits: the beginning of an id. */
bool is_id_text(const char *text);

/* Why a name, query or pattern cannot be used: "is longer than 256 bytes", "holds control characters", "is
 * not UTF-8". NULL when it can; else static, until the next call. */
const char *text_problem(const char *text, size_t size_max);

/* For words after a number: "1 node", "2 nodes". */
const char *plural(uint64_t count, const char *one, const char *many);

/* Room for what size_format() and rate_format() write. */
#define SIZE_TEXT_SIZE 16

/* `812 B`, `1.5 KiB`, `99.9 MiB`, `100 GiB`: rounded down, at most 8 characters. */
void size_format(uint64_t bytes, char ret_text[SIZE_TEXT_SIZE]);

/* The same with `/s`. */
void rate_format(uint64_t bytes_per_s, char ret_text[SIZE_TEXT_SIZE]);

#endif
