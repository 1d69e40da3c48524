/* The routines of one instruction set, over its `dot`. Included by isa_*.c, which define
   EM_NAME (the name), EM_OFFSET, and

     static void dot(const int8_t *w, const int8_t *a, ptrdiff_t stride, int k4, int rows,
                     int32_t *acc)

   which sets acc[row][32] to the sums over 4 * k4 inputs of one block w times `rows` <= EM_TILE
   rows of a, each `stride` bytes after the one before.

   Vectors are 16 wide everywhere, in the compiler's own notation: it splits them where the
   processor's are narrower, and the results are the same. */

#include <math.h>
#include <string.h>

#include "kernel.h"

typedef float vf __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(64), aligned(4), may_alias));
typedef int8_t vb __attribute__((vector_size(16), aligned(1), may_alias));

#define WIDE 16
#define ROUND 12582912.0f /* adding it rounds to the nearest whole number, ties to even */
#define INFINITE 0x7f800000

static inline __attribute__((always_inline)) vf all(float x) {
    return (vf){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

static inline __attribute__((always_inline)) vf load(const float *x) { return *(const vf *)x; }
static inline __attribute__((always_inline)) void keep(float *x, vf v) { *(vf *)x = v; }

static inline __attribute__((always_inline)) vf choose(vi mask, vf yes, vf no) {
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* e to the x, to 2e-7, for x in [-87, 87]: Cody and Waite's reduction, and a polynomial fitted to
   (e^r - 1 - r) / r^2 by least squares at Chebyshev's points. */
static inline __attribute__((always_inline)) vf power(vf x) {
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
static inline __attribute__((always_inline)) vf larger(vf a, vf b) {
#if defined(EM_LARGER)
    return EM_LARGER(a, b);
#else
    return choose(a > b, a, b);
#endif
}

static float sum_lanes(vf v) {
    float part[WIDE];
    keep(part, v);
    for (int width = WIDE / 2; width; width /= 2)
        for (int i = 0; i < width; i++) part[i] += part[i + width];
    return part[0];
}

/* The largest absolute value among n (a multiple of 16) floats, as its bits: NaN is above all. */
static int32_t largest_bits(const float *x, int n) {
    vi most = {0};
    for (int i = 0; i < n; i += WIDE) {
        vi bits = (vi)load(x + i) & 0x7fffffff;
        vi above = bits > most;
        most = (above & bits) | (~above & most);
    }
    int32_t part[WIDE], result = 0;
    memcpy(part, &most, sizeof part);
    for (int i = 0; i < WIDE; i++)
        if (part[i] > result) result = part[i];
    return result;
}

static float float_of(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Round n (a multiple of 16) floats to int8, so that the largest becomes 127.
   Returns the scale; what is not finite becomes nought throughout. */
static float to_int8(const float *x, int n, int8_t *out, int32_t *sum) {
    int32_t bits = largest_bits(x, n);
    if (bits >= INFINITE || float_of(bits) < 1e-30f) {
        memset(out, 0, (size_t)n);
        *sum = 0;
        return 0.0f;
    }
    float most = float_of(bits);
    vf inverse = all(127.0f / most);
    vi total = {0};
    for (int i = 0; i < n; i += WIDE) {
        vi whole = __builtin_convertvector((load(x + i) * inverse + all(ROUND)) - all(ROUND), vi);
        total += whole;
        *(vb *)(out + i) = __builtin_convertvector(whole, vb);
    }
    int32_t part[WIDE];
    memcpy(part, &total, sizeof part);
    *sum = 0;
    for (int i = 0; i < WIDE; i++) *sum += part[i];
    return most * (1.0f / 127.0f);
}

/* Quantise n floats into a row; with a weight, the row is first normalised (RMSNorm). */
static void quantise(const float *x, const float *weight, int n, em_acts *a, int row) {
    float room[EM_MAX_WIDTH] __attribute__((aligned(64)));
    int whole = n / WIDE * WIDE, padded = (n + WIDE - 1) / WIDE * WIDE;
    memcpy(room, x, (size_t)n * sizeof *x);
    for (int i = n; i < padded; i++) room[i] = 0.0f;
    if (weight) {
        vf squares = all(0.0f);
        for (int i = 0; i < padded; i += WIDE) squares += load(room + i) * load(room + i);
        float scale = 1.0f / sqrtf(sum_lanes(squares) / (float)n + 1e-5f);
        for (int i = 0; i < whole; i += WIDE)
            keep(room + i, load(room + i) * all(scale) * load(weight + i));
        for (int i = whole; i < n; i++) room[i] = room[i] * scale * weight[i];
    }
    a->scale[row] = to_int8(room, padded, a->data + (size_t)row * (size_t)a->stride, a->sum + row);
}

/* One block of a product, as floats: out[row][32]. */
static inline __attribute__((always_inline)) void block_product(
    const em_matrix *m, const em_acts *a, int row, int rows, int block, float *out) {
    int32_t acc[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    const int8_t *w = m->data + (size_t)block * (size_t)m->k4 * EM_BLOCK * 4;
    dot(w, a->data + (size_t)row * (size_t)a->stride, a->stride, m->k4, rows, acc);
    for (int r = 0; r < rows; r++) {
        vi shift = EM_OFFSET * a->sum[row + r] - (vi){0};
        for (int i = 0; i < EM_BLOCK; i += WIDE) {
            vi whole = *(const vi *)(acc + r * EM_BLOCK + i) - shift;
            vf scale = all(a->scale[row + r]) * load(m->scale + block * EM_BLOCK + i);
            keep(out + r * EM_BLOCK + i, __builtin_convertvector(whole, vf) * scale);
        }
    }
}

static void put_block(const float *from, float *to, int n, int add) {
    if (!add) {
        memcpy(to, from, (size_t)n * sizeof *to);
    } else if (n == EM_BLOCK) {
        for (int i = 0; i < EM_BLOCK; i += WIDE) keep(to + i, load(to + i) + load(from + i));
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
            for (int i = 0; i < rows * EM_BLOCK; i += WIDE) {
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

static void rotate(float *x, const float *cosine, const float *sine, int half) {
    for (int i = 0; i < half; i++) {
        float first = x[i], second = x[i + half];
        x[i] = first * cosine[i] - second * sine[i];
        x[i + half] = second * cosine[i] + first * sine[i];
    }
}

/* Round one head to int8; `out` has room for a multiple of 16. */
static float head_to_int8(const float *x, int n, int8_t *out, int32_t *sum) {
    float room[EM_MAX_HEAD] __attribute__((aligned(64)));
    int padded = (n + WIDE - 1) / WIDE * WIDE;
    memcpy(room, x, (size_t)n * sizeof *x);
    for (int i = n; i < padded; i++) room[i] = 0.0f;
    return to_int8(room, padded, out, sum);
}

static void store(const em_heads *h, em_cache *c, int at, const float *key, const float *value) {
    int8_t head[EM_MAX_HEAD];
    int32_t sum;
    c->key_scale[at] = head_to_int8(key, h->head_dim, head, &sum);
    for (int d = 0; d < h->k4 * 4; d++) head[d] = (int8_t)(uint8_t)(head[d] + EM_OFFSET);
    int8_t *k = c->keys + (size_t)(at / EM_BLOCK) * (size_t)h->k4 * EM_BLOCK * 4 +
                at % EM_BLOCK * 4;
    for (int i = 0; i < h->k4; i++) memcpy(k + i * EM_BLOCK * 4, head + 4 * i, 4);
    c->value_scale[at] = head_to_int8(value, h->head_dim, head, &sum);
    int8_t *v = c->values + (size_t)(at / 4) * EM_BLOCK * 4 + at % 4;
    for (int from = 0; from < h->head_dim; from += EM_BLOCK) {
        int n = h->head_dim - from < EM_BLOCK ? h->head_dim - from : EM_BLOCK;
        for (int d = 0; d < n; d++) v[4 * d] = (int8_t)(uint8_t)(head[from + d] + EM_OFFSET);
        v += (size_t)h->context32 * EM_BLOCK;
    }
}

/* Scores of the query heads for positions 0 to n - 1, the keys' scale put in. */
static void score(const em_heads *h, const em_cache *c, int n, const float *query,
                  em_scratch *s) {
    int32_t acc[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    int stride = (h->head_dim + WIDE - 1) / WIDE * WIDE;
    for (int g = 0; g < h->group; g += EM_TILE) {
        int rows = h->group - g < EM_TILE ? h->group - g : EM_TILE;
        float scale[EM_TILE];
        int32_t sum[EM_TILE];
        for (int r = 0; r < rows; r++)
            scale[r] = h->scale * head_to_int8(query + (g + r) * h->head_dim, h->head_dim,
                                               s->query + r * stride, sum + r);
        for (int t = 0; t < n; t += EM_BLOCK) {
            dot(c->keys + (size_t)t * (size_t)h->k4 * 4, s->query, stride, h->k4, rows, acc);
            for (int r = 0; r < rows; r++) {
                vi shift = EM_OFFSET * sum[r] - (vi){0};
                float *out = s->scores + (size_t)(g + r) * (size_t)h->context32 + t;
                for (int i = 0; i < EM_BLOCK; i += WIDE) {
                    vi whole = *(const vi *)(acc + r * EM_BLOCK + i) - shift;
                    keep(out + i, __builtin_convertvector(whole, vf) *
                                      (all(scale[r]) * load(c->key_scale + t + i)));
                }
            }
        }
    }
}

/* Softmax over n scores times the values' scale, in 14 bits, high and low seven apart.
   Returns what one unit of them is worth; sums[0] and sums[1] are those of the two halves. */
static float weigh(float *scores, const float *value_scale, int n, int8_t *high, int8_t *low,
                   int32_t *sums) {
    int padded = (n + WIDE - 1) / WIDE * WIDE;
    for (int t = n; t < padded; t++) scores[t] = -3e38f;
    vf most = all(-3e38f);
    for (int t = 0; t < padded; t += WIDE)
        most = larger(load(scores + t), most);
    float part[WIDE], peak = -3e38f;
    keep(part, most);
    for (int i = 0; i < WIDE; i++)
        if (part[i] > peak) peak = part[i];
    vf total = all(0.0f), largest = all(0.0f);
    for (int t = 0; t < padded; t += WIDE) {
        /* Beyond n this is e to the -87, which no sum feels. */
        vf e = power(larger(load(scores + t) - all(peak), all(-87.0f)));
        total += e;
        e = e * load(value_scale + t);
        largest = larger(e, largest);
        keep(scores + t, e);
    }
    float sum = sum_lanes(total), top = 0.0f;
    keep(part, largest);
    for (int i = 0; i < WIDE; i++)
        if (part[i] > top) top = part[i];
    vf factor = all(top > 1e-30f ? 16383.0f / top : 0.0f);
    vi high_sum = {0}, low_sum = {0};
    for (int t = 0; t < padded; t += WIDE) {
        vi whole = __builtin_convertvector((load(scores + t) * factor + all(ROUND)) - all(ROUND), vi);
        vi upper = whole >> 7, lower = whole & 127;
        high_sum += upper;
        low_sum += lower;
        *(vb *)(high + t) = __builtin_convertvector(upper, vb);
        *(vb *)(low + t) = __builtin_convertvector(lower, vb);
    }
    sums[0] = sums[1] = 0;
    for (int i = 0; i < WIDE; i++) {
        sums[0] += high_sum[i];
        sums[1] += low_sum[i];
    }
    return top / 16383.0f / sum;
}

static void attend(const em_heads *h, const em_cache *c, int n, const float *query,
                   em_scratch *s, float *out) {
    int32_t acc[EM_TILE * EM_BLOCK] __attribute__((aligned(64)));
    size_t stride = (size_t)h->context32;
    score(h, c, n, query, s);
    for (int g = 0; g < h->group; g += EM_TILE / 2) {
        int heads = h->group - g < EM_TILE / 2 ? h->group - g : EM_TILE / 2;
        float unit[EM_TILE / 2];
        int32_t sums[EM_TILE];
        for (int r = 0; r < heads; r++)
            unit[r] = weigh(s->scores + (size_t)(g + r) * stride, c->value_scale, n,
                            s->weight + (size_t)(2 * r) * stride,
                            s->weight + (size_t)(2 * r + 1) * stride, sums + 2 * r);
        for (int b = 0; b < h->d_blocks; b++) {
            dot(c->values + (size_t)b * stride * EM_BLOCK, s->weight, (ptrdiff_t)stride,
                (n + 3) / 4, 2 * heads, acc);
            int width = h->head_dim - b * EM_BLOCK < EM_BLOCK ? h->head_dim - b * EM_BLOCK : EM_BLOCK;
            for (int r = 0; r < heads; r++) {
                const int32_t *high = acc + 2 * r * EM_BLOCK, *low = high + EM_BLOCK;
                float *to = out + (size_t)(g + r) * (size_t)h->head_dim + b * EM_BLOCK;
                for (int i = 0; i < width; i++)
                    to[i] = ((float)(high[i] - EM_OFFSET * sums[2 * r]) * 128.0f +
                             (float)(low[i] - EM_OFFSET * sums[2 * r + 1])) *
                            unit[r];
            }
        }
    }
}

static const em_isa isa = {EM_NAME, EM_OFFSET, matmul, gated, quantise, rotate, store, attend};
