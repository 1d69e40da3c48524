/* One step: what was written goes through the layers, then each row writes its next event, slot by
   slot; rows that are at the same slot share its products. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>
#include <time.h>

#include "session.h"

/* The order in which slots are served: a row that is at one later in it waits for no other. */
static const int ORDER[EM_SLOTS] = {EM_CHORD_A, EM_CHORD_B, EM_ADVANCE,
                                    EM_PITCH,   EM_VELOCITY, EM_DURATION};

/* ---- rows in the writing ---- */

static int is_fed(const em_place *p) { return p->next == p->end && !p->n_written; }

static void feed_event(em_session *s, em_place *p) {
    em_token t = {.stream = &p->own, .at = p->n_fed++};
    if (p->n_written) {
        t.rows = p->written;
        t.n_rows = p->n_written;
        p->n_written = 0;
    } else {
        const int32_t *at = p->row.event_at + p->next++;
        t.rows = p->row.rows + at[0];
        t.n_rows = at[1] - at[0];
    }
    int is_last = is_fed(p);
    t.state = is_last ? p->own.state : NULL;
    s->tokens[s->n_tokens++] = t;
    if (!p->has_twin) return;
    t.stream = &p->twin;
    t.state = is_last ? p->twin.state : NULL;
    if (t.at == 0) { /* of the first event the twin sees no more */
        t.rows = &s->model->shape.bos;
        t.n_rows = 1;
    }
    s->tokens[s->n_tokens++] = t;
}

static void feed(em_session *s) {
    int ended = 0;
    for (int i = 0; i < s->n_places; i++) ended |= s->places[i].status > EM_WRITING;
    s->n_tokens = 0;
    s->stop = ended || s->steps_left-- <= 0;
    if (s->stop) return;
    for (int i = 0; i < s->n_places; i++) {
        em_place *p = s->places + (s->first_place + i) % s->n_places;
        if (p->status != EM_WRITING) continue;
        while (!is_fed(p) && s->n_tokens + 1 + p->has_twin <= EM_MAX_TOKENS) feed_event(s, p);
    }
    s->first_place = (s->first_place + 1) % s->n_places; /* where there is no room for all */
    s->stop = s->n_tokens == 0;
    s->n_computed += s->n_tokens;
}

static void gather(em_session *s) {
    for (int i = 0; i < s->n_places; i++) {
        em_place *p = s->places + i;
        if (p->status != EM_WRITING || p->now.slot != s->slot || !is_fed(p)) continue;
        if (s->n_asks + 1 + p->has_twin > EM_MAX_TOKENS) return; /* they are served next */
        s->asks[s->n_asks++] = (em_ask){p->own.state, p->now.chosen, i};
        if (p->has_twin) s->asks[s->n_asks++] = (em_ask){p->twin.state, p->now.chosen, i};
    }
}

static void choose(em_session *s, em_place *p, float *logits) {
    const em_model *m = s->model;
    int slot = p->now.slot, n = m->writers[slot].n_choices;
    if (p->has_twin)
        for (int i = 0; i < n; i++) {
            float free_of = logits[m->max_choices + i];
            logits[i] = free_of + p->row.guidance * (logits[i] - free_of);
        }
    em_allowed(m, p, s->mask);
    if (p->lean.is_set) em_lean_on(m, p, s->leaning, logits);
    int choice = em_draw(logits, s->mask, n, p->row.temperature[slot], p->row.top_p[slot],
                         p->uniforms[p->n_used++], s->candidates);
    if (choice < 0)
        p->status = EM_STUCK;
    else
        em_push(m, p, choice);
}

static void take(em_session *s) {
    for (int i = 0; i < s->n_asks;) {
        em_place *p = s->places + s->asks[i].of;
        float *logits = s->logits + (size_t)i * (size_t)s->model->max_choices;
        i += 1 + p->has_twin;
        choose(s, p, logits);
    }
}

static const em_work WRITING = {feed, gather, take};

/* ---- a sequence to be scored ---- */

static void feed_score(em_session *s) {
    size_t dim = (size_t)s->model->shape.dim;
    s->n_tokens = 0;
    for (; s->at_score < s->n_score && s->n_tokens < EM_MAX_TOKENS; s->at_score++) {
        const int32_t *at = s->score_event_at + s->at_score;
        s->tokens[s->n_tokens] = (em_token){
            .stream = &s->places[0].own,
            .rows = s->score_rows + at[0],
            .n_rows = at[1] - at[0],
            .at = s->at_score,
            .state = s->states + (size_t)s->n_tokens * dim,
        };
        s->n_tokens++;
    }
    s->stop = s->n_tokens == 0;
}

