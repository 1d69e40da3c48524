/* AVX2 with VNNI: Intel's since 2021, AMD's since Zen 5. */

#define EM_VNNI
#include "isa_avx2.c"
