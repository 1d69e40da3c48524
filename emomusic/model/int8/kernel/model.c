/* Weights: memory, rounding to int8, the layout that dot wants. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "api.h"

#define HUGE_PAGE ((size_t)2 << 20)

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

#if defined(__linux__)

void *em_allocate(size_t n_bytes) {
    void *memory = mmap(NULL, n_bytes ? n_bytes : 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void em_release(void *memory, size_t n_bytes) {
    if (memory) munmap(memory, n_bytes ? n_bytes : 1);
}

#else

/* calloc, moved up to a multiple of 64; what calloc gave stands before it. */
void *em_allocate(size_t n_bytes) {
    char *given = calloc(1, n_bytes + 64 + sizeof(void *));
    if (!given) return NULL;
    char *memory = (char *)round_up((size_t)(uintptr_t)given + sizeof(void *), 64);
    memcpy(memory - sizeof(void *), &given, sizeof given);
    return memory;
}

void em_release(void *memory, size_t n_bytes) {
    (void)n_bytes;
    if (!memory) return;
    void *given;
    memcpy(&given, (char *)memory - sizeof(void *), sizeof given);
    free(given);
}

#endif

int em_abi(void) { return EM_ABI; }

static const em_isa *find_isa(const char *name) {
    const em_isa *found[] = {em_isa_avx512(), em_isa_avxvnni(), em_isa_avx2(), em_isa_neon(),
                             em_isa_plain()};
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        if (found[i] && (!name || !*name || !strcmp(name, found[i]->name))) return found[i];
    return NULL;
}

int em_has_isa(const char *name) { return find_isa(name) != NULL; }

const char *em_model_isa(const em_model *model) { return model->isa->name; }

/* Memory out of the arena; with no arena yet, only its size is counted. */
static void *take(em_model *m, size_t n_bytes) {
    size_t at = m->arena_used;
    m->arena_used += round_up(n_bytes, 64);
    return m->arena ? m->arena + at : NULL;
}

static void lay_out_matrix(em_model *m, em_matrix *x, int n_out, int n_in) {
    x->n_out = n_out;
    x->n_in = n_in;
    x->n_blocks = (n_out + EM_BLOCK - 1) / EM_BLOCK;
    x->k4 = (n_in + 3) / 4;
    x->data = take(m, (size_t)x->n_blocks * (size_t)x->k4 * EM_BLOCK * 4);
    x->scale = take(m, (size_t)x->n_blocks * EM_BLOCK * sizeof(float));
    x->shift = take(m, (size_t)x->n_blocks * EM_BLOCK * sizeof(int32_t));
}

static void lay_out_writer(em_model *m, em_writer *w) {
    size_t dim = (size_t)m->shape.dim;
    w->norm = take(m, dim * sizeof(float));
    w->head_norm = take(m, dim * sizeof(float));
    w->told = take(m, (size_t)w->n_told * dim * sizeof(float));
    lay_out_matrix(m, &w->gate, m->shape.inner, m->shape.dim);
    lay_out_matrix(m, &w->up, m->shape.inner, m->shape.dim);
    lay_out_matrix(m, &w->down, m->shape.dim, m->shape.inner);
    lay_out_matrix(m, &w->head, w->n_choices, m->shape.dim);
}

static void lay_out(em_model *m) {
    const em_shape *s = &m->shape;
    size_t dim = (size_t)s->dim, half = (size_t)m->heads.head_dim / 2;
    int q = s->n_heads * m->heads.head_dim, kv = s->n_kv_heads * m->heads.head_dim;
    m->arena_used = 0;
    m->embedding = take(m, ((size_t)s->vocab_size + 1) * dim * sizeof(float));
    m->cosine = take(m, (size_t)s->context * half * sizeof(float));
    m->sine = take(m, (size_t)s->context * half * sizeof(float));
    m->norm = take(m, dim * sizeof(float));
    for (int i = 0; i < s->n_layers; i++) {
        em_layer *l = m->layers + i;
        l->attention_norm = take(m, dim * sizeof(float));
        l->gain = take(m, (size_t)s->n_heads * sizeof(float));
        lay_out_matrix(m, &l->qkv, q + 2 * kv, s->dim);
        lay_out_matrix(m, &l->out, s->dim, q);
        l->hidden_norm = take(m, dim * sizeof(float));
        lay_out_matrix(m, &l->gate, s->hidden, s->dim);
        lay_out_matrix(m, &l->up, s->hidden, s->dim);
        lay_out_matrix(m, &l->down, s->dim, s->hidden);
    }
    for (int i = 0; i < EM_SLOTS; i++) lay_out_writer(m, m->writers + i);
}

