/* Drives the int8 engine through shapes, batches and settings of all kinds; built with sanitizers
   by test_model_engines_kernel.py. Prints a line of numbers that must be the same for every
   instruction set, number of slots and number of threads.

   Usage: kernel_driver INSTRUCTIONS SLOTS THREADS ROWS */

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

static em_model *make_model(const em_shape *s, const char *isa) {
    int head = s->dim / s->n_heads, width = (s->n_heads + 2 * s->n_kv_heads) * head;
    size_t half = (size_t)s->context * (size_t)(head / 2);
    float *cosine = floats(half, 1.0f), *sine = floats(half, 1.0f);
    em_model *m = em_model_new(s, cosine, sine, isa);
    free(cosine);
    free(sine);
    if (!m) return NULL;
    size_t dim = (size_t)s->dim, sizes[] = {(size_t)s->vocab_size * dim, dim, dim,
        (size_t)width * dim, dim * dim, dim, 2 * (size_t)s->hidden * dim, dim * (size_t)s->hidden};
    for (int layer = 0; layer < s->n_layers; layer++)
        for (int which = layer ? 2 : 0; which < 8; which++) {
            float *x = floats(sizes[which], which % 4 == 1 || which == 2 ? 2.0f : 0.5f);
            if (em_model_set(m, which, layer, x, EM_FLOAT32)) abort();
            free(x);
        }
    return m;
}

/* Three kinds: the lower half of the ids, which rises; the upper half; the last id, an end. */
static em_grammar make_grammar(int vocab, int32_t *room) {
    int32_t *first = room, *count = room + 3, *then = room + 6, *resets = room + 9;
    int32_t *since = room + 14;
    since[0] = 0, since[1] = -1, since[2] = 0;
    first[0] = 0, count[0] = vocab / 2;
    first[1] = vocab / 2, count[1] = vocab - 1 - vocab / 2;
    first[2] = vocab - 1, count[2] = 1;
    then[0] = 1, then[1] = 0, then[2] = 0;
    resets[0] = 0, resets[1] = 1, resets[2] = 0;
    room[12] = 1, room[13] = 7;
    return (em_grammar){vocab, 3, 2, first, count, then, since, (uint32_t *)resets,
                        (uint32_t *)room + 12, 1, 4};
}

/* What a row's segment leans to: nothing, or numbers that follow from both. */
static const em_lean *make_lean(em_lean *lean, int vocab, int number, int segment) {
    memset(lean, 0, sizeof *lean);
    if ((number + segment) % 2) return NULL;
    int n = lean->n_pairs = (number * 3 + segment) % 9;
    float *bias = malloc(2 * (size_t)vocab * sizeof *bias);
    float *weights = malloc((size_t)(n + 1) * sizeof *weights);
    int32_t *pairs = malloc((size_t)(2 * n + 1) * sizeof *pairs);
    for (int i = 0; i < 2 * vocab; i++) bias[i] = (float)((i * 13 + number * 7 + segment) % 11) / 4.0f;
    for (int i = 0; i < n; i++) {
        weights[i] = (float)(i + 1) / 2.0f;
        pairs[2 * i] = (i * 5 + number) % (vocab + 1) - 1;
        pairs[2 * i + 1] = (i * 3 + segment) % vocab;
    }
    lean->bias = bias, lean->weights = weights, lean->pairs = pairs;
    return lean;
}

static void free_lean(em_lean *lean) {
    free((void *)lean->bias);
    free((void *)lean->weights);
    free((void *)lean->pairs);
}

