/* Plain C: right everywhere, fast nowhere. */

#define EM_NAME "plain"
#define EM_OFFSET 0

#include <stddef.h>
#include <stdint.h>

static void dot(const int8_t *w, const uint8_t *a, ptrdiff_t stride, int k4, int rows,
                int32_t *acc) {
    for (int r = 0; r < rows; r++) {
        int32_t *out = acc + r * 32;
        for (int i = 0; i < 32; i++) out[i] = 0;
        for (int k = 0; k < k4; k++) {
            const int8_t *x = (const int8_t *)a + r * stride + 4 * k, *y = w + 128 * k;
            for (int i = 0; i < 32; i++)
                out[i] += y[4 * i] * x[0] + y[4 * i + 1] * x[1] + y[4 * i + 2] * x[2] +
                          y[4 * i + 3] * x[3];
        }
    }
}

#include "compute.h"

const em_isa *em_isa_plain(void) { return &isa; }
