/* The int8 engine: what its parts share. Ids in, ids out; nothing here knows music.

   Numbers. A matrix is held as int8 with one float scale for each output, an activation as int8
   with one scale for each row, keys and values as int8 with one scale for each position and head.
   All sums over these are sums of integers, so they are exact, in any order and for any number of
   rows. What is computed in floats is computed for one row at a time, in one fixed order, without
   fused multiply-add (the build says -ffp-contract=off). So a row's ids depend neither on the rows
   beside it nor on the instructions that the processor has.

   Layout. A packed matrix is cut into blocks of 32 outputs; in a block the inputs go in groups of
   four: [block][group][32 outputs][4 inputs]. Keys (outputs are positions) and values (inputs are
   positions) have the same layout, so one routine, dot, does all the work. */

#ifndef EM_KERNEL_H
#define EM_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define EM_ABI 3
#define EM_BLOCK 32
#define EM_TILE 8        /* most rows in one call of dot */
#define EM_MAX_TOKENS 64 /* most tokens in one step */
#define EM_MAX_THREADS 16
#define EM_MAX_KINDS 32
#define EM_MAX_WIDTH 16384 /* of what is quantised at once: routines keep it on the stack */
#define EM_MAX_HEAD 512

typedef struct {
    int32_t vocab_size, dim, n_layers, n_heads, n_kv_heads, hidden, context;
} em_shape;

typedef struct {
    int n_out, n_in;  /* true sizes */
    int n_blocks, k4; /* blocks of 32 outputs, groups of four inputs */
    int8_t *data;     /* [n_blocks][k4][32][4] */
    float *scale;     /* [n_blocks * 32] */
} em_matrix;

/* Rows of quantised activations. */
typedef struct {
    int8_t *data; /* [rows][stride], zero beyond the true width */
    float *scale; /* [rows] */
    int32_t *sum; /* [rows] */
    int stride;
} em_acts;

/* Keys and values of one row, one layer and one key-value head. */
typedef struct {
    int8_t *keys;       /* [context / 32][head_dim / 4][32][4] */
    int8_t *values;     /* [head_dim / 32][context / 4][32][4] */
    float *key_scale;   /* [context] */
    float *value_scale; /* [context] */
} em_cache;

/* Room that one call of attend needs. */
typedef struct {
    float *scores;  /* [group][context, rounded up] */
    int8_t *weight; /* [2 * group][context, rounded up]: high and low half of each */
    int8_t *query;  /* [group][head_dim, rounded up] */
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
    int offset; /* added to packed bytes: 128 where the instruction wants them unsigned */
    void (*matmul)(const em_matrix *m, const em_acts *a, int n_rows, int begin, int end,
                   float *out, int stride, int add);
    void (*gated)(const em_matrix *gate, const em_matrix *up, const em_acts *a, int n_rows,
                  int begin, int end, float *out, int stride);
    void (*quantise)(const float *x, const float *weight, int n, em_acts *a, int row);
    void (*rotate)(float *x, const float *cosine, const float *sine, int half);
    void (*store)(const em_heads *h, em_cache *c, int at, const float *key, const float *value);
    void (*attend)(const em_heads *h, const em_cache *c, int n, const float *query,
                   em_scratch *scratch, float *out);
} em_isa;

extern const em_isa *em_isa_plain(void);
extern const em_isa *em_isa_avx2(void);   /* null where it was not compiled */
extern const em_isa *em_isa_avx512(void); /* with VNNI */
extern const em_isa *em_isa_neon(void);   /* with dot products */

typedef struct {
    float *attention_norm, *hidden_norm;
    em_matrix qkv, out, gate, up, down;
} em_layer;

typedef struct em_model {
    em_shape shape;
    em_heads heads;
    const em_isa *isa;
    float *embedding; /* [vocab_size][dim] */
    float *norm;
    float *cosine, *sine; /* [context][head_dim / 2] */
    em_matrix head;
    em_layer *layers;
    char *arena;
    size_t arena_size, arena_used;
} em_model;

void *em_allocate(size_t n_bytes); /* zeroed, aligned to 64; null if there is no memory */
void em_release(void *memory, size_t n_bytes);

#endif
