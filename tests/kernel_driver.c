/* Drives the int8 engine through shapes, batches and settings of all kinds; built with sanitizers
   by test_model_int8_kernel.py. Prints a line of numbers that must be the same for every
   instruction set, number of places and number of threads.

   Usage: kernel_driver INSTRUCTIONS PLACES THREADS ROWS */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

static unsigned long long state;

static double uniform(void) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(state >> 11) / 9007199254740992.0;
}

static int up_to(int low, int high) { return low + (int)(uniform() * (high - low + 1)); }

static float *floats(size_t n, float scale) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = scale * (float)(2.0 * uniform() - 1.0);
    return x;
}

/* Ids: bos, bar, eos, one that is nothing, then those of each slot. */
static em_shape make_shape(const int32_t *sizes, const int32_t *counts) {
    em_shape s = {4, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6],
                  0, 1, 2, {0}, {0}};
    for (int i = 0; i < EM_SLOTS; i++) {
        s.first[i] = s.vocab_size;
        s.vocab_size += s.count[i] = counts[i];
    }
    return s;
}

static void set(em_model *m, int which, int at, size_t n, float scale) {
    float *x = floats(n, scale);
    if (em_model_set(m, which, at, x, EM_FLOAT32)) abort();
    free(x);
}

static em_model *make_model(const em_shape *s, const char *isa) {
    size_t head = (size_t)(s->dim / s->n_heads), half = (size_t)s->context * (head / 2);
    size_t dim = (size_t)s->dim, hidden = (size_t)s->hidden, inner = (size_t)s->inner;
    size_t width = (size_t)(s->n_heads + 2 * s->n_kv_heads) * head;
    float *cosine = floats(half, 1.0f), *sine = floats(half, 1.0f);
    em_model *m = em_model_new(s, cosine, sine, isa);
    free(cosine);
    free(sine);
    if (!m) return NULL;
    set(m, EM_EMBEDDING, 0, (size_t)(s->vocab_size + 1) * dim, 0.5f);
    set(m, EM_NORM, 0, dim, 2.0f);
    for (int i = 0; i < s->n_layers; i++) {
        set(m, EM_ATTENTION_NORM, i, dim, 2.0f);
        set(m, EM_GAIN, i, (size_t)s->n_heads, 8.0f);
        set(m, EM_QKV, i, width * dim, 0.5f);
        set(m, EM_OUT, i, dim * dim, 0.5f);
        set(m, EM_HIDDEN_NORM, i, dim, 2.0f);
        set(m, EM_GATE_UP, i, 2 * hidden * dim, 0.5f);
        set(m, EM_DOWN, i, dim * hidden, 0.5f);
    }
    for (int i = 0; i < EM_SLOTS; i++) {
        size_t n = (size_t)s->count[i] + (i == EM_ADVANCE ? 3 : 0);
        set(m, EM_SLOT_NORM, i, dim, 2.0f);
        set(m, EM_SLOT_GATE_UP, i, 2 * inner * dim, 0.5f);
        set(m, EM_SLOT_DOWN, i, dim * inner, 0.5f);
        set(m, EM_HEAD_NORM, i, dim, 2.0f);
        set(m, EM_HEAD, i, n * dim, 0.5f);
        set(m, EM_TOLD, i, i == EM_DURATION || i == EM_CHORD_B ? 0 : n * dim, 0.5f);
    }
    return m;
}

/* What a row's bar leans to: nothing, or numbers that follow from both. */
static const em_lean *make_lean(em_lean *lean, int n_ids, int number, int bar) {
    memset(lean, 0, sizeof *lean);
    if ((number + bar) % 2) return NULL;
    int n = lean->n_pairs = (number * 3 + bar) % 9;
    float *bias = malloc(2 * (size_t)n_ids * sizeof *bias);
    float *weights = malloc((size_t)(n + 1) * sizeof *weights);
    int32_t *pairs = malloc((size_t)(2 * n + 1) * sizeof *pairs);
    for (int i = 0; i < 2 * n_ids; i++) bias[i] = (float)((i * 13 + number * 7 + bar) % 11) / 4.0f;
    for (int i = 0; i < n; i++) {
        weights[i] = (float)(i + 1) / 2.0f;
        pairs[2 * i] = (i * 5 + number) % (n_ids + 1) - 1;
        pairs[2 * i + 1] = (i * 3 + bar) % n_ids;
    }
    lean->bias = bias, lean->weights = weights, lean->pairs = pairs;
    return lean;
}

