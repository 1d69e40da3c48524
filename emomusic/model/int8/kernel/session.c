/* Rows in the writing: their ids, their grammar, one step after the other. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "session.h"

/* ---- memory ---- */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static int stream_new(const em_model *m, em_stream *t) {
    const em_heads *h = &m->heads;
    size_t context = (size_t)h->context32;
    size_t keys = context * (size_t)h->k4 * 4, values = (size_t)h->d_blocks * EM_BLOCK * context;
    size_t one = keys + values + 2 * context * sizeof(float);
    size_t n = (size_t)m->shape.n_layers * (size_t)m->shape.n_kv_heads;
    t->memory_size = n * one;
    t->memory = em_allocate(t->memory_size);
    t->cache = calloc(n, sizeof *t->cache);
    t->ids = calloc((size_t)m->shape.context + 1, sizeof *t->ids);
    t->logits = calloc((size_t)m->shape.vocab_size, sizeof *t->logits);
    if (!t->memory || !t->cache || !t->ids || !t->logits) return EM_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        char *at = t->memory + i * one;
        t->cache[i].keys = (int8_t *)at;
        t->cache[i].values = (int8_t *)(at + keys);
        t->cache[i].key_scale = (float *)(at + keys + values);
        t->cache[i].value_scale = t->cache[i].key_scale + context;
    }
    return 0;
}

static void stream_free(em_stream *t) {
    em_release(t->memory, t->memory_size);
    free(t->cache);
    free(t->ids);
    free(t->logits);
}

/* Room for a step; called twice, first with no memory to count it. */
static size_t lay_out(em_session *s) {
    const em_shape *p = &s->model->shape;
    const em_heads *h = &s->model->heads;
    size_t at = 0, tokens = EM_MAX_TOKENS, context = (size_t)h->context32;
    size_t widest = (size_t)(p->dim > p->hidden ? p->dim : p->hidden);
    size_t qkv = (size_t)(p->n_heads + 2 * p->n_kv_heads) * (size_t)h->head_dim;
#define TAKE(what, type, n) \
    (what = (type)(s->memory ? s->memory + at : NULL), at += round_up((n), 64))
    TAKE(s->x, float *, tokens * (size_t)p->dim * sizeof(float));
    TAKE(s->qkv, float *, tokens * qkv * sizeof(float));
    TAKE(s->y, float *, tokens * (size_t)p->dim * sizeof(float));
    TAKE(s->hidden, float *, tokens * (size_t)p->hidden * sizeof(float));
    TAKE(s->logits, float *, tokens * (size_t)p->vocab_size * sizeof(float));
    s->acts.stride = (int)round_up(widest, 64);
    TAKE(s->acts.data, int8_t *, tokens * (size_t)s->acts.stride);
    TAKE(s->acts.scale, float *, tokens * sizeof(float));
    TAKE(s->acts.sum, int32_t *, tokens * sizeof(int32_t));
    for (int i = 0; i < s->n_threads; i++) {
        em_scratch *scratch = s->scratch + i;
        TAKE(scratch->scores, float *, (size_t)h->group * context * sizeof(float));
        TAKE(scratch->weight, int8_t *, EM_TILE * context);
        TAKE(scratch->query, int8_t *, EM_TILE * round_up((size_t)h->head_dim, 16));
    }
    TAKE(s->candidates, void *, em_draw_room(p->vocab_size));
    TAKE(s->mask, uint8_t *, (size_t)p->vocab_size);
    TAKE(s->leaning, float *, (size_t)p->vocab_size * sizeof(float));
    TAKE(s->kind_of, int16_t *, (size_t)p->vocab_size * sizeof(int16_t));
#undef TAKE
    return at;
}

