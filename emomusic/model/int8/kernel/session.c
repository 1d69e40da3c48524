/* Places for rows: their memory, and what Python calls. */

#include <stdlib.h>
#include <string.h>

#include "session.h"

/* ---- memory ---- */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static int stream_new(const em_model *m, em_stream *t) {
    const em_heads *h = &m->heads;
    size_t context = (size_t)h->context32;
    size_t keys = context * (size_t)h->k4 * 4, values = (size_t)h->d_blocks * EM_BLOCK * context;
    size_t one = keys + values + 3 * context * sizeof(float);
    size_t n = (size_t)m->shape.n_layers * (size_t)m->shape.n_kv_heads;
    t->memory_size = n * one;
    t->memory = em_allocate(t->memory_size);
    t->cache = calloc(n, sizeof *t->cache);
    t->state = calloc((size_t)m->shape.dim, sizeof *t->state);
    if (!t->memory || !t->cache || !t->state) return EM_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        char *at = t->memory + i * one;
        t->cache[i].keys = (int8_t *)at;
        t->cache[i].values = (int8_t *)(at + keys);
        t->cache[i].key_scale = (float *)(at + keys + values);
        t->cache[i].value_scale = t->cache[i].key_scale + context;
        t->cache[i].key_shift = (int32_t *)(t->cache[i].value_scale + context);
    }
    return 0;
}

static void stream_free(em_stream *t) {
    em_release(t->memory, t->memory_size);
    free(t->cache);
    free(t->state);
    memset(t, 0, sizeof *t);
}

static int place_new(const em_model *m, em_place *p) {
    size_t n = 4 * (size_t)m->shape.context;
    p->uniforms = calloc(n, sizeof *p->uniforms);
    p->ids = calloc(n, sizeof *p->ids);
    p->lean.bias = calloc(2 * ((size_t)m->shape.vocab_size + 1), sizeof *p->lean.bias);
    if (!p->uniforms || !p->ids || !p->lean.bias) return EM_NO_MEMORY;
    return stream_new(m, &p->own);
}

static void place_free(em_place *p) {
    stream_free(&p->own);
    stream_free(&p->twin);
    free(p->room);
    free(p->uniforms);
    free(p->ids);
    free(p->lean.bias);
    free(p->lean.pairs);
}

/* Room for a step; called twice, first with no memory to count it. */
static size_t lay_out(em_session *s) {
    const em_shape *p = &s->model->shape;
    const em_heads *h = &s->model->heads;
    size_t at = 0, tokens = EM_MAX_TOKENS, context = (size_t)h->context32;
    size_t dim = (size_t)p->dim, choices = (size_t)s->model->max_choices;
    size_t hidden = (size_t)(p->hidden > p->inner ? p->hidden : p->inner);
    size_t qkv = (size_t)(p->n_heads + 2 * p->n_kv_heads) * (size_t)h->head_dim;
#define TAKE(what, type, n) \
    (what = (type)(s->memory ? s->memory + at : NULL), at += round_up((n), 64))
    TAKE(s->x, float *, tokens * dim * sizeof(float));
    TAKE(s->states, float *, tokens * dim * sizeof(float));
    TAKE(s->qkv, float *, tokens * qkv * sizeof(float));
    TAKE(s->y, float *, tokens * dim * sizeof(float));
    TAKE(s->hidden, float *, tokens * hidden * sizeof(float));
    TAKE(s->logits, float *, tokens * choices * sizeof(float));
    s->acts.stride = (int)round_up(dim > hidden ? dim : hidden, 64);
    TAKE(s->acts.data, uint8_t *, tokens * (size_t)s->acts.stride);
    TAKE(s->acts.scale, float *, tokens * sizeof(float));
    for (int i = 0; i < s->n_threads; i++) {
        em_scratch *scratch = s->scratch + i;
        TAKE(scratch->scores, float *, (size_t)h->group * context * sizeof(float));
        TAKE(scratch->weight, uint8_t *, EM_TILE * context);
        TAKE(scratch->query, uint8_t *, EM_TILE * round_up((size_t)h->head_dim, 16));
    }
    TAKE(s->candidates, void *, em_draw_room((int)choices));
    TAKE(s->mask, uint8_t *, choices);
    TAKE(s->leaning, float *, choices * sizeof(float));
#undef TAKE
    return at;
}

