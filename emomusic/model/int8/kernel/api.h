/* What Python calls. No call but em_run, em_score and the constructors takes long; none keeps a
   pointer that it was given. A call that cannot be done returns null or a negative number. */

#ifndef EM_API_H
#define EM_API_H

#include "kernel.h"

#if defined(_WIN32)
#define EM_EXPORT __declspec(dllexport)
#else
#define EM_EXPORT __attribute__((visibility("default")))
#endif

enum { EM_FLOAT32 = 0, EM_BFLOAT16 = 1 };
enum { EM_EMBEDDING, EM_NORM, EM_ATTENTION_NORM, EM_QKV, EM_OUT, EM_HIDDEN_NORM, EM_GATE_UP,
       EM_DOWN };
enum { EM_NO_MEMORY = -1, EM_BAD_ARGUMENT = -2, EM_NOT_FINITE = -3 };
enum { EM_EMPTY, EM_WRITING, EM_DONE, EM_FULL, EM_STUCK, EM_WAITING };

typedef struct {
    int32_t vocab_size, n_kinds, n_states;
    const int32_t *first, *count, *then; /* [n_kinds] */
    const int32_t *since;                /* [n_kinds], see em_lean; -1: none */
    const uint32_t *resets;              /* [n_kinds], bit k: forget kind k */
    const uint32_t *allowed;             /* [n_states], bit k: kind k may follow */
    uint32_t rises, ends;                /* bit k: so does kind k */
} em_grammar;

/* What is added to the logits of a segment. */
typedef struct {
    /* [2][vocab_size]. The second half is for kinds that have another in `since`: what the last id
       of that kind in the segment has in it is taken off again. */
    const float *bias;
    /* [n_pairs][2]: to the second id its weight is added while the first is the last of its kind
       in the segment; for -1, while there is none of the second's kind. */
    const int32_t *pairs;
    const float *weights; /* [n_pairs] */
    int32_t n_pairs;
} em_lean;

typedef struct {
    const int32_t *opening; /* ids to begin with, the head of the first segment among them */
    int32_t n_opening;
    int32_t n_hidden; /* ids after the first that the twin does not see; -1: no twin */
    const int32_t *heads;      /* given ids of the segments after the first, one after another */
    const int32_t *head_start; /* [n_segments + 1] into heads; those of the first are in opening */
    const uint32_t *ends;      /* [n_segments], bit k: kind k may end it */
    int32_t n_segments;
    const int32_t *low, *high; /* [n_kinds] */
    int32_t max_free;
    const double *uniforms; /* [context] */
    double temperature, top_p;
    float guidance;
    int32_t n_guided; /* segments with the twin */
    const em_lean *lean; /* what the first segment leans to, or null */
    int32_t waits;       /* whether it waits for em_steer after each segment */
} em_row;

typedef struct {
    int32_t status, n_ids, n_segments, n_used; /* n_used: of uniforms */
    const int32_t *ids;                        /* [n_ids] */
    const int32_t *ends_at;                    /* [n_segments]: where in ids each end id stands */
} em_state;

typedef struct em_session em_session;

EM_EXPORT int em_abi(void);
EM_EXPORT int em_has_isa(const char *name);
EM_EXPORT em_model *em_model_new(const em_shape *shape, const float *cosine, const float *sine,
                                 const char *isa);
EM_EXPORT int em_model_set(em_model *model, int which, int layer, const void *data, int dtype);
EM_EXPORT const char *em_model_isa(const em_model *model);
EM_EXPORT void em_model_free(em_model *model);

EM_EXPORT em_session *em_session_new(const em_model *model, const em_grammar *grammar,
                                     int n_slots, int n_threads);
EM_EXPORT void em_session_free(em_session *session);
EM_EXPORT int em_put(em_session *session, int slot, const em_row *row);
EM_EXPORT int em_run(em_session *session, int max_steps); /* rows still writing */
EM_EXPORT int em_get(const em_session *session, int slot, em_state *state);
EM_EXPORT int em_steer(em_session *session, int slot, const em_lean *lean); /* go on */
EM_EXPORT int em_clear(em_session *session, int slot);
EM_EXPORT int em_score(em_session *session, const int32_t *ids, int n_ids, float *logits);

EM_EXPORT int em_sample(const float *logits, const uint8_t *allowed, int n, double temperature,
                        double top_p, double uniform);

#endif
