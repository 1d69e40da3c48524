/* AVX2: products of unsigned rows and signed weights, four added in 16 bits ("Room" in kernel.h);
   with EM_VNNI, 32 products in one instruction. isa_avxvnni.c includes this for that. */

#if defined(__x86_64__) && defined(__GNUC__) && \
    (!defined(EM_VNNI) || __GNUC__ >= 11 || __clang_major__ >= 12)

#if defined(EM_VNNI)
#define EM_NAME "avx-vnni"
#else
#define EM_NAME "avx2"
#endif
#define EM_OFFSET 127
#define EM_WIDE 8
#define EM_NARROW(x, out) narrow_eight((__m256i)(x), out)

#if defined(__clang__) && defined(EM_VNNI)
#pragma clang attribute push(__attribute__((target("avx2,avxvnni"))), apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#elif defined(EM_VNNI)
#pragma GCC target("avx2,avxvnni")
#else
#pragma GCC target("avx2")
#endif

#include <cpuid.h>
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Keep the low byte of each of eight. */
static inline __attribute__((always_inline)) void narrow_eight(__m256i x, uint8_t *out) {
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(255));
    __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    _mm_storel_epi64((__m128i *)out, _mm_packus_epi16(half, half));
}

static inline __attribute__((always_inline)) __m256i four(const uint8_t *a) {
    int32_t x;
    memcpy(&x, a, sizeof x);
    return _mm256_set1_epi32(x);
}

/* Add to 8 sums the products of two groups of inputs. */
static inline __attribute__((always_inline)) __m256i plus_products(__m256i sum, const __m256i *x,
                                                                   const __m256i *w) {
#if defined(EM_VNNI)
    return _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sum, x[0], w[0]), x[1], w[1]);
#else
    __m256i own = _mm256_maddubs_epi16(x[0], w[0]), next = _mm256_maddubs_epi16(x[1], w[1]);
    __m256i both = _mm256_add_epi16(own, next);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(both, _mm256_set1_epi16(1)));
#endif
}

static inline __attribute__((always_inline)) void dot_rows(const int8_t *w, const uint8_t *a,
                                                           ptrdiff_t stride, int k4, int32_t *acc,
                                                           const int rows) {
    __m256i sum[2][4], x[2][2], y[2];
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sum[r][j] = _mm256_setzero_si256();
    for (int k = 0; k < k4; k += 2) {
        const int has_next = k + 1 < k4; /* else the row's second group counts as nought */
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) {
            x[r][0] = four(a + r * stride + 4 * k);
            x[r][1] = has_next ? four(a + r * stride + 4 * k + 4) : _mm256_setzero_si256();
        }
        const int8_t *next = w + 128 * (size_t)(k + has_next);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            y[0] = _mm256_loadu_si256((const __m256i *)(w + 128 * (size_t)k + 32 * j));
            y[1] = _mm256_loadu_si256((const __m256i *)(next + 32 * j));
            if (rows > 1) __asm__("" : "+x"(y[0]), "+x"(y[1])); /* not loaded again */
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++) sum[r][j] = plus_products(sum[r][j], x[r], y);
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm256_storeu_si256((__m256i *)(acc + r * 32 + 8 * j), sum[r][j]);
}

static void dot(const int8_t *w, const uint8_t *a, ptrdiff_t stride, int k4, int rows,
                int32_t *acc) {
    int r = 0;
    for (; r + 2 <= rows; r += 2) dot_rows(w, a + r * stride, stride, k4, acc + r * 32, 2);
    if (r < rows) dot_rows(w, a + r * stride, stride, k4, acc + r * 32, 1);
}

#include "compute.h"

#if defined(EM_VNNI)

const em_isa *em_isa_avxvnni(void) {
    unsigned eax, ebx, ecx, edx; /* that the system keeps the registers is asked with AVX2 */
    int has = __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) &&
              eax & 1 << 4;
    return has ? &isa : 0;
}

#else

const em_isa *em_isa_avx2(void) { return __builtin_cpu_supports("avx2") ? &isa : 0; }

#endif

#if defined(__clang__)
#pragma clang attribute pop
#endif

#elif defined(EM_VNNI)

#include "kernel.h"

const em_isa *em_isa_avxvnni(void) { return 0; }

#else

#include "kernel.h"

const em_isa *em_isa_avx2(void) { return 0; }

#endif
