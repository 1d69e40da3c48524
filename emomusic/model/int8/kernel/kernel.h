/* The int8 engine: what its parts share. Rows of a table in, ids out; nothing here knows music.

   Numbers. A matrix is held as int8 with one float scale for each output, an activation as bytes
   with one scale for each row, keys and values as int8 with one scale for each position and head.
   All sums over these are sums of integers, so they are exact, in any order and for any number of
   rows. What is computed in floats is computed for one row at a time, in one fixed order, without
   fused multiply-add (the build says -ffp-contract=off). So a row's ids depend neither on the rows
   beside it nor on the instructions that the processor has.

   Layout. A packed matrix is cut into blocks of 32 outputs; in a block the inputs go in groups of
   four: [block][group][32 outputs][4 inputs]. Keys (outputs are positions) and values (inputs are
   positions) have the same layout, so one routine, dot, does all the work.

   Room. AVX2 adds products in 16 bits, here those of four inputs: two neighbours, and the same two
   of the next group. So matrices and keys are scaled so that four such weights have at most 127
   together, or 129 when all are rounded up, and activations, at most 127, have an offset of 127:
   254 * 129 fits. Values need no such scale, for the weights of attention that they meet have six
   bits: 4 * 63 * 127 fits, too. */

#ifndef EM_KERNEL_H
#define EM_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define EM_ABI 4
#define EM_BLOCK 32
#define EM_TILE 8        /* most rows in one call of dot */
#define EM_MAX_TOKENS 64 /* most events in one step */
#define EM_MAX_THREADS 16
#define EM_TOP 127.0f /* the largest activation or value, the largest sum of four weights */
#define EM_MAX_WIDTH 16384 /* of what is quantised at once: routines keep it on the stack */
#define EM_MAX_HEAD 512
#define EM_MAX_CHOICES 4096

/* What an event is written by, in this order: a note by the first four, chords by the last two. */
enum { EM_ADVANCE, EM_PITCH, EM_VELOCITY, EM_DURATION, EM_CHORD_A, EM_CHORD_B, EM_SLOTS };

typedef struct {
    int32_t vocab_size, dim, n_layers, n_heads, n_kv_heads, hidden, inner, context;
    int32_t bos, bar, eos;
    int32_t first[EM_SLOTS], count[EM_SLOTS]; /* ids of each slot; of `advance`, its positions */
} em_shape;

typedef struct {
    int n_out, n_in;  /* true sizes */
    int n_blocks, k4; /* blocks of 32 outputs, groups of four inputs */
    int8_t *data;     /* [n_blocks][k4][32][4] */
    float *scale;     /* [n_blocks * 32] */
    int32_t *shift;   /* [n_blocks * 32]: what the rows' offset adds to the sums */
} em_matrix;

/* Rows of quantised activations. */
typedef struct {
    uint8_t *data; /* [rows][stride], -127 to 127 plus the offset */
    float *scale;  /* [rows] */
    int stride;
} em_acts;

/* Keys and values of one row, one layer and one key-value head. */
typedef struct {
    int8_t *keys;       /* [context / 32][head_dim / 4][32][4] */
    int8_t *values;     /* [head_dim / 32][context / 4][32][4] */
    float *key_scale;   /* [context] */
    int32_t *key_shift; /* [context], as that of a matrix */
    float *value_scale; /* [context] */
} em_cache;

/* Room that one call of attend needs. */
typedef struct {
    float *scores;   /* [group][context, rounded up] */
    uint8_t *weight; /* [2 * group][context, rounded up]: high and low half of each */
    uint8_t *query;  /* [group][head_dim, rounded up] */
} em_scratch;

typedef struct {
    int head_dim, group; /* query heads to a key-value head */
    int context32;       /* context, rounded up to 32 */
    int k4, d_blocks;    /* groups of four and blocks of 32 in a head */
    float scale;         /* 1 / sqrt(head_dim) */
} em_heads;

/* The routines that are compiled once for each instruction set. */
typedef struct {
    const char *name;
    int offset; /* of the rows: 127 where the instruction wants them unsigned */
    void (*matmul)(const em_matrix *m, const em_acts *a, int n_rows, int begin, int end,
                   float *out, int stride, int add);
    void (*gated)(const em_matrix *gate, const em_matrix *up, const em_acts *a, int n_rows,
                  int begin, int end, float *out, int stride);
    void (*normalise)(const float *x, const float *weight, int n, float *out);
    void (*quantise)(const float *x, const float *weight, int n, em_acts *a, int row);
    void (*turn)(float *x, const float *cosine, const float *sine, int half, float gain);
    void (*store)(const em_heads *h, em_cache *c, int at, const float *key, const float *value);
    void (*attend)(const em_heads *h, const em_cache *c, int n, const float *query,
                   em_scratch *scratch, float *out);
} em_isa;

extern const em_isa *em_isa_plain(void);
extern const em_isa *em_isa_avx2(void);    /* null where it was not compiled, or is not there */
extern const em_isa *em_isa_avxvnni(void); /* AVX2 with VNNI of 256 bits */
extern const em_isa *em_isa_avx512(void);  /* with VNNI */
extern const em_isa *em_isa_neon(void);    /* with dot products */

typedef struct {
    float *attention_norm, *hidden_norm, *gain; /* gain: [n_heads] */
    em_matrix qkv, out, gate, up, down;
} em_layer;

/* The part that writes one slot of an event. */
typedef struct {
    int n_choices, n_told; /* n_told: choices that later slots are told of, or 0 */
    float *norm, *head_norm;
    float *told; /* [n_told][dim] */
    em_matrix gate, up, down, head;
} em_writer;

typedef struct em_model {
    em_shape shape;
    em_heads heads;
    const em_isa *isa;
    float *embedding; /* [vocab_size + 1][dim]; the last: another note at the same moment */
    float *norm;
    float *cosine, *sine; /* [context][head_dim / 2] */
    em_layer *layers;
    em_writer writers[EM_SLOTS];
    int max_choices, n_choices; /* of one slot, of all together */
    char *arena;
    size_t arena_size, arena_used;
} em_model;

void *em_allocate(size_t n_bytes); /* zeroed, aligned to 64; null if there is no memory */
void em_release(void *memory, size_t n_bytes);

#endif
