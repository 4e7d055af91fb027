/* SPDX-License-Identifier: MIT */
#include "node/shell/share/remote_disk.h"

#include <linux/magic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/vfs.h>

static const uint32_t types[] = {
    NFS_SUPER_MAGIC,
    SMB_SUPER_MAGIC,
    CIFS_SUPER_MAGIC,
    SMB2_SUPER_MAGIC,
    FUSE_SUPER_MAGIC,
    AFS_SUPER_MAGIC,
    AFS_FS_MAGIC,
    CODA_SUPER_MAGIC,
    NCP_SUPER_MAGIC,
    CEPH_SUPER_MAGIC,
    V9FS_MAGIC,
    OCFS2_SUPER_MAGIC,
    0x01161970 /* GFS2 */,
    0x0bd00bd0 /* Lustre */,
    0x47504653 /* GPFS */,
    0x786f4256 /* VirtualBox */,
    0xbacbacbc /* VMware */,
};

bool remote_disk_has(int fd)
{
    struct statfs status;
    if (fstatfs(fd, &status) != 0)
        return true;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if ((uint32_t)status.f_type == types[i])
            return true;
    }
    return false;
}