static int set_grammar(em_session *s, const em_grammar *g) {
    if (g->vocab_size != s->model->shape.vocab_size || g->n_kinds < 1 ||
        g->n_kinds > EM_MAX_KINDS || g->n_states < 1)
        return EM_BAD_ARGUMENT;
    size_t kinds = (size_t)g->n_kinds, states = (size_t)g->n_states;
    int32_t *room = calloc(5 * kinds + states, sizeof *room);
    if (!room) return EM_NO_MEMORY;
    s->grammar_room = room;
    s->grammar = *g;
    s->grammar.first = memcpy(room, g->first, kinds * sizeof *room);
    s->grammar.count = memcpy(room + kinds, g->count, kinds * sizeof *room);
    s->grammar.then = memcpy(room + 2 * kinds, g->then, kinds * sizeof *room);
    s->grammar.resets = memcpy(room + 3 * kinds, g->resets, kinds * sizeof *room);
    s->grammar.since = memcpy(room + 4 * kinds, g->since, kinds * sizeof *room);
    s->grammar.allowed = memcpy(room + 5 * kinds, g->allowed, states * sizeof *room);
    for (int i = 0; i < g->vocab_size; i++) s->kind_of[i] = -1;
    for (int k = 0; k < g->n_kinds; k++) {
        if (g->first[k] < 0 || g->count[k] < 1 || g->first[k] > g->vocab_size - g->count[k] ||
            g->then[k] < 0 || g->then[k] >= g->n_states || g->since[k] < -1 ||
            g->since[k] >= g->n_kinds)
            return EM_BAD_ARGUMENT;
        for (int i = 0; i < g->count[k]; i++) s->kind_of[g->first[k] + i] = (int16_t)k;
    }
    return 0;
}

em_session *em_session_new(const em_model *model, const em_grammar *grammar, int n_slots,
                           int n_threads) {
    if (n_slots < 1 || n_threads < 1 || n_threads > EM_MAX_THREADS) return NULL;
    em_session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->model = model;
    s->n_threads = n_threads;
    s->between_trials = 1;
    s->memory_size = lay_out(s);
    s->memory = em_allocate(s->memory_size);
    s->slots = calloc((size_t)n_slots, sizeof *s->slots);
    s->pool = s->memory && s->slots ? em_pool_new(n_threads) : NULL;
    int status = s->pool ? 0 : EM_NO_MEMORY;
    if (!status) {
        lay_out(s);
        status = set_grammar(s, grammar);
    }
    for (; !status && s->n_slots < n_slots; s->n_slots++) {
        em_slot *slot = s->slots + s->n_slots;
        slot->uniforms = calloc((size_t)model->shape.context, sizeof *slot->uniforms);
        slot->bias = calloc(2 * (size_t)model->shape.vocab_size, sizeof *slot->bias);
        status = slot->uniforms && slot->bias ? stream_new(model, &slot->own) : EM_NO_MEMORY;
        /* Taken at once where many rows follow each other: else memory grows with the longest. */
        if (!status && n_slots > 1) memset(slot->own.memory, 0, slot->own.memory_size);
    }
    if (!status) return s;
    em_session_free(s);
    return NULL;
}

void em_session_free(em_session *s) {
    if (!s) return;
    em_pool_free(s->pool);
    for (int i = 0; s->slots && i < s->n_slots; i++) {
        em_slot *slot = s->slots + i;
        stream_free(&slot->own);
        stream_free(&slot->twin);
        free(slot->uniforms);
        free(slot->bias);
        free(slot->pairs);
        free(slot->weights);
        free(slot->heads);
        free(slot->head_start);
        free(slot->ends);
        free(slot->ends_at);
    }
    free(s->slots);
    free(s->grammar_room);
    em_release(s->memory, s->memory_size);
    free(s);
}

/* ---- one row ---- */

static void begin_segment(const em_grammar *g, em_slot *slot) {
    slot->state = 0;
    slot->n_free = 0;
    for (int k = 0; k < g->n_kinds; k++) slot->last[k] = slot->low[k] - 1;
}

/* Append a given or sampled id to a row and its twin; tells whether there was room. */
static int append(const em_session *s, em_slot *slot, int32_t id) {
    if (slot->own.n_ids == s->model->shape.context) return 0;
    slot->own.ids[slot->own.n_ids++] = id;
    if (slot->has_twin) slot->twin.ids[slot->twin.n_ids++] = id;
    return 1;
}

