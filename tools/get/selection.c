/* SPDX-License-Identifier: MIT */
#include "tools/get/selection.h"

#include "messages/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What a folder entry may be called. */
#define COMPONENT_SIZE_MAX 255

struct patterns {
    struct matcher **items;
    size_t count;
};

struct selection {
    struct text text;
    struct matcher *glob; /* NULL for a folder */
    struct patterns includes, excludes;
};

static void patterns_add(struct patterns *self, struct text pattern)
{
    self->items = reallocarray(self->items, self->count + 1, sizeof(struct matcher *));
    assert(self->items);
    self->items[self->count] = matcher_new(MODE_GLOB, pattern, 0, 0);
    assert(self->items[self->count]);
    self->count++;
}

static void patterns_release(struct patterns *self)
{
    for (size_t i = 0; i < self->count; i++)
        matcher_destroy(&self->items[i]);
    free(self->items);
}

struct selection *selection_new(struct text text)
{
    struct selection *self = calloc(1, sizeof *self);
    assert(self && text.size > 0);
    self->text = text;
    if (text.bytes[text.size - 1] != '/')
        self->glob = matcher_new(MODE_GLOB, text, 0, 0);
    return self;
}

void selection_destroy(struct selection **self_p)
{
    struct selection *self = *self_p;
    if (!self)
        return;
    matcher_destroy(&self->glob);
    patterns_release(&self->includes);
    patterns_release(&self->excludes);
    free(self);
    *self_p = NULL;
}

void selection_include(struct selection *self, struct text pattern)
{
    patterns_add(&self->includes, pattern);
}

void selection_exclude(struct selection *self, struct text pattern)
{
    patterns_add(&self->excludes, pattern);
}

bool selection_is_glob(const struct selection *self)
{
    return self->glob;
}

struct text selection_prefix(const struct selection *self)
{
    return self->glob ? (struct text){"", 0} : self->text;
}

/* A name, and how it is matched. */
struct subject {
    struct match_subject match;
    char *folded;
};

static void subject_init(struct subject *self, struct text name)
{
    *self = (struct subject){.match = {.name = name}};
    self->folded = match_fold_name(name, &self->match.folded.size, &self->match.folded_base_offset);
    self->match.folded.bytes = self->folded;
}

static bool any_matches(const struct patterns *patterns, const struct subject *whole,
                        const struct subject *below)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (matcher_matches(patterns->items[i], &whole->match) ||
            matcher_matches(patterns->items[i], &below->match))
            return true;
    }
    return false;
}

static bool is_wanted(const struct selection *self, struct text name)
{
    struct text prefix = selection_prefix(self);
    if (!text_has_prefix(name, prefix))
        return false;
    if (!self->glob && self->includes.count == 0 && self->excludes.count == 0)
        return true; /* folding costs more than all the rest */
    struct subject whole, below;
    subject_init(&whole, name);
    subject_init(&below, (struct text){name.bytes + prefix.size, name.size - prefix.size});
    bool is_asked_for = !self->glob || matcher_matches(self->glob, &whole.match);
    bool is_included = self->includes.count == 0 || any_matches(&self->includes, &whole, &below);
    bool is_excluded = any_matches(&self->excludes, &whole, &below);
    free(whole.folded);
    free(below.folded);
    return is_asked_for && is_included && !is_excluded;
}

/* The last component of `t`, which is cut off with its slash; empty at the end. */
static struct text take_last(struct text *t)
{
    size_t begin = t->size;
    while (begin > 0 && t->bytes[begin - 1] != '/')
        begin--;
    struct text last = {t->bytes + begin, t->size - begin};
    t->size = begin > 0 ? begin - 1 : 0;
    return last;
}

/* Components that only the network chose: below the folder that was typed, or where the glob has no dot. */
static bool has_hidden_component(const struct selection *self, struct text name)
{
    struct text rest = name, typed = self->text;
    size_t typed_size = self->glob ? 0 : self->text.size;
    while (rest.size > typed_size) {
        struct text component = take_last(&rest);
        struct text pattern = self->glob ? take_last(&typed) : (struct text){"", 0};
        bool was_typed = pattern.size > 0 && pattern.bytes[0] == '.';
        if (component.size > 0 && component.bytes[0] == '.' && !was_typed)
            return true;
    }
    return false;
}

static bool has_long_component(struct text name)
{
    while (name.size > 0) {
        if (take_last(&name).size > COMPONENT_SIZE_MAX)
            return true;
    }
    return false;
}

enum selection_result selection_look(const struct selection *self, struct text name)
{
    if (!is_wanted(self, name))
        return SELECTION_UNWANTED;
    if (has_hidden_component(self, name))
        return SELECTION_HIDDEN;
    return has_long_component(name) ? SELECTION_LONG : SELECTION_WANTED;
}
