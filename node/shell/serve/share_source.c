/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/share_source.h"

#include <errno.h>

static int open_shared(void *owner, struct content content, bool *ret_has_stamp, struct file_stamp *ret_stamp)
{
    struct shares *shares = owner;
    int fd = shares_open(shares, content.handle);
    if (fd < 0)
        return -1;
    /* It is still what was hashed, so the index has its stamp. */
    *ret_stamp = share_index_by_handle(shares_index(shares), content.handle)->stamp;
    *ret_has_stamp = true;
    return fd;
}

static enum disk_result load_hashes(void *owner, struct content content, uint32_t first, uint32_t count,
                                    struct hash *ret_hashes)
{
    return shares_layer(owner, content.handle, first, count, ret_hashes) ? DISK_OK : DISK_HASHING;
}

static void changed(void *owner, struct content content, const struct file_stamp *stamp)
{
    shares_file_changed(owner, content.handle, stamp);
}

struct content_source share_source(struct shares *shares)
{
    return (struct content_source){
        .owner = shares, .open = open_shared, .load_hashes = load_hashes, .changed = changed};
}
