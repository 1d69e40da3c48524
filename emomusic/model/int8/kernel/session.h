/* Rows in the writing: what session.c, forward.c and sample.c share. */

#ifndef EM_SESSION_H
#define EM_SESSION_H

#include "api.h"
#include "pool.h"

/* One sequence and its cache; a row has one, and a second where it has a twin. */
typedef struct {
    int32_t *ids; /* [context + 1] */
    int n_ids, n_fed;
    int ready;     /* whether logits hold what follows the last id */
    float *logits; /* [vocab_size] */
    em_cache *cache; /* [n_layers][n_kv_heads] */
    char *memory;
    size_t memory_size;
} em_stream;

typedef struct {
    int status;
    em_stream own, twin;
    int has_twin;
    int32_t *heads, *head_start, *ends_at; /* room for n_room segments, n_head_room ids */
    uint32_t *ends;
    int n_room, n_head_room;
    int n_segments, segment; /* of how many, and which one is in hand */
    int n_guided;            /* after so many the twin stays behind */
    int32_t low[EM_MAX_KINDS], high[EM_MAX_KINDS], last[EM_MAX_KINDS];
    int state, n_free, max_free;
    double *uniforms; /* [context] */
    int n_used;
    double temperature, top_p;
    float guidance;
    float *bias; /* [2][vocab_size] */
    int32_t *pairs;
    float *weights;
    int n_pairs, n_pair_room;
    int leans, waits;
} em_slot;

typedef struct {
    em_stream *stream;
    int32_t id, at;
} em_token;

struct em_session {
    const em_model *model;
    em_pool *pool;
    int n_threads, n_slots;
    int n_active;         /* threads at work */
    double token_time[2]; /* seconds a token took, with one thread and with all */
    int until_trial, between_trials;
    em_grammar grammar; /* its arrays are in grammar_room */
    int32_t *grammar_room;
    int16_t *kind_of; /* [vocab_size] */
    em_slot *slots;
    void (*prepare)(struct em_session *);
    int stop, steps_left, first_slot;
    long n_computed; /* tokens */
    em_token tokens[EM_MAX_TOKENS];
    int n_tokens;
    int wants[EM_MAX_TOKENS], n_wants; /* tokens whose logits are wanted */
    float *x, *qkv, *y, *hidden, *logits; /* [EM_MAX_TOKENS][...] */
    em_acts acts;
    em_scratch scratch[EM_MAX_THREADS];
    char *memory;
    size_t memory_size;
    void *candidates; /* room to sample in */
    uint8_t *mask;    /* [vocab_size] */
    float *leaning;   /* [vocab_size] */
    const int32_t *score_ids; /* em_score's */
    int n_score, at_score;
    float *score_logits;
};

/* Take the tokens of a step through the layers; every thread of the pool calls it. */
void em_forward(em_session *s, int thread);

/* Draw one of n ids: nucleus sampling over the allowed ones. `room` holds n candidates.
   Returns -1 if none is allowed. */
int em_draw(const float *logits, const uint8_t *allowed, int n, double temperature, double top_p,
            double uniform, void *room);
size_t em_draw_room(int n);

#endif
