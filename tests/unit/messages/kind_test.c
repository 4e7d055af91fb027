/* SPDX-License-Identifier: MIT */
/* A kind let in at the wrong end lets a client act as a broker, or draws an answer to an answer. */
#include "messages/kind.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

/* B, M, S, C: broker, member, server, client. */
static const struct {
    uint64_t kind;
    const char *name, *requests, *replies;
} ROWS[] = {
    {0, "ERROR", "BMSC", ""},     {1, "PING", "BMSC", ""},    {2, "PONG", "BMSC", ""},
    {3, "BYE", "BMSC", ""},       {10, "JOIN", "B", ""},      {11, "JOIN_OK", "", "M"},
    {12, "UPDATE", "B", ""},      {13, "UPDATE_OK", "", "M"}, {14, "SEARCH", "B", ""},
    {15, "QUERY", "M", ""},       {16, "ANSWER", "", "B"},    {17, "FOUND", "", "M"},
    {18, "SEARCH_DONE", "", "M"}, {19, "PEERS", "B", ""},     {20, "PEERS_OK", "", "M"},
    {21, "STATUS", "B", ""},      {22, "STATUS_OK", "", "M"}, {30, "HELLO", "S", ""},
    {31, "HELLO_OK", "", "C"},    {32, "LIST", "S", ""},      {33, "LIST_OK", "", "C"},
    {34, "OPEN", "S", ""},        {35, "OPEN_OK", "", "C"},   {36, "HASHES", "SC", ""},
    {37, "HASHES_OK", "", "SC"},  {38, "READ", "SC", ""},     {39, "DATA", "", "SC"},
    {40, "CANCEL", "SC", ""},     {41, "HAVE", "SC", ""},     {42, "CLOSE", "S", ""},
    {43, "OFFER", "S", ""},       {44, "OFFER_OK", "", "C"},  {45, "STORED", "", "C"},
};

static const char LETTERS[] = "BMSC"; /* by enum receiver */

Test(kind, each_kind_goes_to_the_receivers_of_the_protocol)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        cr_expect(strcmp(kind_name(ROWS[i].kind), ROWS[i].name) == 0, "%s", ROWS[i].name);
        for (int r = RECEIVER_BROKER; r <= RECEIVER_CLIENT; r++) {
            enum gate expected = GATE_UNSUPPORTED;
            if (strchr(ROWS[i].requests, LETTERS[r]))
                expected = GATE_REQUEST;
            else if (ROWS[i].replies[0])
                expected = GATE_REPLY;
            cr_expect(eq(int, kind_gate(ROWS[i].kind, (enum receiver)r), expected), "%s to %c", ROWS[i].name,
                      LETTERS[r]);
            cr_expect(eq(int, kind_is_reply_to(ROWS[i].kind, (enum receiver)r),
                         strchr(ROWS[i].replies, LETTERS[r]) != NULL),
                      "%s to %c", ROWS[i].name, LETTERS[r]);
        }
    }
}

Test(kind, other_numbers_are_unsupported_and_have_no_name)
{
    static const uint64_t OTHERS[] = {4, 9, 23, 29, 46, 60, 79, 255, 256, UINT64_MAX};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        cr_expect(strcmp(kind_name(OTHERS[i]), "unknown") == 0);
        cr_expect(eq(int, kind_gate(OTHERS[i], RECEIVER_SERVER), GATE_UNSUPPORTED));
        cr_expect(not(kind_is_reply_to(OTHERS[i], RECEIVER_SERVER)));
        cr_expect(not(kind_is_never_answered(OTHERS[i])));
    }
}

Test(kind, error_pong_and_bye_are_never_answered)
{
    for (uint64_t kind = 0; kind <= KIND_STORED; kind++)
        cr_expect(eq(int, kind_is_never_answered(kind), kind == 0 || kind == 2 || kind == 3));
}

Test(kind, errors_have_the_names_of_the_protocol)
{
    static const char *const NAMES[] = {"unknown",  "bad_message", "unsupported", "not_found",  "busy",
                                        "changed",  "denied",      "limit",       "not_joined", "no_space",
                                        "internal", "bad_range",   "wrong_node",  "duplicate",  "unknown"};
    for (uint16_t code = 0; code < sizeof NAMES / sizeof NAMES[0]; code++)
        cr_expect(strcmp(error_name(code), NAMES[code]) == 0, "code %u", code);
    cr_expect(strcmp(error_name(UINT16_MAX), "unknown") == 0);
}
