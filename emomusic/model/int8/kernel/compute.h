/* The routines of one instruction set, over its `dot`. Included by isa_*.c, which define
   EM_NAME (the name), EM_OFFSET, and

     static void dot(const int8_t *w, const uint8_t *a, ptrdiff_t stride, int k4, int rows,
                     int32_t *acc)

   which sets acc[row][32] to the sums over 4 * k4 inputs of one block w times `rows` <= EM_TILE
   rows of a, each `stride` bytes after the one before. With an offset the bytes of a are unsigned,
   without they are signed; see "Room" in kernel.h.

   Vectors are in the compiler's own notation, EM_WIDE floats each: 4 unless it is defined. Sums of
   floats are kept in 16 parts whatever the width, so that they are the same. */

#include <math.h>
#include <string.h>

#include "kernel.h"

#ifndef EM_WIDE
#define EM_WIDE 4
#endif
#define LANES 16
#define N_PARTS (LANES / EM_WIDE)
#define ROUND 12582912.0f /* adding it rounds to the nearest whole number, ties to even */
#define INFINITE 0x7f800000
#define ALWAYS static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * EM_WIDE), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * EM_WIDE), aligned(4), may_alias));
typedef float four_floats __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t four_ints __attribute__((vector_size(16), aligned(4), may_alias));

ALWAYS vf all(float x) { return x - (vf){0}; }
ALWAYS vf load(const float *x) { return *(const vf *)x; }
ALWAYS vi load_ints(const int32_t *x) { return *(const vi *)x; }
ALWAYS void keep(float *x, vf v) { *(vf *)x = v; }

