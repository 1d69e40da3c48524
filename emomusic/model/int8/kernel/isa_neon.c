/* 64-bit ARM with dot products of bytes. */

#if defined(__aarch64__) && defined(__GNUC__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#define EM_NAME "neon-dotprod"
#define EM_OFFSET 0

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__linux__)
#include <sys/auxv.h>
#endif

static inline __attribute__((always_inline)) int8x16_t four(const uint8_t *a) {
    int32_t x;
    memcpy(&x, a, sizeof x);
    return vreinterpretq_s8_s32(vdupq_n_s32(x));
}

static inline __attribute__((always_inline)) void dot_rows(const int8_t *w, const uint8_t *a,
                                                           ptrdiff_t stride, int k4, int32_t *acc,
                                                           const int rows) {
    int32x4_t sum[2][8];
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) sum[r][j] = vdupq_n_s32(0);
    for (int k = 0; k < k4; k++) {
        int8x16_t x[2];
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) x[r] = four(a + r * stride + 4 * k);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            int8x16_t y = vld1q_s8(w + 128 * (size_t)k + 16 * j);
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++) sum[r][j] = vdotq_s32(sum[r][j], y, x[r]);
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) vst1q_s32(acc + r * 32 + 4 * j, sum[r][j]);
}

static void dot(const int8_t *w, const uint8_t *a, ptrdiff_t stride, int k4, int rows,
                int32_t *acc) {
    int r = 0;
    for (; r + 2 <= rows; r += 2) dot_rows(w, a + r * stride, stride, k4, acc + r * 32, 2);
    if (r < rows) dot_rows(w, a + r * stride, stride, k4, acc + r * 32, 1);
}

#include "compute.h"

const em_isa *em_isa_neon(void) {
#if defined(__linux__)
    return getauxval(AT_HWCAP) & (1UL << 20) ? &isa : 0; /* HWCAP_ASIMDDP */
#else
    return &isa; /* every 64-bit processor of Apple's has it */
#endif
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

#include "kernel.h"

const em_isa *em_isa_neon(void) { return 0; }

#endif
