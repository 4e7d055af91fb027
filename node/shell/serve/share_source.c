/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/share_source.h"

static bool locate(void *owner, struct content content, struct open_file_place *ret_place)
{
    struct shares_place place;
    if (!shares_locate(owner, content.handle, &place))
        return false;
    *ret_place = (struct open_file_place){.fd = -1,
                                          .folder_fd = place.folder_fd,
                                          .path = place.path,
                                          .has_stamp = true,
                                          .stamp = place.stamp,
                                          .lane = place.share + 1u};
    return true;
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
        .owner = shares, .locate = locate, .load_hashes = load_hashes, .changed = changed};
}
