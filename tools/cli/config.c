/* SPDX-License-Identifier: MIT */
#include "tools/cli/config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char *config_path(void)
{
    const char *folder = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int rc = 0;
    if (folder && folder[0] == '/') /* the XDG standard: a relative path is ignored */
        rc = asprintf(&path, "%s/zswarm/config", folder);
    else if (home && *home)
        rc = asprintf(&path, "%s/.config/zswarm/config", home);
    assert(rc >= 0);
    return path;
}

/* What is there already goes to `out`, with a line end if the last line lacks one. False with errno. */
static bool copy_lines(FILE *in, FILE *out)
{
    int last = '\n';
    for (int c; (c = getc(in)) != EOF; last = c) {
        if (putc(c, out) == EOF)
            return false;
    }
    return !ferror(in) && (last == '\n' || putc('\n', out) != EOF);
}

/* Fills the new file, which gets the mode of the old one. False with errno. */
static bool write_lines(const char *path, FILE *out, const char *name, const char *value)
{
    /* O_NONBLOCK: opening a FIFO must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno != ENOENT)
        return false;
    struct stat status;
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    bool is_good = fd < 0 || (in && fstat(fd, &status) == 0 &&
                              fchmod(fileno(out), status.st_mode & 0777) == 0 && copy_lines(in, out));
    is_good =
        is_good && fprintf(out, "%s = %s\n", name, value) > 0 && fflush(out) == 0 && fsync(fileno(out)) == 0;
    int error = errno;
    if (in)
        fclose(in);
    errno = error;
    return is_good;
}

/* Writes the file anew beside the old one, and puts it in its place. False with errno. */
static bool replace(const char *path, const char *name, const char *value)
{
    char *fresh = NULL;
    int rc = asprintf(&fresh, "%s.XXXXXX", path);
    assert(rc >= 0);
    int fd = mkostemp(fresh, O_CLOEXEC);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool is_done = out && write_lines(path, out, name, value);
    if (out)
        is_done = fclose(out) == 0 && is_done;
    is_done = is_done && rename(fresh, path) == 0;
    int error = errno;
    if (fd >= 0 && !is_done)
        unlink(fresh);
    free(fresh);
    errno = error;
    return is_done;
}

bool config_add(const char *path, const char *name, const char *value)
{
    char *real = realpath(path, NULL);
    bool is_added = replace(real ? real : path, name, value);
    int error = errno;
    free(real);
    errno = error;
    return is_added;
}