static void free_lean(em_lean *lean) {
    free((void *)lean->bias);
    free((void *)lean->weights);
    free((void *)lean->pairs);
}

enum { MAX_BARS = 4, MAX_EVENTS = 256, MAX_GIVEN = 3 };

/* Events, bars and given notes of a row. */
typedef struct {
    int32_t rows[4 * MAX_EVENTS], event_at[MAX_EVENTS + 1], bar_at[MAX_BARS + 1];
    int32_t flags[MAX_BARS], notes[4 * MAX_GIVEN * MAX_BARS], note_at[MAX_BARS + 1];
} given;

static void draw_given(given *g, const em_shape *s, int n_bars) {
    int n_events = 0, n_rows = 0, n_notes = 0;
    memset(g, 0, sizeof *g);
    for (int bar = 0; bar < n_bars; bar++) {
        int last = bar ? 0 : s->context / 2 - 1;
        for (int i = up_to(0, last > 100 ? 100 : last); i >= 0; i--) {
            for (int j = up_to(1, 4); j; j--) g->rows[n_rows++] = up_to(0, s->vocab_size);
            g->event_at[++n_events] = n_rows;
        }
        g->bar_at[bar + 1] = n_events;
        g->flags[bar] = up_to(1, 3) | (up_to(0, 1) ? EM_WRITES_CHORDS : 0);
        for (int i = 0, n = up_to(0, MAX_GIVEN); i < n && i < s->count[EM_ADVANCE]; i++) {
            int32_t *note = g->notes + 4 * n_notes++; /* one at each of the first positions */
            for (int slot = 0; slot < 4; slot++)
                note[slot] = s->first[slot] + (slot ? up_to(0, s->count[slot] - 1) : i);
            if (up_to(0, 1)) note[EM_VELOCITY + up_to(0, 1)] = -1;
        }
        g->note_at[bar + 1] = n_notes;
    }
}

static void write_row(em_session *s, int place, const em_shape *p, int number) {
    unsigned long long kept = state;
    state = 1000 + (unsigned long long)number;
    int n_bars = up_to(1, MAX_BARS);
    given *g = malloc(sizeof *g);
    draw_given(g, p, n_bars);
    double *u = malloc(4 * (size_t)p->context * sizeof *u);
    for (int i = 0; i < 4 * p->context; i++) u[i] = uniform();
    em_row row = {g->rows, g->event_at, g->bar_at, g->flags, g->notes, g->note_at, n_bars,
                  up_to(0, 20), number % 2 ? 5 : 0, {0}, {0}, u, {0}, {0}, 2.0f,
                  number % 3 ? 0 : up_to(1, 5), NULL, number % 3 == 1};
    for (int i = 0; i < EM_SLOTS; i++) {
        row.temperature[i] = (number + i) % 5 ? 1.0 : 1e-320;
        row.top_p[i] = (number + i) % 4 ? 0.9 : 1.0;
    }
    for (int i = 0; i < 2; i++) {
        row.positions[i] = p->first[EM_ADVANCE] + i * (p->count[EM_ADVANCE] - 1);
        row.pitches[i] = p->first[EM_PITCH] + i * (p->count[EM_PITCH] - 1);
    }
    em_lean lean;
    row.lean = make_lean(&lean, p->vocab_size + 1, number, 0);
    if (em_put(s, place, &row)) abort();
    free_lean(&lean);
    free(u);
    free(g);
    state = kept;
}

static unsigned long long collect(em_session *s, int place) {
    em_state got;
    em_get(s, place, &got);
    unsigned long long sum = (unsigned long long)got.status + 31ULL * (unsigned)got.n_used;
    int n_ids = got.n_bars ? got.ends_at[got.n_bars - 1] : 0;
    for (int i = 0; i < n_ids; i++) sum = sum * 1000003ULL + (unsigned)got.ids[i];
    for (int i = 0; i < got.n_bars; i++) sum = sum * 1000003ULL + (unsigned)got.ends_at[i];
    em_clear(s, place);
    return sum;
}

