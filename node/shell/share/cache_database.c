/* SPDX-License-Identifier: MIT */
#include "node/shell/share/cache_database.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two tools of one person may meet for a moment; more than this is a node that holds it for good. */
#define BUSY_TIMEOUT_MS 100

static const char SCHEMA[] =
    "CREATE TABLE file(row INTEGER PRIMARY KEY, share BLOB NOT NULL, path BLOB NOT NULL, inode INTEGER NOT "
    "NULL,"
    " size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, root BLOB NOT NULL,"
    " id BLOB NOT NULL, seen_day INTEGER NOT NULL, UNIQUE(share, path));"
    "CREATE INDEX file_by_id ON file(id);"
    "CREATE INDEX file_by_day ON file(seen_day);"
    "CREATE TABLE layer(row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, hashes BLOB NOT NULL);"
    "CREATE TABLE state(clean INTEGER NOT NULL);"
    "INSERT INTO state VALUES(1);"
    "PRAGMA user_version = 1;";

static const char *const STATEMENTS[CACHE_STATEMENTS_COUNT] = {
    [CACHE_FIND] = "SELECT row, root, id, seen_day FROM file WHERE share = ?1 AND path = ?2 AND inode = ?3"
                   " AND size = ?4 AND mtime_ns = ?5 AND ctime_ns = ?6",
    [CACHE_SEEN] = "UPDATE file SET seen_day = ?2 WHERE row = ?1",
    [CACHE_PUT] =
        "INSERT INTO file(share, path, inode, size, mtime_ns, ctime_ns, root, id, seen_day)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        " ON CONFLICT(share, path) DO UPDATE SET inode = ?3, size = ?4, mtime_ns = ?5, ctime_ns = ?6,"
        " root = ?7, id = ?8, seen_day = ?9",
    [CACHE_PUT_LAYER] = "INSERT INTO layer(id, hashes) VALUES(?1, ?2)"
                        " ON CONFLICT(id) DO UPDATE SET hashes = ?2",
    [CACHE_OLD_ID] = "SELECT id FROM file WHERE share = ?1 AND path = ?2",
    [CACHE_DROP_LAYER] =
        "DELETE FROM layer WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM file WHERE file.id = ?1)",
    [CACHE_LAYER_ROW] = "SELECT row FROM layer WHERE id = ?1",
    [CACHE_STALE] = "SELECT row, share, path FROM file WHERE seen_day < ?1 LIMIT 1",
    [CACHE_FORGET] = "DELETE FROM file WHERE id = ?1",
    [CACHE_REMOVE] = "DELETE FROM file WHERE row = ?1 RETURNING id",
};

/* Sorts SQLite's result codes by what is to be done, and keeps the reason. */
static enum cache_result judge(struct cache_database *self, int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return CACHE_OK;
    default:
        break;
    }
    /* After a failed blob read the connection may know nothing of it: then the code has to do. */
    const char *reason = sqlite3_errcode(self->connection) == SQLITE_OK ? sqlite3_errstr(code)
                                                                        : sqlite3_errmsg(self->connection);
    snprintf(self->reason, sizeof self->reason, "%s", reason);
    bool is_damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
    return is_damaged ? CACHE_DAMAGED : CACHE_USELESS;
}

static enum cache_result damaged(struct cache_database *self, const char *reason)
{
    snprintf(self->reason, sizeof self->reason, "%s", reason);
    return CACHE_DAMAGED;
}

static enum cache_result execute(struct cache_database *self, const char *sql)
{
    return judge(self, sqlite3_exec(self->connection, sql, NULL, NULL, NULL));
}

/* The first column of the first row. */
static enum cache_result read_number(struct cache_database *self, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(self->connection, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    enum cache_result result = judge(self, code);
    sqlite3_finalize(statement);
    return code == SQLITE_DONE ? CACHE_NONE : result;
}

/* Reads all of the database, as it may have been written when the machine went down. */
static enum cache_result check(struct cache_database *self)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(self->connection, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    enum cache_result result = judge(self, code);
    if (result == CACHE_OK) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (!text || strcmp(text, "ok") != 0)
            result = damaged(self, text ? text : "it cannot be checked");
    }
    sqlite3_finalize(statement);
    return result;
}

/* Makes the tables of an empty database; tells what else may be there. */
static enum cache_result check_version(struct cache_database *self)
{
    int64_t version = 0, tables = 0, clean = 0;
    enum cache_result result = read_number(self, "PRAGMA user_version", &version);
    if (result == CACHE_OK)
        result = read_number(self, "SELECT count(*) FROM sqlite_master", &tables);
    if (result != CACHE_OK)
        return result;
    if (version > CACHE_VERSION) {
        snprintf(self->reason, sizeof self->reason, "it was made by a later version of zswarm");
        return CACHE_USELESS;
    }
    if (version == 0 && tables == 0) {
        result = execute(self, "BEGIN IMMEDIATE");
        if (result == CACHE_OK)
            result = execute(self, SCHEMA);
        return result == CACHE_OK ? execute(self, "COMMIT") : result;
    }
    if (version != CACHE_VERSION)
        return damaged(self, "it is no hash cache");
    result = read_number(self, "SELECT clean FROM state", &clean);
    if (result != CACHE_OK)
        return result == CACHE_NONE ? damaged(self, "it has no state") : result;
    return clean == 1 ? CACHE_OK : check(self);
}

