/* What Python calls. No call but em_run, em_score and the constructors takes long; none keeps a
   pointer that it was given. A call that cannot be done returns null or a negative number.
   Rows of an event are summed in the order in which they stand. */

#ifndef EM_API_H
#define EM_API_H

#include "kernel.h"

#if defined(_WIN32)
#define EM_EXPORT __declspec(dllexport)
#else
#define EM_EXPORT __attribute__((visibility("default")))
#endif

enum { EM_FLOAT32 = 0, EM_BFLOAT16 = 1 };
enum { EM_EMBEDDING, EM_NORM,
       /* of a layer */
       EM_ATTENTION_NORM, EM_GAIN, EM_QKV, EM_OUT, EM_HIDDEN_NORM, EM_GATE_UP, EM_DOWN,
       /* of a slot */
       EM_SLOT_NORM, EM_SLOT_GATE_UP, EM_SLOT_DOWN, EM_HEAD_NORM, EM_HEAD, EM_TOLD };
enum { EM_NO_MEMORY = -1, EM_BAD_ARGUMENT = -2, EM_NOT_FINITE = -3 };
enum { EM_EMPTY, EM_WRITING, EM_DONE, EM_FULL, EM_STUCK, EM_WAITING };
enum { EM_ENDS_BAR = 1, EM_ENDS_ALL = 2, EM_WRITES_CHORDS = 4 };

/* What is added to the logits of a bar; vocab_size stands for another note at the same moment. */
typedef struct {
    /* [2][vocab_size + 1]. The second half is for positions and ends: what the last position of
       the bar has in it is taken off again. */
    const float *bias;
    /* [n_pairs][2]: to the second its weight is added while the first is the last of its slot in
       the bar; for -1, while there is none of the second's slot. */
    const int32_t *pairs;
    const float *weights; /* [n_pairs] */
    int32_t n_pairs;
} em_lean;

typedef struct {
    const int32_t *rows;     /* of all given events, one after another */
    const int32_t *event_at; /* [bar_at[n_bars] + 1] into rows */
    const int32_t *bar_at;   /* [n_bars + 1] into event_at: the opening, the later bars' heads */
    const int32_t *flags;    /* [n_bars], EM_ENDS_BAR and so on */
    const int32_t *notes;    /* that must be written: position, pitch, velocity, duration or -1 */
    const int32_t *note_at;  /* [n_bars + 1] into notes */
    int32_t n_bars, max_notes, reach;
    int32_t positions[2], pitches[2]; /* lowest and highest */
    const double *uniforms; /* [4 * context] */
    double temperature[EM_SLOTS], top_p[EM_SLOTS];
    float guidance;
    int32_t n_guided;    /* bars with a twin, which sees one row of the first event; 0: none */
    const em_lean *lean; /* what the first bar leans to, or null */
    int32_t waits;       /* whether it waits for em_steer after each bar */
} em_row;

typedef struct {
    int32_t status, n_bars, n_used; /* whole bars; numbers used of uniforms */
    const int32_t *ids;             /* that were chosen, without ends */
    const int32_t *ends_at;         /* [n_bars]: where in ids each bar ends */
} em_state;

typedef struct em_session em_session;

EM_EXPORT int em_abi(void);
EM_EXPORT int em_has_isa(const char *name);
EM_EXPORT em_model *em_model_new(const em_shape *shape, const float *cosine, const float *sine,
                                 const char *isa);
EM_EXPORT int em_model_set(em_model *model, int which, int at, const void *data, int dtype);
EM_EXPORT const char *em_model_isa(const em_model *model);
EM_EXPORT void em_model_free(em_model *model);

EM_EXPORT em_session *em_session_new(const em_model *model, int n_places, int n_threads);
EM_EXPORT void em_session_free(em_session *session);
EM_EXPORT int em_put(em_session *session, int place, const em_row *row);
EM_EXPORT int em_run(em_session *session, int max_steps); /* rows still writing */
EM_EXPORT int em_get(const em_session *session, int place, em_state *state);
EM_EXPORT int em_steer(em_session *session, int place, const em_lean *lean); /* go on */
EM_EXPORT int em_clear(em_session *session, int place);

/* Logits of one sequence, [n_events][all slots' choices]: after each event, of those slots whose
   `chosen`, [n_events][EM_SLOTS], is not -1; the rest is left as it was. */
EM_EXPORT int em_score(em_session *session, const int32_t *rows, const int32_t *event_at,
                       const int32_t *chosen, int n_events, float *logits);

EM_EXPORT int em_sample(const float *logits, const uint8_t *allowed, int n, double temperature,
                        double top_p, double uniform);

#endif
