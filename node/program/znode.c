/* SPDX-License-Identifier: MIT */
/* znode: a node that shares folders. */
#include "messages/shell/socket.h"
#include "node/program/first_start.h"
#include "node/program/node.h"
#include "node/program/settings.h"

#include <errno.h>
#include <string.h>

static void run(struct node *node)
{
    if (!output_serve(node->output)) {
        output_error(node->output, "cannot start threads: %s; raise the limit with ulimit -u",
                     strerror(errno));
        return;
    }
    process_start(process_io_threads());
    if (node_start(node))
        loop_run(node->loop);
    node_stop(node);
    process_finish();
}

int main(int argc, char **argv)
{
    struct node node = {.output = settings_read(&argc, &argv), .state = {.lock_fd = -1}};
    if (argc > 0)
        output_error(node.output, "unexpected '%s': folders are given with --share", argv[0]);
    else if (!first_start_is_due() || first_start_ask(node.output))
        run(&node);
    settings_release();
    return output_finish(&node.output);
}
