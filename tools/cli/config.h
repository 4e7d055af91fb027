/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_CONFIG_H
#define TOOLS_CLI_CONFIG_H

/*
 * The file of settings that all programs share; options.h says what it means. A person writes it, so what a
 * program adds leaves every other line alone.
 */

#include <stdbool.h>

/* ${XDG_CONFIG_HOME:-~/.config}/zswarm/config; malloc'd. NULL when the environment does not say where. */
char *config_path(void);

/*
 * Adds the line `name = value`. Makes the file if it is missing, in a folder that is there; the file is
 * replaced as a whole, and where it is a link, what it leads to. False with errno, and then the file is as it
 * was.
 */
bool config_add(const char *path, const char *name, const char *value);

#endif