static int fits(const em_shape *s) {
    int sizes[] = {s->vocab_size, s->dim,   s->n_layers, s->n_heads,
                   s->n_kv_heads, s->hidden, s->inner,   s->context};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1) return 0;
    for (int i = 0; i < EM_SLOTS; i++)
        if (s->first[i] < 0 || s->count[i] < 1 || s->count[i] > EM_MAX_CHOICES ||
            s->first[i] > s->vocab_size - s->count[i])
            return 0;
    int marks[] = {s->bos, s->bar, s->eos};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i] < 0 || marks[i] >= s->vocab_size) return 0;
    return s->dim <= EM_MAX_WIDTH && s->hidden <= EM_MAX_WIDTH &&
           s->inner <= EM_MAX_WIDTH && s->context <= EM_MAX_WIDTH &&
           s->vocab_size <= 1 << 20 && s->n_layers <= 1024 && s->dim % s->n_heads == 0 &&
           s->n_heads % s->n_kv_heads == 0 && s->dim / s->n_heads % 2 == 0 &&
           s->dim / s->n_heads <= EM_MAX_HEAD;
}

static void set_heads(em_model *m) {
    const em_shape *s = &m->shape;
    em_heads *h = &m->heads;
    h->head_dim = s->dim / s->n_heads;
    h->group = s->n_heads / s->n_kv_heads;
    h->context32 = (int)round_up((size_t)s->context, EM_BLOCK);
    h->k4 = (h->head_dim + 3) / 4;
    h->d_blocks = (h->head_dim + EM_BLOCK - 1) / EM_BLOCK;
    float root = 1.0f;
    for (int i = 0; i < 30; i++) root = 0.5f * (root + (float)h->head_dim / root);
    h->scale = 1.0f / root;
}

static void set_writers(em_model *m) {
    for (int i = 0; i < EM_SLOTS; i++) {
        int n = m->shape.count[i] + (i == EM_ADVANCE ? 3 : 0); /* same, positions, bar, eos */
        m->writers[i].n_choices = n;
        m->writers[i].n_told = i == EM_DURATION || i == EM_CHORD_B ? 0 : n;
        m->n_choices += n;
        if (n > m->max_choices) m->max_choices = n;
    }
}

em_model *em_model_new(const em_shape *shape, const float *cosine, const float *sine,
                       const char *isa) {
    const em_isa *found = find_isa(isa);
    if (!found || !fits(shape)) return NULL;
    em_model *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->shape = *shape;
    m->isa = found;
    set_heads(m);
    set_writers(m);
    m->layers = calloc((size_t)shape->n_layers, sizeof *m->layers);
    if (m->layers) {
        lay_out(m);
        m->arena_size = round_up(m->arena_used, HUGE_PAGE);
        m->arena = em_allocate(m->arena_size);
    }
    if (!m->arena) {
        em_model_free(m);
        return NULL;
    }
#if defined(__linux__)
    madvise(m->arena, m->arena_size, MADV_HUGEPAGE);
#endif
    lay_out(m);
    size_t n = (size_t)shape->context * (size_t)(m->heads.head_dim / 2);
    memcpy(m->cosine, cosine, n * sizeof(float));
    memcpy(m->sine, sine, n * sizeof(float));
    return m;
}

void em_model_free(em_model *m) {
    if (!m) return;
    em_release(m->arena, m->arena_size);
    free(m->layers);
    free(m);
}