em_session *em_session_new(const em_model *model, int n_places, int n_threads) {
    if (n_places < 1 || n_threads < 1 || n_threads > EM_MAX_THREADS) return NULL;
    em_session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->model = model;
    s->n_threads = n_threads;
    s->between_trials = 1;
    s->memory_size = lay_out(s);
    s->memory = em_allocate(s->memory_size);
    s->places = calloc((size_t)n_places, sizeof *s->places);
    s->pool = s->memory && s->places ? em_pool_new(n_threads) : NULL;
    int status = s->pool ? 0 : EM_NO_MEMORY;
    if (!status) lay_out(s);
    for (; !status && s->n_places < n_places; s->n_places++) {
        em_stream *own = &s->places[s->n_places].own;
        status = place_new(model, s->places + s->n_places);
        /* Taken at once where many rows follow each other: else memory grows with the longest. */
        if (!status && n_places > 1) memset(own->memory, 0, own->memory_size);
    }
    if (!status) return s;
    em_session_free(s);
    return NULL;
}

void em_session_free(em_session *s) {
    if (!s) return;
    em_pool_free(s->pool);
    for (int i = 0; s->places && i < s->n_places; i++) place_free(s->places + i);
    free(s->places);
    em_release(s->memory, s->memory_size);
    free(s);
}

/* ---- a row ---- */

/* Whether numbers begin at nought and rise, by at least `step` each. */
static int rises(const int32_t *at, int n, int step) {
    for (int i = 0; i < n; i++)
        if (at[i + 1] < at[i] + step) return 0;
    return at[0] == 0;
}

static int in_range(const em_shape *s, int slot, int32_t id) {
    return id >= s->first[slot] && id - s->first[slot] < s->count[slot];
}

static int notes_fit(const em_shape *s, const int32_t *notes, int n) {
    for (int i = 0; i < n; i++, notes += 4)
        for (int slot = 0; slot < 4; slot++)
            if (!in_range(s, slot, notes[slot]) && (slot < EM_VELOCITY || notes[slot] != EM_NONE))
                return 0;
    return 1;
}

static int events_fit(const em_shape *s, const int32_t *rows, const int32_t *event_at, int n) {
    if (!rises(event_at, n, 1)) return 0;
    for (int i = 0; i < event_at[n]; i++)
        if (rows[i] < 0 || rows[i] > s->vocab_size) return 0;
    return 1;
}

static int row_fits(const em_shape *s, const em_row *r) {
    if (r->n_bars < 1 || !rises(r->bar_at, r->n_bars, 1) || !rises(r->note_at, r->n_bars, 0) ||
        r->bar_at[1] > s->context || r->reach < 0)
        return 0;
    for (int i = 0; i < EM_SLOTS; i++)
        if (!(r->temperature[i] > 0) || !(r->top_p[i] > 0)) return 0;
    for (int i = 0; i < 2; i++)
        if (!in_range(s, EM_ADVANCE, r->positions[i]) || !in_range(s, EM_PITCH, r->pitches[i]))
            return 0;
    return events_fit(s, r->rows, r->event_at, r->bar_at[r->n_bars]) &&
           notes_fit(s, r->notes, r->note_at[r->n_bars]);
}

static const int32_t *keep(int32_t **room, const int32_t *from, int n) {
    int32_t *to = *room;
    *room += n;
    return n ? memcpy(to, from, (size_t)n * sizeof *to) : to;
}

/* Copy a row with its arrays. */
static int copy_row(const em_model *m, em_place *p, const em_row *r) {
    int n_events = r->bar_at[r->n_bars], n_bars = r->n_bars, n_notes = r->note_at[n_bars];
    size_t n = (size_t)r->event_at[n_events] + (size_t)n_events + 4 * (size_t)n_notes +
               4 * (size_t)n_bars + 3;
    if (n > p->n_room) {
        free(p->room);
        p->room = calloc(n, sizeof *p->room);
        p->n_room = p->room ? n : 0;
        if (!p->room) return EM_NO_MEMORY;
    }
    int32_t *room = p->room;
    p->row = *r;
    p->row.rows = keep(&room, r->rows, r->event_at[n_events]);
    p->row.event_at = keep(&room, r->event_at, n_events + 1);
    p->row.bar_at = keep(&room, r->bar_at, n_bars + 1);
    p->row.flags = keep(&room, r->flags, n_bars);
    p->row.notes = keep(&room, r->notes, 4 * n_notes);
    p->row.note_at = keep(&room, r->note_at, n_bars + 1);
    p->ends_at = room;
    memcpy(p->uniforms, r->uniforms, 4 * (size_t)m->shape.context * sizeof *p->uniforms);
    return 0;
}