static enum cache_result prepare(struct cache_database *self)
{
    for (size_t i = 0; i < CACHE_STATEMENTS_COUNT; i++) {
        int code = sqlite3_prepare_v3(self->connection, STATEMENTS[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &self->statements[i], NULL);
        if (code == SQLITE_ERROR) /* another table than ours behind our version number */
            return damaged(self, sqlite3_errmsg(self->connection));
        if (code != SQLITE_OK)
            return judge(self, code);
    }
    return CACHE_OK;
}

enum cache_result cache_database_open(struct cache_database *self, const char *path)
{
    *self = (struct cache_database){0};
    int code = sqlite3_open_v2(path, &self->connection,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    assert(self->connection);
    sqlite3_extended_result_codes(self->connection, 1);
    sqlite3_busy_timeout(self->connection, BUSY_TIMEOUT_MS);
    enum cache_result result = judge(self, code);
    /* NORMAL: a power cut may lose the last rows but leaves the database whole. */
    if (result == CACHE_OK)
        result = execute(self, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;");
    if (result == CACHE_OK)
        result = check_version(self);
    if (result == CACHE_OK)
        result = prepare(self);
    if (result == CACHE_OK)
        result = execute(self, "UPDATE state SET clean = 0");
    return result;
}

void cache_database_release(struct cache_database *self, bool is_clean)
{
    for (size_t i = 0; i < CACHE_STATEMENTS_COUNT; i++)
        sqlite3_finalize(self->statements[i]);
    if (self->connection && is_clean)
        execute(self, "UPDATE state SET clean = 1");
    sqlite3_close(self->connection);
    self->connection = NULL;
}

enum cache_result cache_database_begin(struct cache_database *self)
{
    return execute(self, "BEGIN IMMEDIATE");
}

enum cache_result cache_database_commit(struct cache_database *self)
{
    return execute(self, "COMMIT");
}

/* Statements */

static void bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    sqlite3_bind_blob64(statement, place, text, strlen(text), SQLITE_STATIC);
}

/* The first six values of FIND and PUT. SQLite's integers are signed: the bits are kept. */
static void bind_key(sqlite3_stmt *statement, const struct cache_key *key)
{
    bind_text(statement, 1, key->share);
    bind_text(statement, 2, key->path);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)key->stamp.inode);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)key->stamp.size);
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)key->stamp.mtime_ns);
    sqlite3_bind_int64(statement, 6, (sqlite3_int64)key->stamp.ctime_ns);
}

/* Steps once: OK with a row, NONE without one. */
static enum cache_result step_row(struct cache_database *self, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    return code == SQLITE_DONE ? CACHE_NONE : judge(self, code);
}

/* Runs a statement that gives no rows. */
static enum cache_result run(struct cache_database *self, sqlite3_stmt *statement)
{
    enum cache_result result = judge(self, sqlite3_step(statement));
    sqlite3_reset(statement);
    return result;
}

static bool column_bytes(sqlite3_stmt *statement, int column, void *ret_bytes, size_t size)
{
    const void *blob = sqlite3_column_blob(statement, column);
    if (!blob || (size_t)sqlite3_column_bytes(statement, column) != size)
        return false;
    memcpy(ret_bytes, blob, size);
    return true;
}

enum cache_result cache_database_find(struct cache_database *self, const struct cache_key *key,
                                      uint32_t today, struct hash *ret_root)
{
    sqlite3_stmt *find = self->statements[CACHE_FIND];
    bind_key(find, key);
    enum cache_result result = step_row(self, find);
    struct hash root;
    struct file_id id;
    int64_t row = 0;
    uint32_t seen_day = 0;
    if (result == CACHE_OK) {
        row = sqlite3_column_int64(find, 0);
        seen_day = (uint32_t)sqlite3_column_int64(find, 3);
        bool is_whole = column_bytes(find, 1, &root, sizeof root) && column_bytes(find, 2, &id, sizeof id);
        struct file_id expected = {{0}};
        if (is_whole)
            expected = file_id_of(key->stamp.size, &root);
        if (!is_whole || !file_id_equal(&id, &expected))
            result = CACHE_NONE;
    }
    sqlite3_reset(find);
    if (result == CACHE_OK && today != 0 && seen_day != today)
        result = cache_database_seen(self, row, today);
    if (result == CACHE_OK)
        *ret_root = root;
    return result;
}

