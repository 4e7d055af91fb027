/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/file_attributes.h"

#include <sys/stat.h>
#include <time.h>

void file_attributes_apply(const struct file_attributes *self, int fd)
{
    struct stat status;
    if (self->is_executable && fstat(fd, &status) == 0) {
        mode_t readers = status.st_mode & (S_IRUSR | S_IRGRP | S_IROTH);
        (void)fchmod(fd, (status.st_mode & 0777) | readers >> 2);
    }
    if (self->has_mtime && self->mtime_ms <= MTIME_MS_MAX) {
        struct timespec mtime = {(time_t)(self->mtime_ms / 1000), (long)(self->mtime_ms % 1000) * 1000000};
        (void)futimens(fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, mtime});
    }
}