/* Read element i as float; tells whether it is finite. */
static int read_float(const void *data, int dtype, size_t i, float *out) {
    uint32_t bits;
    if (dtype == EM_BFLOAT16) {
        bits = (uint32_t)((const uint16_t *)data)[i] << 16;
    } else {
        memcpy(&bits, (const float *)data + i, sizeof bits);
    }
    memcpy(out, &bits, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

static int set_floats(float *to, const void *data, int dtype, size_t n) {
    int finite = 1;
    for (size_t i = 0; i < n; i++) finite &= read_float(data, dtype, i, to + i);
    return finite ? 0 : EM_NOT_FINITE;
}

static int8_t to_byte(float x) {
    /* Adding the number rounds to the nearest whole, ties to even. */
    volatile float shifted = x + 12582912.0f;
    return (int8_t)(int)(shifted - 12582912.0f);
}

/* Read n floats, and noughts up to a multiple of eight; returns what one step of their bytes is
   worth, or a negative number if one is not finite. */
static float read_row(const void *data, int dtype, size_t from, size_t n, float *row) {
    float most = 0.0f;
    for (size_t i = 0; i < n; i++)
        if (!read_float(data, dtype, from + i, row + i)) return -1.0f;
    for (size_t i = n; i % 8; i++) row[i] = 0.0f;
    for (size_t i = 0; i < n; i += 8)
        for (const float *x = row + i; x < row + i + 4; x += 2) { /* added in 16 bits */
            float four = fabsf(x[0]) + fabsf(x[1]) + fabsf(x[4]) + fabsf(x[5]);
            if (four > most) most = four;
        }
    return most > 1e-30f && most < 1e38f ? most / EM_TOP : 0.0f;
}

/* Round each output of a matrix, (n_out, n_in) from row `from` of data on, to int8. */
static int pack(const em_model *m, em_matrix *x, const void *data, int dtype, size_t from) {
    size_t n_in = (size_t)x->n_in;
    float row[EM_MAX_WIDTH];
    memset(x->data, 0, (size_t)x->n_blocks * (size_t)x->k4 * EM_BLOCK * 4);
    for (int o = 0; o < x->n_out; o++) {
        float step = read_row(data, dtype, (from + (size_t)o) * n_in, n_in, row);
        if (step < 0.0f) return EM_NOT_FINITE;
        float inverse = step > 0.0f ? 1.0f / step : 0.0f;
        int8_t *block = x->data + (size_t)(o / EM_BLOCK) * (size_t)x->k4 * EM_BLOCK * 4;
        int32_t sum = 0;
        for (size_t i = 0; i < n_in; i++) {
            int8_t byte = to_byte(row[i] * inverse);
            block[i / 4 * EM_BLOCK * 4 + (size_t)(o % EM_BLOCK) * 4 + i % 4] = byte;
            sum += byte;
        }
        x->scale[o] = step;
        x->shift[o] = m->isa->offset * sum;
    }
    return 0;
}

static int pack_both(const em_model *m, em_matrix *gate, em_matrix *up, const void *data,
                     int dtype) {
    int status = pack(m, gate, data, dtype, 0);
    return status ? status : pack(m, up, data, dtype, (size_t)gate->n_out);
}

static int set_in_layer(em_model *m, em_layer *l, int which, const void *data, int dtype) {
    size_t dim = (size_t)m->shape.dim;
    switch (which) {
        case EM_ATTENTION_NORM: return set_floats(l->attention_norm, data, dtype, dim);
        case EM_GAIN: return set_floats(l->gain, data, dtype, (size_t)m->shape.n_heads);
        case EM_QKV: return pack(m, &l->qkv, data, dtype, 0);
        case EM_OUT: return pack(m, &l->out, data, dtype, 0);
        case EM_HIDDEN_NORM: return set_floats(l->hidden_norm, data, dtype, dim);
        case EM_GATE_UP: return pack_both(m, &l->gate, &l->up, data, dtype);
        default: return pack(m, &l->down, data, dtype, 0);
    }
}

static int set_in_writer(em_model *m, em_writer *w, int which, const void *data, int dtype) {
    size_t dim = (size_t)m->shape.dim;
    switch (which) {
        case EM_SLOT_NORM: return set_floats(w->norm, data, dtype, dim);
        case EM_SLOT_GATE_UP: return pack_both(m, &w->gate, &w->up, data, dtype);
        case EM_SLOT_DOWN: return pack(m, &w->down, data, dtype, 0);
        case EM_HEAD_NORM: return set_floats(w->head_norm, data, dtype, dim);
        case EM_HEAD: return pack(m, &w->head, data, dtype, 0);
        default: return set_floats(w->told, data, dtype, (size_t)w->n_told * dim);
    }
}

int em_model_set(em_model *m, int which, int at, const void *data, int dtype) {
    size_t dim = (size_t)m->shape.dim;
    int in_layer = which >= EM_ATTENTION_NORM && which < EM_SLOT_NORM;
    int n = in_layer ? m->shape.n_layers : EM_SLOTS;
    if (at < 0 || at >= n || which < 0 || which > EM_TOLD ||
        (dtype != EM_FLOAT32 && dtype != EM_BFLOAT16))
        return EM_BAD_ARGUMENT;
    if (which == EM_EMBEDDING)
        return set_floats(m->embedding, data, dtype, ((size_t)m->shape.vocab_size + 1) * dim);
    if (which == EM_NORM) return set_floats(m->norm, data, dtype, dim);
    return in_layer ? set_in_layer(m, m->layers + at, which, data, dtype)
                    : set_in_writer(m, m->writers + at, which, data, dtype);
}