static void write_row(em_session *s, int slot, const em_shape *p, int number) {
    unsigned long long kept = state;
    state = 1000 + (unsigned long long)number;
    int n_segments = up_to(1, 4), n_opening = up_to(1, p->context / 2), n_heads = 0;
    int32_t opening[4096], heads[64], start[5] = {0, 0, 0, 0, 0};
    uint32_t ends[4];
    for (int i = 0; i < n_opening; i++) opening[i] = up_to(0, p->vocab_size - 1);
    for (int i = 0; i < n_segments; i++) {
        ends[i] = 4;
        if (i) start[i] = n_heads;
        for (int j = i ? up_to(0, 3) : 0; j; j--) heads[n_heads++] = up_to(0, p->vocab_size - 1);
        start[i + 1] = n_heads;
    }
    int32_t low[] = {0, p->vocab_size / 2, p->vocab_size - 1};
    int32_t high[] = {p->vocab_size / 2 - 1, p->vocab_size - 2, p->vocab_size - 1};
    double *u = malloc((size_t)p->context * sizeof *u);
    for (int i = 0; i < p->context; i++) u[i] = uniform();
    em_row row = {opening, n_opening, number % 3 ? -1 : up_to(0, n_opening - 1), heads, start, ends,
                  n_segments, low, high, up_to(1, 20), u, number % 5 ? 1.0 : 1e-320,
                  number % 4 ? 0.9 : 1.0, 2.0f, number % 7, NULL, number % 3 == 1};
    em_lean lean;
    row.lean = make_lean(&lean, p->vocab_size, number, 0);
    if (em_put(s, slot, &row)) abort();
    free_lean(&lean);
    free(u);
    state = kept;
}

static unsigned long long collect(em_session *s, int slot) {
    em_state got;
    em_get(s, slot, &got);
    unsigned long long sum = (unsigned long long)got.status + 31ULL * (unsigned)got.n_used;
    for (int i = 0; i < got.n_ids; i++) sum = sum * 1000003ULL + (unsigned)got.ids[i];
    for (int i = 0; i < got.n_segments; i++) sum = sum * 1000003ULL + (unsigned)got.ends_at[i];
    em_clear(s, slot);
    return sum;
}

int main(int argc, char **argv) {
    if (argc != 5 || !em_has_isa(argv[1])) return 3;
    const char *isa = argv[1];
    int n_slots = atoi(argv[2]), n_threads = atoi(argv[3]), n_rows = atoi(argv[4]);
    static const em_shape shapes[] = {
        {20, 64, 2, 4, 2, 128, 96},  {7, 6, 1, 3, 1, 5, 33},      {33, 40, 3, 2, 2, 67, 64},
        {560, 90, 1, 9, 1, 31, 50},  {101, 96, 2, 1, 1, 200, 70}, {64, 48, 1, 24, 2, 48, 2},
        {19, 516, 1, 2, 1, 16, 130},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        state = 7 + i;
        int32_t room[17];
        em_grammar grammar = make_grammar(shapes[i].vocab_size, room);
        em_model *m = make_model(shapes + i, isa);
        if (!m) return 4;
        em_session *s = em_session_new(m, &grammar, n_slots, n_threads);
        if (!s) return 5;
        unsigned long long sums[64] = {0}, total = 0;
        int row_of[64], next = 0, left = n_rows;
        for (int j = 0; j < n_slots; j++) row_of[j] = -1;
        while (left) {
            for (int j = 0; j < n_slots; j++)
                if (row_of[j] < 0 && next < n_rows) write_row(s, j, shapes + i, row_of[j] = next++);
            em_run(s, 5);
            for (int j = 0; j < n_slots; j++) {
                em_state got;
                em_get(s, j, &got);
                if (row_of[j] >= 0 && got.status == EM_WAITING) {
                    em_lean lean;
                    int vocab = shapes[i].vocab_size;
                    if (em_steer(s, j, make_lean(&lean, vocab, row_of[j], got.n_segments))) abort();
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
        int n = shapes[i].context;
        int32_t *ids = malloc((size_t)n * sizeof *ids);
        float *logits = malloc((size_t)n * (size_t)shapes[i].vocab_size * sizeof *logits);
        for (int j = 0; j < n; j++) ids[j] = j * 7 % shapes[i].vocab_size;
        if (em_score(s, ids, n, logits)) return 6;
        for (int j = 0; j < n * shapes[i].vocab_size; j++) {
            uint32_t bits;
            memcpy(&bits, logits + j, sizeof bits);
            total = total * 1000003ULL + bits;
        }
        free(ids);
        free(logits);
        em_session_free(s);
        em_model_free(m);
        printf("%llx ", total);
    }
    printf("\n");
    return 0;
}