static uint32_t kinds_allowed(const em_grammar *g, const em_slot *slot) {
    uint32_t kinds = g->allowed[slot->state];
    kinds &= ~g->ends | slot->ends[slot->segment];
    if ((kinds & g->ends) && slot->n_free >= slot->max_free) kinds &= g->ends;
    return kinds;
}

static void set_mask(const em_session *s, const em_slot *slot) {
    const em_grammar *g = &s->grammar;
    uint32_t kinds = kinds_allowed(g, slot);
    memset(s->mask, 0, (size_t)g->vocab_size);
    for (int k = 0; k < g->n_kinds; k++) {
        if (!(kinds >> k & 1)) continue;
        int low = g->rises >> k & 1 ? slot->last[k] + 1 : slot->low[k];
        for (int id = low; id <= slot->high[k]; id++) s->mask[id] = 1;
    }
}

static void end_segment(const em_session *s, em_slot *slot, int32_t id) {
    slot->ends_at[slot->segment++] = slot->own.n_ids;
    slot->own.ids[slot->own.n_ids] = id; /* to be read, whether or not it is fed */
    if (slot->segment == slot->n_segments) {
        slot->status = EM_DONE;
        return;
    }
    if (slot->segment == slot->n_guided) slot->has_twin = 0;
    begin_segment(&s->grammar, slot);
    const int32_t *head = slot->heads + slot->head_start[slot->segment];
    int n = slot->head_start[slot->segment + 1] - slot->head_start[slot->segment];
    int stands_for = n > 0 && head[0] == id;
    int room = append(s, slot, id);
    for (int i = stands_for; room && i < n; i++) room = append(s, slot, head[i]);
    if (!room || slot->own.n_ids == s->model->shape.context)
        slot->status = EM_FULL;
    else if (slot->waits)
        slot->status = EM_WAITING;
}

static void push(const em_session *s, em_slot *slot, int32_t id) {
    const em_grammar *g = &s->grammar;
    int kind = s->kind_of[id];
    if (g->ends >> kind & 1) {
        end_segment(s, slot, id);
        return;
    }
    slot->n_free++;
    slot->state = g->then[kind];
    slot->last[kind] = id;
    for (int k = 0; k < g->n_kinds; k++)
        if (g->resets[kind] >> k & 1) slot->last[k] = slot->low[k] - 1;
    if (!append(s, slot, id) || slot->own.n_ids == s->model->shape.context) slot->status = EM_FULL;
}

/* Add what the segment leans to to the logits. */
static void lean(const em_session *s, const em_slot *slot, float *logits) {
    const em_grammar *g = &s->grammar;
    const float *counted = slot->bias + g->vocab_size;
    float off[EM_MAX_KINDS], *sum = s->leaning;
    for (int k = 0; k < g->n_kinds; k++) {
        int since = g->since[k];
        int has = since >= 0 && slot->last[since] >= slot->low[since];
        off[k] = has ? counted[slot->last[since]] : 0.0f;
    }
    for (int i = 0; i < g->vocab_size; i++) {
        int k = s->kind_of[i];
        sum[i] = k >= 0 && g->since[k] >= 0 ? slot->bias[i] + (counted[i] - off[k]) : slot->bias[i];
    }
    for (int i = 0; i < slot->n_pairs; i++) {
        int first = slot->pairs[2 * i], second = slot->pairs[2 * i + 1];
        int k = s->kind_of[first < 0 ? second : first];
        if (k < 0) continue;
        if (first < 0 ? slot->last[k] < slot->low[k] : slot->last[k] == first)
            sum[second] += slot->weights[i];
    }
    for (int i = 0; i < g->vocab_size; i++) logits[i] += sum[i];
}

