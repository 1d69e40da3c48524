/* AVX2: products of bytes by the sign trick, |w| times a with the sign of w; no pair of them
   overflows 16 bits, because no byte is below -127. */

#if defined(__x86_64__) && defined(__GNUC__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define EM_NAME "avx2"
#define EM_OFFSET 0

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline __attribute__((always_inline)) __m256i four(const int8_t *a) {
    int32_t x;
    memcpy(&x, a, sizeof x);
    return _mm256_set1_epi32(x);
}

static inline __attribute__((always_inline)) void dot_rows(const int8_t *w, const int8_t *a,
                                                           ptrdiff_t stride, int k4, int32_t *acc,
                                                           const int rows) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum[2][4];
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sum[r][j] = _mm256_setzero_si256();
    for (int k = 0; k < k4; k++) {
        __m256i x[2];
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) x[r] = four(a + r * stride + 4 * k);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m256i y = _mm256_loadu_si256((const __m256i *)(w + 128 * (size_t)k + 32 * j));
            __m256i size = _mm256_abs_epi8(y);
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++) {
                __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(x[r], y));
                sum[r][j] = _mm256_add_epi32(sum[r][j], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm256_storeu_si256((__m256i *)(acc + r * 32 + 8 * j), sum[r][j]);
}

static void dot(const int8_t *w, const int8_t *a, ptrdiff_t stride, int k4, int rows,
                int32_t *acc) {
    int r = 0;
    for (; r + 2 <= rows; r += 2) dot_rows(w, a + r * stride, stride, k4, acc + r * 32, 2);
    if (r < rows) dot_rows(w, a + r * stride, stride, k4, acc + r * 32, 1);
}

#include "compute.h"

const em_isa *em_isa_avx2(void) { return __builtin_cpu_supports("avx2") ? &isa : 0; }

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

#include "kernel.h"

const em_isa *em_isa_avx2(void) { return 0; }

#endif