static unsigned long long write_all(em_session *s, const em_shape *p, int n_places, int n_rows) {
    unsigned long long sums[64] = {0}, total = 0;
    int row_of[64], next = 0, left = n_rows;
    for (int j = 0; j < n_places; j++) row_of[j] = -1;
    while (left) {
        for (int j = 0; j < n_places; j++)
            if (row_of[j] < 0 && next < n_rows) write_row(s, j, p, row_of[j] = next++);
        em_run(s, 5);
        for (int j = 0; j < n_places; j++) {
            em_state got;
            em_get(s, j, &got);
            if (row_of[j] >= 0 && got.status == EM_WAITING) {
                em_lean lean;
                if (em_steer(s, j, make_lean(&lean, p->vocab_size + 1, row_of[j], got.n_bars)))
                    abort();
                free_lean(&lean);
                continue;
            }
            if (row_of[j] < 0 || got.status == EM_WRITING) continue;
            sums[row_of[j]] = collect(s, j);
            row_of[j] = -1;
            left--;
        }
    }
    for (int j = 0; j < n_rows; j++) total = total * 31 + sums[j];
    return total;
}

static unsigned long long score(em_session *s, const em_shape *p) {
    unsigned long long total = 0;
    size_t n = (size_t)p->context, n_logits = 3;
    for (int i = 0; i < EM_SLOTS; i++) n_logits += (size_t)p->count[i];
    int32_t *rows = calloc(2 * n, sizeof *rows), *event_at = calloc(n + 1, sizeof *event_at);
    int32_t *chosen = calloc(n * EM_SLOTS, sizeof *chosen);
    float *logits = calloc(n * n_logits, sizeof *logits);
    for (size_t i = 0; i < n; i++) {
        event_at[i + 1] = event_at[i] + 1 + (int32_t)(i % 2);
        for (int32_t j = event_at[i]; j < event_at[i + 1]; j++)
            rows[j] = j * 7 % (p->vocab_size + 1);
        for (size_t j = i % 3 ? EM_CHORD_A : 0; j < EM_SLOTS; j++)
            chosen[i * EM_SLOTS + j] = (int32_t)(i + j) % p->count[j];
        for (size_t j = 0; i % 3 && j < EM_CHORD_A; j++) chosen[i * EM_SLOTS + j] = -1;
    }
    if (em_score(s, rows, event_at, chosen, p->context, logits)) abort();
    for (size_t j = 0; j < n * n_logits; j++) {
        uint32_t bits;
        memcpy(&bits, logits + j, sizeof bits);
        total = total * 1000003ULL + bits;
    }
    free(rows);
    free(event_at);
    free(chosen);
    free(logits);
    return total;
}

int main(int argc, char **argv) {
    if (argc != 5 || !em_has_isa(argv[1])) return 3;
    int n_places = atoi(argv[2]), n_threads = atoi(argv[3]), n_rows = atoi(argv[4]);
    /* dim, layers, heads, key-value heads, hidden, inner, context; choices of each slot */
    static const int32_t sizes[][7] = {
        {64, 2, 4, 2, 128, 32, 96}, {6, 1, 3, 1, 5, 3, 33},     {40, 3, 2, 2, 67, 40, 64},
        {90, 1, 9, 1, 31, 33, 50},  {96, 2, 1, 1, 200, 7, 70},  {48, 1, 24, 2, 48, 64, 2},
        {516, 1, 2, 1, 16, 5, 130},
    };
    static const int32_t counts[][EM_SLOTS] = {
        {8, 30, 4, 5, 6, 7},   {1, 1, 1, 1, 1, 1},      {12, 88, 16, 30, 109, 109},
        {48, 40, 3, 2, 33, 1}, {5, 300, 32, 31, 10, 9}, {3, 20, 2, 2, 2, 2},
        {30, 17, 33, 1, 4, 5},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        state = 7 + i;
        em_shape shape = make_shape(sizes[i], counts[i]);
        em_model *m = make_model(&shape, argv[1]);
        em_session *s = m ? em_session_new(m, n_places, n_threads) : NULL;
        if (!s) return 5;
        unsigned long long total = write_all(s, &shape, n_places, n_rows);
        printf("%llx ", total * 31 + score(s, &shape));
        em_session_free(s);
        em_model_free(m);
    }
    printf("\n");
    return 0;
}
