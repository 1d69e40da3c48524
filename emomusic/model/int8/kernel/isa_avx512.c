/* AVX-512 with VNNI: 64 products in one instruction, of unsigned rows and signed weights. */

#if defined(__x86_64__) && defined(__GNUC__)

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

#define EM_NAME "avx512-vnni"
#define EM_OFFSET 127
#define EM_WIDE 16
#define EM_NARROW(x, out) _mm_storeu_si128((__m128i *)(out), _mm512_cvtepi32_epi8((__m512i)(x)))
#define EM_LARGER(a, b) ((vf)_mm512_max_ps((__m512)(a), (__m512)(b)))

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AHEAD 8192

static inline __attribute__((always_inline)) __m512i four(const uint8_t *a) {
    int32_t x;
    memcpy(&x, a, sizeof x);
    return _mm512_set1_epi32(x);
}

/* The same for a number of rows known to the compiler; `split` sums of each row go on side by
   side, so that one product need not wait for the one before. */
static inline __attribute__((always_inline)) void dot_rows(const int8_t *w, const uint8_t *a,
                                                           ptrdiff_t stride, int k4, int32_t *acc,
                                                           const int rows, const int split) {
    __m512i sum[8][2];
#pragma GCC unroll 8
    for (int i = 0; i < rows * split; i++) sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    const int8_t *end = w + 128 * (ptrdiff_t)(k4 / split * split);
    const int8_t *last = w + 128 * (ptrdiff_t)k4;
    for (; w < end; w += 128 * split, a += 4 * split)
#pragma GCC unroll 4
        for (int j = 0; j < split; j++) {
            if (rows >= 4) { /* with one or two rows the processor's own look-ahead does better */
                _mm_prefetch((const char *)w + 128 * j + AHEAD, _MM_HINT_T0);
                _mm_prefetch((const char *)w + 128 * j + AHEAD + 64, _MM_HINT_T0);
            }
            __m512i w0 = _mm512_loadu_si512(w + 128 * j);
            __m512i w1 = _mm512_loadu_si512(w + 128 * j + 64);
            if (rows > 1) __asm__("" : "+v"(w0), "+v"(w1)); /* in registers: not loaded again */
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                __m512i x = four(a + r * stride + 4 * j);
                sum[r * split + j][0] = _mm512_dpbusd_epi32(sum[r * split + j][0], x, w0);
                sum[r * split + j][1] = _mm512_dpbusd_epi32(sum[r * split + j][1], x, w1);
            }
        }
    for (; w < last; w += 128, a += 4)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            __m512i x = four(a + r * stride);
            sum[r * split][0] = _mm512_dpbusd_epi32(sum[r * split][0], x, _mm512_loadu_si512(w));
            sum[r * split][1] =
                _mm512_dpbusd_epi32(sum[r * split][1], x, _mm512_loadu_si512(w + 64));
        }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int j = 1; j < split; j++) {
            sum[r * split][0] = _mm512_add_epi32(sum[r * split][0], sum[r * split + j][0]);
            sum[r * split][1] = _mm512_add_epi32(sum[r * split][1], sum[r * split + j][1]);
        }
        _mm512_storeu_si512(acc + r * 32, sum[r * split][0]);
        _mm512_storeu_si512(acc + r * 32 + 16, sum[r * split][1]);
    }
}

static void dot(const int8_t *w, const uint8_t *a, ptrdiff_t stride, int k4, int rows,
                int32_t *acc) {
    switch (rows) {
        case 1: dot_rows(w, a, stride, k4, acc, 1, 2); break;
        case 2: dot_rows(w, a, stride, k4, acc, 2, 2); break;
        case 3: dot_rows(w, a, stride, k4, acc, 3, 2); break;
        case 4: dot_rows(w, a, stride, k4, acc, 4, 1); break;
        case 5: dot_rows(w, a, stride, k4, acc, 5, 1); break;
        case 6: dot_rows(w, a, stride, k4, acc, 6, 1); break;
        case 7: dot_rows(w, a, stride, k4, acc, 7, 1); break;
        default: dot_rows(w, a, stride, k4, acc, 8, 1); break;
    }
}

#include "compute.h"

const em_isa *em_isa_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512vnni")
               ? &isa
               : 0;
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

#include "kernel.h"

const em_isa *em_isa_avx512(void) { return 0; }

#endif