static void sample(em_session *s, em_slot *slot) {
    float *logits = slot->own.logits;
    if (slot->has_twin)
        for (int i = 0; i < s->grammar.vocab_size; i++) {
            float free_of = slot->twin.logits[i];
            logits[i] = free_of + slot->guidance * (logits[i] - free_of);
        }
    slot->own.ready = slot->twin.ready = 0;
    set_mask(s, slot);
    if (slot->leans) lean(s, slot, logits);
    int id = em_draw(logits, s->mask, s->grammar.vocab_size, slot->temperature, slot->top_p,
                     slot->uniforms[slot->n_used++], s->candidates);
    if (id < 0)
        slot->status = EM_STUCK;
    else
        push(s, slot, id);
}

/* ---- steps ---- */

static void collect(em_session *s) {
    size_t n = (size_t)s->model->shape.vocab_size;
    for (int i = 0; i < s->n_wants; i++) {
        em_stream *t = s->tokens[s->wants[i]].stream;
        memcpy(t->logits, s->logits + (size_t)i * n, n * sizeof(float));
        t->ready = 1;
    }
    for (int i = 0; i < s->n_slots; i++) {
        em_slot *slot = s->slots + i;
        if (slot->status == EM_WRITING && slot->own.ready && (!slot->has_twin || slot->twin.ready))
            sample(s, slot);
    }
}

static void feed(em_session *s, em_stream *t) {
    while (t->n_fed < t->n_ids && s->n_tokens < EM_MAX_TOKENS) {
        s->tokens[s->n_tokens] = (em_token){t, t->ids[t->n_fed], t->n_fed};
        if (++t->n_fed == t->n_ids) s->wants[s->n_wants++] = s->n_tokens;
        s->n_tokens++;
    }
}

/* Sample after the step that was, and say what the next one feeds. */
static void prepare(em_session *s) {
    collect(s);
    s->n_tokens = s->n_wants = 0;
    int ended = 0;
    for (int i = 0; i < s->n_slots; i++)
        ended |= s->slots[i].status > EM_WRITING;
    s->stop = ended || s->steps_left-- <= 0;
    if (s->stop) return;
    for (int i = 0; i < s->n_slots; i++) {
        em_slot *slot = s->slots + (s->first_slot + i) % s->n_slots;
        if (slot->status != EM_WRITING) continue;
        feed(s, &slot->own);
        if (slot->has_twin) feed(s, &slot->twin);
    }
    s->first_slot = (s->first_slot + 1) % s->n_slots; /* where there is no room for all */
    s->stop = s->n_tokens == 0;
    s->n_computed += s->n_tokens;
}

static void prepare_score(em_session *s) {
    size_t n = (size_t)s->model->shape.vocab_size;
    if (s->n_wants)
        memcpy(s->score_logits + (size_t)(s->at_score - s->n_wants) * n, s->logits,
               (size_t)s->n_wants * n * sizeof(float));
    s->n_tokens = s->n_wants = 0;
    while (s->at_score < s->n_score && s->n_tokens < EM_MAX_TOKENS) {
        s->wants[s->n_wants++] = s->n_tokens;
        s->tokens[s->n_tokens++] =
            (em_token){&s->slots[0].own, s->score_ids[s->at_score], s->at_score};
        s->at_score++;
    }
    s->stop = s->n_tokens == 0;
}

static void call_prepare(void *given) {
    em_session *s = given;
    s->prepare(s);
}

static void walk(void *given, int thread) {
    em_session *s = given;
    for (;;) {
        em_pool_meet(s->pool, call_prepare, s);
        if (s->stop) return;
        em_forward(s, thread);
    }
}

/* ---- one thread or all of them ---- */

#define TRIAL_STEPS 4
#define MAX_BETWEEN 256

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_with(em_session *s, int n_threads, int steps) {
    double begin = now();
    long before = s->n_computed;
    s->n_active = n_threads;
    s->steps_left = steps;
    s->n_wants = 0;
    em_pool_go(s->pool, n_threads, walk, s);
    if (s->n_computed > before)
        s->token_time[n_threads > 1] = (now() - begin) / (double)(s->n_computed - before);
}

static int all_are_faster(const em_session *s) { return s->token_time[1] < s->token_time[0]; }

/* Threads that walk together wait for the slowest, and where another program has taken a core,
   all of them are slower than one alone: so from time to time it is tried what is faster. */
