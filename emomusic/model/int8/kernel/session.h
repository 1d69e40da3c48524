/* Rows in the writing: what session.c, steps.c, grammar.c, forward.c and sample.c share. */

#ifndef EM_SESSION_H
#define EM_SESSION_H

#include "api.h"
#include "pool.h"

enum { EM_SAME = 0, EM_NONE = -1 }; /* a choice of `advance`; no id, no choice */
#define EM_MAX_ROWS 5 /* of an event that was written */

/* One sequence's past; a row has one, and a second where it has a twin. */
typedef struct {
    em_cache *cache; /* [n_layers][n_kv_heads] */
    float *state;    /* [dim], after the last event */
    char *memory;
    size_t memory_size;
} em_stream;

/* The notes struck at one moment, from below: the left hand takes what it can. */
typedef struct {
    int last, left, n_left, right, n_right;
} em_moment;

/* The bar in hand. */
typedef struct {
    int slot; /* that is to be chosen next */
    int32_t last[EM_SLOTS];   /* the last id of each slot, or EM_NONE */
    int32_t chosen[EM_SLOTS]; /* by the event in hand */
    em_moment moment;
    int joins, n_notes, n_given; /* n_given: given notes that are written */
} em_bar;

/* To a choice of a slot its weight is added while `before` is the last id of the slot `of`. */
typedef struct {
    int32_t slot, choice, of, before;
    float weight;
} em_pair;

/* What a bar leans to; see em_lean. */
typedef struct {
    int is_set, n_pairs, n_room;
    float *bias;
    em_pair *pairs;
} em_leaning;

/* A place for a row. */
typedef struct {
    int status;
    em_stream own, twin;
    int has_twin;
    em_row row; /* its arrays are in `room` and `uniforms` */
    int32_t *room;
    size_t n_room;
    double *uniforms; /* [4 * context] */
    em_leaning lean;
    int n_used;             /* of uniforms */
    int bar;                /* which one is in hand */
    em_bar now;
    int32_t *ids, *ends_at; /* what was chosen, [4 * context]; [n_bars] */
    int n_ids;
    int n_fed;                    /* events in the cache */
    int next, end;                /* given events that are to be fed */
    int32_t written[EM_MAX_ROWS]; /* the event that was written last */
    int n_written;                /* its rows, while it is to be fed; else 0 */
} em_place;

/* An event on its way through the layers. */
typedef struct {
    em_stream *stream;
    const int32_t *rows;
    int n_rows, at;
    float *state; /* where the state after it goes, or null */
} em_token;

/* A slot whose logits are wanted. */
typedef struct {
    const float *state;
    const int32_t *chosen; /* [EM_SLOTS] */
    int of;                /* place, or event in em_score */
} em_ask;

/* What a run does between the products; each is called by one thread. */
typedef struct {
    void (*feed)(em_session *s);   /* set `tokens` */
    void (*gather)(em_session *s); /* set `asks` for `slot` */
    void (*take)(em_session *s);   /* of `logits` */
} em_work;

struct em_session {
    const em_model *model;
    em_pool *pool;
    int n_threads, n_places;
    int n_active;         /* threads at work */
    double event_time[2]; /* seconds an event took, with one thread and with all */
    int until_trial, between_trials;
    em_place *places;
    const em_work *work;
    int stop, steps_left, first_place;
    long n_computed; /* events */
    em_token tokens[EM_MAX_TOKENS];
    int n_tokens;
    int order, slot; /* of the slots, how many are behind; which one is in hand */
    em_ask asks[EM_MAX_TOKENS];
    int n_asks;
    float *x, *qkv, *y, *hidden, *logits, *states; /* [EM_MAX_TOKENS][...] */
    em_acts acts;
    em_scratch scratch[EM_MAX_THREADS];
    char *memory;
    size_t memory_size;
    void *candidates; /* room to sample in */
    uint8_t *mask;    /* [max_choices] */
    float *leaning;   /* [max_choices] */
    const int32_t *score_rows, *score_event_at, *score_chosen; /* em_score's */
    int n_score, at_score;
    float *score_logits;
};

/* Take the events of a step through the layers; every thread of the pool calls these. */
void em_forward(em_session *s, int thread);
void em_slot_logits(em_session *s, int thread);
void em_begin_slot(em_session *s); /* by one thread, before em_slot_logits */

/* Go on until all rows have ended, wait, or have made so many steps. */
void em_write(em_session *s, int max_steps);
void em_score_events(em_session *s);

/* The grammar. */
void em_begin_bar(em_place *p);
void em_allowed(const em_model *m, const em_place *p, uint8_t *mask);
void em_push(const em_model *m, em_place *p, int choice);
em_pair em_pair_of(const em_model *m, const int32_t *ids, float weight);
void em_lean_on(const em_model *m, const em_place *p, float *room, float *logits);

/* Draw one of n choices: nucleus sampling over the allowed ones. `room` holds n candidates.
   Returns -1 if none is allowed. */
int em_draw(const float *logits, const uint8_t *allowed, int n, double temperature, double top_p,
            double uniform, void *room);
size_t em_draw_room(int n);

#endif