static enum cache_result drop_layer(struct cache_database *self, const struct file_id *id)
{
    sqlite3_stmt *drop = self->statements[CACHE_DROP_LAYER];
    sqlite3_bind_blob(drop, 1, id, sizeof *id, SQLITE_STATIC);
    return run(self, drop);
}

enum cache_result cache_database_put(struct cache_database *self, const struct cache_key *key,
                                     const struct hash *root, const struct hash *layer, uint32_t layer_count,
                                     uint32_t today)
{
    struct file_id id = file_id_of(key->stamp.size, root), old_id;
    sqlite3_stmt *old = self->statements[CACHE_OLD_ID];
    bind_text(old, 1, key->share);
    bind_text(old, 2, key->path);
    enum cache_result result = step_row(self, old);
    bool has_old = result == CACHE_OK && column_bytes(old, 0, &old_id, sizeof old_id);
    sqlite3_reset(old);
    if (result != CACHE_OK && result != CACHE_NONE)
        return result;

    sqlite3_stmt *put = self->statements[CACHE_PUT];
    bind_key(put, key);
    sqlite3_bind_blob(put, 7, root, sizeof *root, SQLITE_STATIC);
    sqlite3_bind_blob(put, 8, &id, sizeof id, SQLITE_STATIC);
    sqlite3_bind_int64(put, 9, today);
    result = run(self, put);
    if (result == CACHE_OK && layer) {
        sqlite3_stmt *put_layer = self->statements[CACHE_PUT_LAYER];
        sqlite3_bind_blob(put_layer, 1, &id, sizeof id, SQLITE_STATIC);
        sqlite3_bind_blob64(put_layer, 2, layer, (sqlite3_uint64)layer_count * sizeof *layer, SQLITE_STATIC);
        result = run(self, put_layer);
    }
    if (result == CACHE_OK && has_old && !file_id_equal(&old_id, &id))
        result = drop_layer(self, &old_id);
    return result;
}

enum cache_result cache_database_layer(struct cache_database *self, const struct file_id *id,
                                       uint32_t layer_count, uint32_t first, uint32_t count,
                                       struct hash *ret_hashes)
{
    sqlite3_stmt *find = self->statements[CACHE_LAYER_ROW];
    sqlite3_bind_blob(find, 1, id, sizeof *id, SQLITE_STATIC);
    enum cache_result result = step_row(self, find);
    int64_t row = result == CACHE_OK ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    if (result != CACHE_OK)
        return result;
    sqlite3_blob *blob = NULL;
    int code = sqlite3_blob_open(self->connection, "main", "layer", "hashes", row, 0, &blob);
    if (code == SQLITE_OK && (uint64_t)sqlite3_blob_bytes(blob) != (uint64_t)layer_count * sizeof *ret_hashes)
        result = CACHE_NONE;
    else if (code == SQLITE_OK)
        code = sqlite3_blob_read(blob, ret_hashes, (int)(count * sizeof *ret_hashes),
                                 (int)(first * sizeof *ret_hashes));
    sqlite3_blob_close(blob);
    return code == SQLITE_OK ? result : judge(self, code);
}

enum cache_result cache_database_forget(struct cache_database *self, const struct file_id *id)
{
    sqlite3_stmt *forget = self->statements[CACHE_FORGET];
    sqlite3_bind_blob(forget, 1, id, sizeof *id, SQLITE_STATIC);
    enum cache_result result = run(self, forget);
    return result == CACHE_OK ? drop_layer(self, id) : result;
}

static char *column_copy(sqlite3_stmt *statement, int column)
{
    const void *blob = sqlite3_column_blob(statement, column);
    int size = sqlite3_column_bytes(statement, column);
    return text_copy((struct text){blob ? blob : "", blob ? (size_t)size : 0});
}

enum cache_result cache_database_stale(struct cache_database *self, uint32_t day, struct stale_row *ret_row)
{
    sqlite3_stmt *stale = self->statements[CACHE_STALE];
    sqlite3_bind_int64(stale, 1, day);
    enum cache_result result = step_row(self, stale);
    if (result == CACHE_OK)
        *ret_row =
            (struct stale_row){sqlite3_column_int64(stale, 0), column_copy(stale, 1), column_copy(stale, 2)};
    sqlite3_reset(stale);
    return result;
}

enum cache_result cache_database_remove(struct cache_database *self, int64_t row)
{
    sqlite3_stmt *remove = self->statements[CACHE_REMOVE];
    sqlite3_bind_int64(remove, 1, row);
    struct file_id id;
    enum cache_result result = step_row(self, remove);
    bool has_id = result == CACHE_OK && column_bytes(remove, 0, &id, sizeof id);
    sqlite3_reset(remove);
    return has_id ? drop_layer(self, &id) : result;
}

enum cache_result cache_database_seen(struct cache_database *self, int64_t row, uint32_t today)
{
    sqlite3_stmt *seen = self->statements[CACHE_SEEN];
    sqlite3_bind_int64(seen, 1, row);
    sqlite3_bind_int64(seen, 2, today);
    return run(self, seen);
}