ALWAYS vf choose(vi mask, vf yes, vf no) {
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* e to the x, to 2e-7, for x in [-87, 87]: Cody and Waite's reduction, and a polynomial fitted to
   (e^r - 1 - r) / r^2 by least squares at Chebyshev's points. */
ALWAYS vf power(vf x) {
    vf n = x * all(1.44269504f) + all(ROUND) - all(ROUND);
    vf r = x - n * all(0.693359375f);
    r = r - n * all(-2.12194440e-4f);
    vf p = all(8.369153365e-03f);
    p = p * r + all(4.190079123e-02f);
    p = p * r + all(1.666651666e-01f);
    p = p * r + all(4.999912083e-01f);
    vf y = p * (r * r) + r + all(1.0f);
    return (vf)((vi)y + (__builtin_convertvector(n, vi) << 23));
}

/* The larger of two; b where one is not a number, as the processor's own instruction has it. */
ALWAYS vf larger(vf a, vf b) {
#if defined(EM_LARGER)
    return EM_LARGER(a, b);
#else
    return choose(a > b, a, b);
#endif
}

/* Keep the low byte of each. */
ALWAYS void narrow(vi x, uint8_t *out) {
#if defined(EM_NARROW)
    EM_NARROW(x, out);
#else
    for (int i = 0; i < EM_WIDE; i++) out[i] = (uint8_t)x[i];
#endif
}

/* The sum of 16 parts: halves onto each other, again and again. */
ALWAYS float sum_parts(const vf *part) {
    float lanes[LANES];
    memcpy(lanes, part, sizeof lanes);
    const four_floats *four = (const four_floats *)lanes;
    four_floats sum = (four[0] + four[2]) + (four[1] + four[3]);
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* The largest absolute value among n (a multiple of 16) floats, as its bits: NaN is above all. */
static int32_t largest_bits(const float *x, int n) {
    four_ints most = {0};
    for (int i = 0; i < n; i += 4) {
        four_ints bits = *(const four_ints *)(x + i) & 0x7fffffff;
        four_ints above = bits > most;
        most = (above & bits) | (~above & most);
    }
    int32_t result = 0;
    for (int i = 0; i < 4; i++)
        if (most[i] > result) result = most[i];
    return result;
}

static float float_of(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What one step of a byte is worth where the largest of n floats becomes 127; 0 where that is tiny
   or not finite. */
static float step_of(const float *x, int n) {
    int32_t bits = largest_bits(x, n);
    return bits >= INFINITE || float_of(bits) < 1e-30f ? 0.0f : float_of(bits) / EM_TOP;
}

/* Round n (a multiple of 16) floats to signed bytes plus an offset; with a step of 0 all become
   nought. */
static void to_bytes(const float *x, int n, float step, int offset, uint8_t *out) {
    if (step == 0.0f) {
        for (int i = 0; i < n; i++) out[i] = (uint8_t)offset;
        return;
    }
    vf inverse = all(1.0f / step);
    for (int i = 0; i < n; i += EM_WIDE) {
        vf whole = (load(x + i) * inverse + all(ROUND)) - all(ROUND);
        narrow(__builtin_convertvector(whole, vi) + offset, out + i);
    }
}

/* Round n (a multiple of 16) floats to a row of activations; returns its step. */
static float to_row(const float *x, int n, uint8_t *out) {
    float step = step_of(x, n);
    to_bytes(x, n, step, EM_OFFSET, out);
    return step;
}

/* One over the root mean square of n floats. */
static float inverse_size(const float *x, int n) {
    float rest[LANES] = {0};
    vf part[N_PARTS] = {{0}};
    int whole = n / LANES * LANES;
    memcpy(rest, x + whole, (size_t)(n - whole) * sizeof *x);
    for (int i = 0; i < whole; i += LANES)
        for (int j = 0; j < N_PARTS; j++) {
            vf own = load(x + i + j * EM_WIDE);
            part[j] += own * own;
        }
    for (int j = 0; j < N_PARTS; j++) part[j] += load(rest + j * EM_WIDE) * load(rest + j * EM_WIDE);
    return 1.0f / sqrtf(sum_parts(part) / (float)n + 1e-5f);
}

/* Divide n floats by their root mean square and multiply by a weight. */
static void normalise(const float *x, const float *weight, int n, float *out) {
    float scale = inverse_size(x, n);
    int whole = n / EM_WIDE * EM_WIDE;
    for (int i = 0; i < whole; i += EM_WIDE)
        keep(out + i, load(x + i) * all(scale) * load(weight + i));
    for (int i = whole; i < n; i++) out[i] = x[i] * scale * weight[i];
}

/* Quantise n floats into a row; with a weight, the row is first normalised. */
static void quantise(const float *x, const float *weight, int n, em_acts *a, int row) {
    float room[EM_MAX_WIDTH] __attribute__((aligned(64)));
    int padded = (n + LANES - 1) / LANES * LANES;
    if (weight)
        normalise(x, weight, n, room);
    else
        memcpy(room, x, (size_t)n * sizeof *x);
    for (int i = n; i < padded; i++) room[i] = 0.0f;
    a->scale[row] = to_row(room, padded, a->data + (size_t)row * (size_t)a->stride);
}

/* One block of a product, as floats: out[row][32]. */
ALWAYS void block_product(
    const em_matrix *m, const em_acts *a, int row, int rows, int block, float *out) {
    int32_t acc[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    const int8_t *w = m->data + (size_t)block * (size_t)m->k4 * EM_BLOCK * 4;
    dot(w, a->data + (size_t)row * (size_t)a->stride, a->stride, m->k4, rows, acc);
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < EM_BLOCK; i += EM_WIDE) {
            vi shift = load_ints(m->shift + block * EM_BLOCK + i);
            vi whole = load_ints(acc + r * EM_BLOCK + i) - shift;
            vf scale = all(a->scale[row + r]) * load(m->scale + block * EM_BLOCK + i);
            keep(out + r * EM_BLOCK + i, __builtin_convertvector(whole, vf) * scale);
        }
    }
}

static void put_block(const float *from, float *to, int n, int add) {
    if (!add) {
        memcpy(to, from, (size_t)n * sizeof *to);
    } else if (n == EM_BLOCK) {
        for (int i = 0; i < EM_BLOCK; i += EM_WIDE) keep(to + i, load(to + i) + load(from + i));
    } else {
        for (int i = 0; i < n; i++) to[i] += from[i];
    }
}

static int width_of(const em_matrix *m, int block) {
    int left = m->n_out - block * EM_BLOCK;
    return left < EM_BLOCK ? left : EM_BLOCK;
}

static void matmul(const em_matrix *m, const em_acts *a, int n_rows, int begin, int end,
                   float *out, int stride, int add) {
    float product[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    for (int block = begin; block < end; block++)
        for (int row = 0; row < n_rows; row += EM_TILE) {
            int rows = n_rows - row < EM_TILE ? n_rows - row : EM_TILE;
            block_product(m, a, row, rows, block, product);
            for (int r = 0; r < rows; r++)
                put_block(product + r * EM_BLOCK,
                          out + (size_t)(row + r) * (size_t)stride + block * EM_BLOCK,
                          width_of(m, block), add);
        }
}

/* SwiGLU: silu(gate x) * (up x). */
static void gated(const em_matrix *gate, const em_matrix *up, const em_acts *a, int n_rows,
                  int begin, int end, float *out, int stride) {
    float g[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    float u[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    for (int block = begin; block < end; block++)
        for (int row = 0; row < n_rows; row += EM_TILE) {
            int rows = n_rows - row < EM_TILE ? n_rows - row : EM_TILE;
            block_product(gate, a, row, rows, block, g);
            block_product(up, a, row, rows, block, u);
            for (int i = 0; i < rows * EM_BLOCK; i += EM_WIDE) {
                vf x = load(g + i);
                vf limited = -larger(-larger(x, all(-87.0f)), all(-87.0f));
                keep(g + i, x / (all(1.0f) + power(-limited)) * load(u + i));
            }
            for (int r = 0; r < rows; r++)
                put_block(g + r * EM_BLOCK,
                          out + (size_t)(row + r) * (size_t)stride + block * EM_BLOCK,
                          width_of(gate, block), 0);
        }
}

/* Divide a head by its root mean square, multiply by a gain, turn it to its position. */
static void turn(float *x, const float *cosine, const float *sine, int half, float gain) {
    float scale = gain * inverse_size(x, 2 * half);
    for (int i = 0; i < half; i++) {
        float first = x[i] * scale, second = x[i + half] * scale;
        x[i] = first * cosine[i] - second * sine[i];
        x[i + half] = second * cosine[i] + first * sine[i];
    }
}

/* Copy one head and noughts up to a multiple of 16 behind it; returns that multiple. */
static int pad_head(const float *x, int n, float *room) {
    int padded = (n + LANES - 1) / LANES * LANES;
    memcpy(room, x, (size_t)n * sizeof *x);
    for (int i = n; i < padded; i++) room[i] = 0.0f;
    return padded;
}

static void store_key(const em_heads *h, em_cache *c, int at, const float *key) {
    float room[EM_MAX_HEAD] __attribute__((aligned(64)));
    float fours[EM_MAX_HEAD] __attribute__((aligned(64)));
    uint8_t head[EM_MAX_HEAD];
    int n = pad_head(key, h->head_dim, room);
    for (int i = 0; i < n; i++) /* those whose products are added in 16 bits */
        fours[i] = (fabsf(room[i & ~5]) + fabsf(room[(i & ~5) | 1])) +
                   (fabsf(room[(i & ~5) | 4]) + fabsf(room[i | 5]));
    c->key_scale[at] = step_of(fours, n);
    to_bytes(room, n, c->key_scale[at], 0, head);
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += (int8_t)head[i];
    c->key_shift[at] = EM_OFFSET * sum;
    int8_t *k = c->keys + (size_t)(at / EM_BLOCK) * (size_t)h->k4 * EM_BLOCK * 4 +
                at % EM_BLOCK * 4;
    for (int i = 0; i < h->k4; i++) memcpy(k + i * EM_BLOCK * 4, head + 4 * i, 4);
}

static void store(const em_heads *h, em_cache *c, int at, const float *key, const float *value) {
    float room[EM_MAX_HEAD] __attribute__((aligned(64)));
    uint8_t head[EM_MAX_HEAD];
    store_key(h, c, at, key);
    int padded = pad_head(value, h->head_dim, room);
    c->value_scale[at] = step_of(room, padded);
    to_bytes(room, padded, c->value_scale[at], 0, head);
    int8_t *v = c->values + (size_t)(at / 4) * EM_BLOCK * 4 + at % 4;
    for (int from = 0; from < h->head_dim; from += EM_BLOCK) {
        int n = h->head_dim - from < EM_BLOCK ? h->head_dim - from : EM_BLOCK;
        for (int d = 0; d < n; d++) v[4 * d] = (int8_t)head[from + d];
        v += (size_t)h->context32 * EM_BLOCK;
    }
}

/* Scores of the query heads for positions 0 to n - 1, the keys' scale put in. */
static void score(const em_heads *h, const em_cache *c, int n, const float *query,
                  em_scratch *s) {
    int32_t acc[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    float room[EM_MAX_HEAD] __attribute__((aligned(64))), scale[EM_TILE];
    int stride = (h->head_dim + LANES - 1) / LANES * LANES;
    for (int g = 0; g < h->group; g += EM_TILE) {
        int rows = h->group - g < EM_TILE ? h->group - g : EM_TILE;
        for (int r = 0; r < rows; r++) {
            pad_head(query + (g + r) * h->head_dim, h->head_dim, room);
            scale[r] = h->scale * to_row(room, stride, s->query + r * stride);
        }
        for (int t = 0; t < n; t += EM_BLOCK) {
            dot(c->keys + (size_t)t * (size_t)h->k4 * 4, s->query, stride, h->k4, rows, acc);
            for (int r = 0; r < rows; r++) {
                float *out = s->scores + (size_t)(g + r) * (size_t)h->context32 + t;
                for (int i = 0; i < EM_BLOCK; i += EM_WIDE) {
                    vi shift = load_ints(c->key_shift + t + i);
                    vi whole = load_ints(acc + r * EM_BLOCK + i) - shift;
                    keep(out + i, __builtin_convertvector(whole, vf) *
                                      (all(scale[r]) * load(c->key_scale + t + i)));
                }
            }
        }
    }
}

/* Softmax over n scores times the values' scale, in 12 bits, high and low six apart.
   Returns what one unit of them is worth. */
static float weigh(float *scores, const float *value_scale, int n, uint8_t *high, uint8_t *low) {
    int padded = (n + LANES - 1) / LANES * LANES;
    for (int t = n; t < padded; t++) scores[t] = -3e38f;
    vf most = all(-3e38f), largest = all(0.0f), total[N_PARTS] = {{0}};
    for (int t = 0; t < padded; t += EM_WIDE) most = larger(load(scores + t), most);
    float peak = -3e38f, top = 0.0f;
    for (int i = 0; i < EM_WIDE; i++)
        if (most[i] > peak) peak = most[i];
    for (int i = 0; i < padded; i += LANES)
        for (int j = 0; j < N_PARTS; j++) {
            int t = i + j * EM_WIDE;
            /* Beyond n this is e to the -87, which no sum feels. */
            vf e = power(larger(load(scores + t) - all(peak), all(-87.0f)));
            total[j] += e;
            e = e * load(value_scale + t);
            largest = larger(e, largest);
            keep(scores + t, e);
        }
    for (int i = 0; i < EM_WIDE; i++)
        if (largest[i] > top) top = largest[i];
    vf factor = all(top > 1e-30f ? 4095.0f / top : 0.0f);
    for (int t = 0; t < padded; t += EM_WIDE) {
        vf rounded = (load(scores + t) * factor + all(ROUND)) - all(ROUND);
        vi whole = __builtin_convertvector(rounded, vi);
        narrow(whole >> 6, high + t);
        narrow(whole & 63, low + t);
    }
    return top / 4095.0f / sum_parts(total);
}

static void attend(const em_heads *h, const em_cache *c, int n, const float *query,
                   em_scratch *s, float *out) {
    int32_t acc[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    size_t stride = (size_t)h->context32;
    score(h, c, n, query, s);
    for (int g = 0; g < h->group; g += EM_TILE / 2) {
        int heads = h->group - g < EM_TILE / 2 ? h->group - g : EM_TILE / 2;
        float unit[EM_TILE / 2];
        for (int r = 0; r < heads; r++)
            unit[r] = weigh(s->scores + (size_t)(g + r) * stride, c->value_scale, n,
                            s->weight + (size_t)(2 * r) * stride,
                            s->weight + (size_t)(2 * r + 1) * stride);
        for (int b = 0; b < h->d_blocks; b++) {
            dot(c->values + (size_t)b * stride * EM_BLOCK, s->weight, (ptrdiff_t)stride,
                (n + 3) / 4, 2 * heads, acc);
            int width = h->head_dim - b * EM_BLOCK < EM_BLOCK ? h->head_dim - b * EM_BLOCK : EM_BLOCK;
            for (int r = 0; r < heads; r++) {
                const int32_t *high = acc + 2 * r * EM_BLOCK, *low = high + EM_BLOCK;
                float *to = out + (size_t)(g + r) * (size_t)h->head_dim + b * EM_BLOCK;
                for (int i = 0; i < width; i++)
                    to[i] = ((float)high[i] * 64.0f + (float)low[i]) * unit[r];
            }
        }
    }
}

static const em_isa isa = {EM_NAME, EM_OFFSET, matmul, gated,  normalise,
                           quantise, turn,     store,  attend};