static void run_as_is_faster(em_session *s, int steps) {
    if (s->until_trial-- <= 0 && steps > 2 * TRIAL_STEPS) {
        int alone = all_are_faster(s) || s->token_time[0] == 0.0;
        if (s->token_time[1] == 0.0) {
            run_with(s, s->n_threads, TRIAL_STEPS);
            steps -= TRIAL_STEPS;
        }
        int was = all_are_faster(s);
        run_with(s, alone ? 1 : s->n_threads, TRIAL_STEPS);
        steps -= TRIAL_STEPS;
        s->between_trials = was == all_are_faster(s) ? 2 * s->between_trials : 4;
        if (s->between_trials > MAX_BETWEEN) s->between_trials = MAX_BETWEEN;
        s->until_trial = s->between_trials;
    }
    run_with(s, all_are_faster(s) ? s->n_threads : 1, steps);
}

/* ---- what Python calls ---- */

static int is_id(const em_session *s, const int32_t *ids, int n) {
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->model->shape.vocab_size) return 0;
    return 1;
}

static int row_fits(const em_session *s, const em_row *row) {
    const em_grammar *g = &s->grammar;
    if (row->n_opening < 1 || row->n_opening >= s->model->shape.context || row->n_segments < 1 ||
        row->n_hidden < -1 || row->n_hidden >= row->n_opening || !(row->temperature > 0) ||
        !(row->top_p > 0) || !is_id(s, row->opening, row->n_opening) ||
        !is_id(s, row->heads, row->head_start[row->n_segments]))
        return 0;
    for (int k = 0; k < g->n_kinds; k++)
        if (row->low[k] < g->first[k] || row->high[k] >= g->first[k] + g->count[k]) return 0;
    return 1;
}

static int make_room(em_slot *slot, int n_segments, int n_heads) {
    if (n_segments > slot->n_room) {
        size_t n = (size_t)n_segments;
        free(slot->head_start);
        free(slot->ends);
        free(slot->ends_at);
        slot->head_start = calloc(n + 1, sizeof *slot->head_start);
        slot->ends = calloc(n, sizeof *slot->ends);
        slot->ends_at = calloc(n, sizeof *slot->ends_at);
        slot->n_room = slot->head_start && slot->ends && slot->ends_at ? n_segments : 0;
    }
    if (n_heads >= slot->n_head_room) { /* there is always room for one */
        free(slot->heads);
        slot->heads = calloc((size_t)n_heads + 1, sizeof *slot->heads);
        slot->n_head_room = slot->heads ? n_heads + 1 : 0;
    }
    return slot->n_room >= n_segments && slot->n_head_room > n_heads ? 0 : EM_NO_MEMORY;
}

static void open_stream(em_stream *t, const em_row *row, int n_hidden) {
    t->n_ids = t->n_fed = t->ready = 0;
    t->ids[t->n_ids++] = row->opening[0];
    for (int i = 1 + n_hidden; i < row->n_opening; i++) t->ids[t->n_ids++] = row->opening[i];
}

static int set_lean(const em_session *s, em_slot *slot, const em_lean *lean) {
    slot->leans = lean != NULL;
    if (!lean) return 0;
    size_t n = (size_t)lean->n_pairs;
    if (lean->n_pairs < 0) return EM_BAD_ARGUMENT;
    for (size_t i = 0; i < 2 * n; i++)
        if (lean->pairs[i] < (i % 2 ? 0 : -1) || lean->pairs[i] >= s->grammar.vocab_size)
            return EM_BAD_ARGUMENT;
    if (lean->n_pairs > slot->n_pair_room) {
        free(slot->pairs);
        free(slot->weights);
        slot->pairs = calloc(2 * n, sizeof *slot->pairs);
        slot->weights = calloc(n, sizeof *slot->weights);
        slot->n_pair_room = slot->pairs && slot->weights ? lean->n_pairs : 0;
        if (!slot->n_pair_room) return EM_NO_MEMORY;
    }
    memcpy(slot->bias, lean->bias, 2 * (size_t)s->grammar.vocab_size * sizeof *slot->bias);
    if (n) {
        memcpy(slot->pairs, lean->pairs, 2 * n * sizeof *slot->pairs);
        memcpy(slot->weights, lean->weights, n * sizeof *slot->weights);
    }
    slot->n_pairs = lean->n_pairs;
    return 0;
}