static void gather_score(em_session *s) {
    for (int i = 0; i < s->n_tokens; i++) {
        int event = s->tokens[i].at;
        const int32_t *chosen = s->score_chosen + (size_t)event * EM_SLOTS;
        if (chosen[s->slot] != EM_NONE)
            s->asks[s->n_asks++] = (em_ask){s->tokens[i].state, chosen, event};
    }
}

static void take_score(em_session *s) {
    const em_model *m = s->model;
    size_t before = 0, n = (size_t)m->writers[s->slot].n_choices;
    for (int slot = 0; slot < s->slot; slot++) before += (size_t)m->writers[slot].n_choices;
    for (int i = 0; i < s->n_asks; i++)
        memcpy(s->score_logits + (size_t)s->asks[i].of * (size_t)m->n_choices + before,
               s->logits + (size_t)i * (size_t)m->max_choices, n * sizeof(float));
    s->order++;
}

static const em_work SCORING = {feed_score, gather_score, take_score};

/* ---- steps ---- */

/* Go to the next slot that any row is at. */
static void ask(em_session *s) {
    s->n_asks = 0;
    for (; s->order < EM_SLOTS; s->order++) {
        s->slot = ORDER[s->order];
        s->work->gather(s);
        if (s->n_asks) {
            em_begin_slot(s);
            return;
        }
    }
}

static void call_feed(void *given) {
    em_session *s = given;
    s->work->feed(s);
}

static void ask_first(void *given) {
    em_session *s = given;
    s->order = 0;
    ask(s);
}

static void take_and_ask(void *given) {
    em_session *s = given;
    s->work->take(s);
    ask(s);
}

static void walk(void *given, int thread) {
    em_session *s = given;
    for (;;) {
        em_pool_meet(s->pool, call_feed, s);
        if (s->stop) return;
        em_forward(s, thread);
        em_pool_meet(s->pool, ask_first, s);
        while (s->n_asks) {
            em_slot_logits(s, thread);
            em_pool_meet(s->pool, take_and_ask, s);
        }
    }
}

/* ---- one thread or all of them ---- */

#define TRIAL_STEPS 4
#define MAX_BETWEEN 256

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_with(em_session *s, int n_threads, int steps) {
    double begin = now();
    long before = s->n_computed;
    s->n_active = n_threads;
    s->steps_left = steps;
    em_pool_go(s->pool, n_threads, walk, s);
    if (s->n_computed > before)
        s->event_time[n_threads > 1] = (now() - begin) / (double)(s->n_computed - before);
}

static int all_are_faster(const em_session *s) { return s->event_time[1] < s->event_time[0]; }

/* Threads that walk together wait for the slowest, and where another program has taken a core,
   all of them are slower than one alone: so from time to time it is tried what is faster. */
static void run_as_is_faster(em_session *s, int steps) {
    if (s->until_trial-- <= 0 && steps > 2 * TRIAL_STEPS) {
        int alone = all_are_faster(s) || s->event_time[0] == 0.0;
        if (s->event_time[1] == 0.0) {
            run_with(s, s->n_threads, TRIAL_STEPS);
            steps -= TRIAL_STEPS;
        }
        int was = all_are_faster(s);
        run_with(s, alone ? 1 : s->n_threads, TRIAL_STEPS);
        steps -= TRIAL_STEPS;
        s->between_trials = was == all_are_faster(s) ? 2 * s->between_trials : 4;
        if (s->between_trials > MAX_BETWEEN) s->between_trials = MAX_BETWEEN;
        s->until_trial = s->between_trials;
    }
    run_with(s, all_are_faster(s) ? s->n_threads : 1, steps);
}

void em_write(em_session *s, int max_steps) {
    s->work = &WRITING;
    if (s->n_threads == 1)
        run_with(s, 1, max_steps);
    else
        run_as_is_faster(s, max_steps);
}

void em_score_events(em_session *s) {
    s->work = &SCORING;
    s->at_score = 0;
    run_with(s, s->n_threads, 0);
}
