/* SPDX-License-Identifier: MIT */
/*
 * A stream that nobody reads, with and without ThreadSanitizer, hence without Criterion. What could go wrong:
 * who prints waits, lines lost without a word or told at the wrong place, half a line, lines out of order, an
 * end that waits for ever, an error that nobody hears of.
 */
#include "tests/support/check.h"
#include "tools/cli/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Far more than a pipe and a writer hold. */
#define FLOOD_COUNT 100000

#define PATIENCE_MS 60000

static int ends[2];

static struct writer *new_writer(void)
{
    CHECK(pipe(ends) == 0);
    struct writer *writer = writer_new(ends[1], "ztest");
    CHECK(writer != NULL);
    return writer;
}

static void put_numbered(struct writer *writer, unsigned number)
{
    char line[32];
    int size = snprintf(line, sizeof line, "line %u\n", number);
    writer_put(writer, line, (size_t)size);
}

/* Reads lines until one is `last`; checks that numbers go up, and that exactly those that are missing were
 * told, where they are missing. */
static unsigned long read_until(const char *last)
{
    FILE *in = fdopen(ends[0], "r");
    char *line = NULL;
    size_t room = 0;
    unsigned expected = 0;
    unsigned long lost_count = 0, told_count;
    for (;;) {
        CHECK(getline(&line, &room, in) > 0);
        unsigned number;
        if (strcmp(line, last) == 0)
            break;
        if (sscanf(line, "ztest: %lu lines were lost here: nobody read them in time", &told_count) == 1) {
            lost_count += told_count;
            expected += (unsigned)told_count;
        } else {
            CHECK(sscanf(line, "line %u\n", &number) == 1);
            CHECK(number == expected);
            expected++;
        }
    }
    CHECK(expected == FLOOD_COUNT);
    free(line);
    fclose(in);
    return lost_count;
}

static void loss_is_told_in_its_place_once_somebody_reads(void)
{
    struct writer *writer = new_writer();
    for (unsigned i = 0; i < FLOOD_COUNT / 2; i++)
        put_numbered(writer, i);
    CHECK(!writer_flush(writer, 1)); /* the pipe is full, and the thread stands in front of it */
    for (unsigned i = FLOOD_COUNT / 2; i < FLOOD_COUNT; i++)
        put_numbered(writer, i);
    CHECK(!writer_has_room(writer));
    pid_t child = fork(); /* that reads, while we write on */
    if (child == 0) {
        CHECK(read_until("end\n") > 0);
        _exit(0);
    }
    CHECK(writer_flush(writer, PATIENCE_MS));
    CHECK(writer_has_room(writer));
    writer_put(writer, "end\n", 4);
    CHECK(writer_flush(writer, PATIENCE_MS));
    writer_destroy(&writer);
    close(ends[1]);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(ends[0]);
}

static void what_is_read_is_complete(void)
{
    struct writer *writer = new_writer();
    writer_put(writer, "a\n", 2);
    writer_put(writer, "b\n", 2);
    CHECK(writer_flush(writer, PATIENCE_MS));
    char text[8] = "";
    CHECK(read(ends[0], text, sizeof text) == 4 && memcmp(text, "a\nb\n", 4) == 0);
    writer_destroy(&writer);
    CHECK(writer == NULL);
}

static void end_does_not_wait_for_a_reader(void)
{
    struct writer *writer = new_writer();
    for (unsigned i = 0; i < FLOOD_COUNT; i++)
        put_numbered(writer, i);
    CHECK(!writer_flush(writer, 1));
    writer_destroy(&writer);
    CHECK(writer == NULL);
}

static void reader_that_left_is_an_error_and_nothing_waits_for_room(void)
{
    struct writer *writer = new_writer();
    close(ends[0]);
    writer_put(writer, "x\n", 2);
    writer_flush(writer, PATIENCE_MS);
    CHECK(writer_error(writer) == EPIPE);
    for (unsigned i = 0; i < FLOOD_COUNT; i++)
        put_numbered(writer, i);
    CHECK(writer_has_room(writer));
    writer_destroy(&writer);
}

static void more_than_there_is_room_for_at_all_is_told(void)
{
    struct writer *writer = new_writer();
    char *large = malloc(WRITER_BYTES + 1);
    memset(large, 'x', WRITER_BYTES);
    large[WRITER_BYTES] = '\n';
    writer_put(writer, large, WRITER_BYTES + 1);
    CHECK(writer_flush(writer, PATIENCE_MS));
    char text[64] = "";
    CHECK(read(ends[0], text, sizeof text - 1) > 0);
    CHECK(strncmp(text, "ztest: 1 line was lost here", 27) == 0);
    free(large);
    writer_destroy(&writer);
}

static void descriptor_that_does_not_block_is_written_too(void)
{
    struct writer *writer = new_writer();
    CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    for (unsigned i = 0; i < 20000; i++)
        put_numbered(writer, i);
    FILE *in = fdopen(ends[0], "r");
    char *line = NULL;
    size_t room = 0;
    for (unsigned i = 0; i < 20000; i++)
        CHECK(getline(&line, &room, in) > 0 && strtoul(line + 5, NULL, 10) == i);
    free(line);
    CHECK(writer_flush(writer, PATIENCE_MS)); /* what was read may not be known to be written yet */
    writer_destroy(&writer);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    loss_is_told_in_its_place_once_somebody_reads();
    what_is_read_is_complete();
    end_does_not_wait_for_a_reader();
    reader_that_left_is_an_error_and_nothing_waits_for_room();
    more_than_there_is_room_for_at_all_is_told();
    descriptor_that_does_not_block_is_written_too();
    puts("writer: all claims hold");
    return 0;
}
