/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_SETTINGS_H
#define NODE_PROGRAM_SETTINGS_H

/* What the command line and the config file say to znode. */

#include "tools/cli/endpoint.h"
#include "tools/cli/program.h"

/* Texts are malloc'd and NULL when not given. */
struct settings {
    struct endpoint broker;
    bool is_broker_given; /* else it is the default */
    struct option_texts shares;
    char *manifest, *home, *name, *state, *bind, *temp;
    uint16_t port_first, port_last; /* 0, 0: ephemeral */
    bool is_port_assigned;          /* by the broker; then there is no range */
    uint64_t up_rate, down_rate;    /* bytes a second; 0: no limit */
    uint64_t up_rate_each;          /* the same, to each requester */
    bool is_lan_free;               /* the two do not hold for those nearby */
    uint64_t push_quota_bytes;
    bool has_no_broker, has_menu, is_daemon, accepts_pushes;
};

/* Fills in the settings, which are the process's; else as program_start(). */
struct output *settings_read(int *argc, char ***argv);
extern struct settings settings;
void settings_release(void);

#endif