int em_put(em_session *s, int at, const em_row *row) {
    if (at < 0 || at >= s->n_slots || s->slots[at].status == EM_WRITING || !row_fits(s, row))
        return EM_BAD_ARGUMENT;
    em_slot *slot = s->slots + at;
    size_t kinds = (size_t)s->grammar.n_kinds, segments = (size_t)row->n_segments;
    int n_heads = row->head_start[row->n_segments];
    slot->status = EM_EMPTY;
    slot->has_twin = row->n_hidden >= 0;
    if (make_room(slot, row->n_segments, n_heads)) return EM_NO_MEMORY;
    int status = set_lean(s, slot, row->lean);
    if (status) return status;
    if (slot->has_twin && !slot->twin.memory && stream_new(s->model, &slot->twin)) {
        stream_free(&slot->twin);
        memset(&slot->twin, 0, sizeof slot->twin);
        return EM_NO_MEMORY;
    }
    memcpy(slot->heads, row->heads, (size_t)n_heads * sizeof *row->heads);
    memcpy(slot->head_start, row->head_start, (segments + 1) * sizeof *row->head_start);
    memcpy(slot->ends, row->ends, segments * sizeof *row->ends);
    memcpy(slot->low, row->low, kinds * sizeof *row->low);
    memcpy(slot->high, row->high, kinds * sizeof *row->high);
    memcpy(slot->uniforms, row->uniforms,
           (size_t)s->model->shape.context * sizeof *row->uniforms);
    slot->n_segments = row->n_segments;
    slot->segment = slot->n_used = 0;
    slot->max_free = row->max_free;
    slot->temperature = row->temperature;
    slot->top_p = row->top_p;
    slot->guidance = row->guidance;
    slot->n_guided = row->n_guided;
    slot->waits = row->waits;
    open_stream(&slot->own, row, 0);
    if (slot->has_twin) open_stream(&slot->twin, row, row->n_hidden);
    begin_segment(&s->grammar, slot);
    slot->status = EM_WRITING;
    return 0;
}

int em_run(em_session *s, int max_steps) {
    s->prepare = prepare;
    if (s->n_threads == 1)
        run_with(s, 1, max_steps);
    else
        run_as_is_faster(s, max_steps);
    int writing = 0;
    for (int i = 0; i < s->n_slots; i++) writing += s->slots[i].status == EM_WRITING;
    return writing;
}

int em_get(const em_session *s, int at, em_state *state) {
    if (at < 0 || at >= s->n_slots) return EM_BAD_ARGUMENT;
    const em_slot *slot = s->slots + at;
    *state = (em_state){slot->status,  slot->own.n_ids, slot->segment,
                        slot->n_used,  slot->own.ids,   slot->ends_at};
    return 0;
}

int em_steer(em_session *s, int at, const em_lean *lean) {
    if (at < 0 || at >= s->n_slots || s->slots[at].status != EM_WAITING) return EM_BAD_ARGUMENT;
    int status = set_lean(s, s->slots + at, lean);
    if (!status) s->slots[at].status = EM_WRITING;
    return status;
}

int em_clear(em_session *s, int at) {
    if (at < 0 || at >= s->n_slots) return EM_BAD_ARGUMENT;
    s->slots[at].status = EM_EMPTY;
    return 0;
}

int em_score(em_session *s, const int32_t *ids, int n_ids, float *logits) {
    if (n_ids < 1 || n_ids > s->model->shape.context || s->slots[0].status != EM_EMPTY ||
        !is_id(s, ids, n_ids))
        return EM_BAD_ARGUMENT;
    s->score_ids = ids;
    s->n_score = n_ids;
    s->score_logits = logits;
    s->at_score = 0;
    s->prepare = prepare_score;
    run_with(s, s->n_threads, 0);
    return 0;
}