static int set_lean(const em_model *m, em_leaning *l, const em_lean *lean) {
    l->is_set = lean != NULL;
    if (!lean) return 0;
    if (lean->n_pairs < 0) return EM_BAD_ARGUMENT;
    for (int i = 0; i < 2 * lean->n_pairs; i++)
        if (lean->pairs[i] < (i % 2 ? 0 : -1) || lean->pairs[i] > m->shape.vocab_size)
            return EM_BAD_ARGUMENT;
    if (lean->n_pairs > l->n_room) {
        free(l->pairs);
        l->pairs = calloc((size_t)lean->n_pairs, sizeof *l->pairs);
        l->n_room = l->pairs ? lean->n_pairs : 0;
        if (!l->pairs) return EM_NO_MEMORY;
    }
    memcpy(l->bias, lean->bias, 2 * ((size_t)m->shape.vocab_size + 1) * sizeof *l->bias);
    for (int i = 0; i < lean->n_pairs; i++)
        l->pairs[i] = em_pair_of(m, lean->pairs + 2 * i, lean->weights[i]);
    l->n_pairs = lean->n_pairs;
    return 0;
}

/* ---- what Python calls ---- */

int em_put(em_session *s, int at, const em_row *row) {
    const em_model *m = s->model;
    if (at < 0 || at >= s->n_places || s->places[at].status == EM_WRITING ||
        !row_fits(&m->shape, row))
        return EM_BAD_ARGUMENT;
    em_place *p = s->places + at;
    p->status = EM_EMPTY;
    p->has_twin = row->n_guided > 0;
    int status = set_lean(m, &p->lean, row->lean);
    if (!status) status = copy_row(m, p, row);
    if (!status && p->has_twin && !p->twin.memory) {
        status = stream_new(m, &p->twin);
        if (status) stream_free(&p->twin);
    }
    if (status) return status;
    p->bar = p->n_used = p->n_ids = p->n_fed = p->n_written = p->next = 0;
    p->end = row->bar_at[1];
    em_begin_bar(p);
    p->status = EM_WRITING;
    return 0;
}

int em_run(em_session *s, int max_steps) {
    em_write(s, max_steps);
    int writing = 0;
    for (int i = 0; i < s->n_places; i++) writing += s->places[i].status == EM_WRITING;
    return writing;
}

int em_get(const em_session *s, int at, em_state *state) {
    if (at < 0 || at >= s->n_places) return EM_BAD_ARGUMENT;
    const em_place *p = s->places + at;
    *state = (em_state){p->status, p->bar, p->n_used, p->ids, p->ends_at};
    return 0;
}

int em_steer(em_session *s, int at, const em_lean *lean) {
    if (at < 0 || at >= s->n_places || s->places[at].status != EM_WAITING) return EM_BAD_ARGUMENT;
    int status = set_lean(s->model, &s->places[at].lean, lean);
    if (!status) s->places[at].status = EM_WRITING;
    return status;
}

int em_clear(em_session *s, int at) {
    if (at < 0 || at >= s->n_places) return EM_BAD_ARGUMENT;
    s->places[at].status = EM_EMPTY;
    return 0;
}

/* Whether the slots that a wanted one is told of are chosen, too, and all are choices. */
static int chosen_fit(const em_model *m, const int32_t *chosen, int n_events) {
    for (int i = 0; i < n_events; i++, chosen += EM_SLOTS)
        for (int slot = 0; slot < EM_SLOTS; slot++) {
            if (chosen[slot] < EM_NONE || chosen[slot] >= m->writers[slot].n_choices) return 0;
            int is_first = slot == EM_ADVANCE || slot == EM_CHORD_A;
            if (!is_first && chosen[slot] != EM_NONE && chosen[slot - 1] == EM_NONE) return 0;
        }
    return 1;
}

int em_score(em_session *s, const int32_t *rows, const int32_t *event_at, const int32_t *chosen,
             int n_events, float *logits) {
    if (n_events < 1 || n_events > s->model->shape.context || s->places[0].status != EM_EMPTY ||
        !events_fit(&s->model->shape, rows, event_at, n_events) ||
        !chosen_fit(s->model, chosen, n_events))
        return EM_BAD_ARGUMENT;
    s->score_rows = rows;
    s->score_event_at = event_at;
    s->score_chosen = chosen;
    s->n_score = n_events;
    s->score_logits = logits;
    em_score_events(s);
    return 0;
}
