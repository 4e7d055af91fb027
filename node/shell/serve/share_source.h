/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_SHARE_SOURCE_H
#define NODE_SHELL_SERVE_SHARE_SOURCE_H

#include "node/shell/serve/data_port.h"
#include "node/shell/share/shares.h"

/* Lets a data port serve what is shared. The shares outlive it. */
struct content_source share_source(struct shares *shares);

#endif
