/* What may be written next. The reference is `Walk` of emomusic/model/grammar.py. */

#include <string.h>

#include "session.h"

#define FINGERS 5 /* of a hand */

static int larger(int a, int b) { return a > b ? a : b; }
static int smaller(int a, int b) { return a < b ? a : b; }

/* ---- the notes of one moment ---- */

static em_moment no_notes(const em_place *p) {
    return (em_moment){.last = p->row.pitches[0] - 1, .left = -1, .right = -1};
}

/* The highest pitch that hands can still strike; below last + 1 if there is none. */
static int highest(const em_moment *m, int high, int reach) {
    if (!reach || !m->n_right) return high;
    return m->n_right < FINGERS ? smaller(high, m->right + reach) : m->last;
}

static void strike(em_moment *m, int pitch, int reach) {
    m->last = pitch;
    if (!m->n_left) m->left = pitch;
    if (!m->n_right && m->n_left < FINGERS && pitch <= m->left + reach) {
        m->n_left++;
        return;
    }
    if (!m->n_right) m->right = pitch;
    m->n_right++;
}

/* ---- given notes ---- */

static const int32_t *next_given(const em_place *p) {
    int at = p->row.note_at[p->bar] + p->now.n_given;
    return at < p->row.note_at[p->bar + 1] ? p->row.notes + 4 * at : NULL;
}

/* The given note at the moment in hand that comes next. */
static const int32_t *forced(const em_place *p) {
    const int32_t *given = next_given(p);
    return given && given[0] == p->now.last[EM_ADVANCE] ? given : NULL;
}

/* The given note whose pitch was chosen last. */
static const int32_t *given_now(const em_place *p) {
    const int32_t *given = forced(p);
    return given && given[1] == p->now.last[EM_PITCH] ? given : NULL;
}

/* ---- what may be chosen ---- */

static void fill(uint8_t *mask, int low, int high) {
    if (low <= high) memset(mask + low, 1, (size_t)(high - low + 1));
}

static int is_full(const em_place *p) { return p->now.n_notes >= p->row.max_notes; }

static void allow_pitch(const em_model *m, const em_place *p, uint8_t *mask) {
    int first = m->shape.first[EM_PITCH];
    int low = larger(p->row.pitches[0], p->now.moment.last + 1);
    int high = highest(&p->now.moment, p->row.pitches[1], p->row.reach);
    const int32_t *given = forced(p);
    if (given) {
        mask[given[1] - first] = 1;
        high = is_full(p) ? low - 1 : smaller(high, given[1]);
    }
    fill(mask, low - first, high - first);
}

static void allow_advance(const em_model *m, const em_place *p, uint8_t *mask) {
    int first = m->shape.first[EM_ADVANCE], bar = 1 + m->shape.count[EM_ADVANCE];
    int low = larger(p->row.positions[0], p->now.last[EM_ADVANCE] + 1), high = p->row.positions[1];
    const em_moment *moment = &p->now.moment;
    const int32_t *given = next_given(p);
    if (forced(p)) {
        mask[EM_SAME] = 1;
        return;
    }
    if (given) {
        low = is_full(p) ? given[0] : smaller(low, given[0]);
        high = given[0];
    } else if (p->now.n_notes) {
        mask[bar] = (p->row.flags[p->bar] & EM_ENDS_BAR) != 0;
        mask[bar + 1] = (p->row.flags[p->bar] & EM_ENDS_ALL) != 0;
        if (is_full(p)) return;
    }
    if (p->now.n_notes && !is_full(p))
        mask[EM_SAME] = larger(p->row.pitches[0], moment->last + 1) <=
                        highest(moment, p->row.pitches[1], p->row.reach);
    fill(mask, 1 + low - first, 1 + high - first);
}

/* Set which choices of the slot in hand may be sampled, [n_choices]. */
void em_allowed(const em_model *m, const em_place *p, uint8_t *mask) {
    int slot = p->now.slot, n = m->writers[slot].n_choices;
    memset(mask, 0, (size_t)n);
    if (slot == EM_ADVANCE) {
        allow_advance(m, p, mask);
    } else if (slot == EM_PITCH) {
        allow_pitch(m, p, mask);
    } else {
        const int32_t *given = slot < EM_CHORD_A ? given_now(p) : NULL;
        if (given && given[slot] != EM_NONE)
            mask[given[slot] - m->shape.first[slot]] = 1;
        else
            fill(mask, 0, n - 1);
    }
}

/* ---- what a bar leans to ---- */

/* The slot that an id is chosen in, -1 for those that are not; and which choice it is there. */
static int slot_of(const em_shape *s, int id, int *choice) {
    int n = s->count[EM_ADVANCE];
    *choice = id == s->vocab_size ? EM_SAME : id == s->bar ? n + 1 : n + 2;
    if (id == s->vocab_size || id == s->bar || id == s->eos) return EM_ADVANCE;
    for (int slot = 0; slot < EM_SLOTS; slot++) {
        *choice = id - s->first[slot] + (slot == EM_ADVANCE);
        if (id >= s->first[slot] && id < s->first[slot] + s->count[slot]) return slot;
    }
    return -1;
}

em_pair em_pair_of(const em_model *m, const int32_t *ids, float weight) {
    em_pair p = {.before = ids[0], .weight = weight};
    int choice;
    p.slot = slot_of(&m->shape, ids[1], &choice);
    p.choice = choice;
    p.of = ids[0] < 0 ? p.slot : slot_of(&m->shape, ids[0], &choice);
    if (p.of < 0) p.slot = -1;
    return p;
}

/* Add it to the logits of the slot in hand; `room` holds as many numbers. */
void em_lean_on(const em_model *m, const em_place *p, float *room, float *logits) {
    const em_shape *s = &m->shape;
    const float *bias = p->lean.bias, *counted = bias + s->vocab_size + 1;
    int slot = p->now.slot, first = s->first[slot], n = m->writers[slot].n_choices;
    if (slot == EM_ADVANCE) {
        float off = p->now.last[slot] != EM_NONE ? counted[p->now.last[slot]] : 0.0f;
        room[EM_SAME] = bias[s->vocab_size];
        for (int i = 0; i < n - 3; i++)
            room[1 + i] = bias[first + i] + (counted[first + i] - off);
        room[n - 2] = bias[s->bar] + (counted[s->bar] - off);
        room[n - 1] = bias[s->eos] + (counted[s->eos] - off);
    } else {
        memcpy(room, bias + first, (size_t)n * sizeof *room);
    }
    for (int i = 0; i < p->lean.n_pairs; i++) {
        const em_pair *pair = p->lean.pairs + i; /* "none" and EM_NONE are both -1 */
        if (pair->slot == slot && p->now.last[pair->of] == pair->before)
            room[pair->choice] += pair->weight;
    }
    for (int i = 0; i < n; i++) logits[i] += room[i];
}

/* ---- what was chosen ---- */

void em_begin_bar(em_place *p) {
    p->now = (em_bar){.slot = EM_ADVANCE, .moment = no_notes(p)};
    if (p->row.flags[p->bar] & EM_WRITES_CHORDS) p->now.slot = EM_CHORD_A;
    for (int i = 0; i < EM_SLOTS; i++) p->now.last[i] = EM_NONE;
}

static void end_bar(const em_model *m, em_place *p) {
    p->ends_at[p->bar++] = p->n_ids;
    if (p->bar == p->row.n_bars) {
        p->status = EM_DONE;
        return;
    }
    if (p->bar == p->row.n_guided) p->has_twin = 0;
    em_begin_bar(p);
    p->next = p->row.bar_at[p->bar];
    p->end = p->row.bar_at[p->bar + 1];
    if (p->n_fed + p->end - p->next > m->shape.context)
        p->status = EM_FULL;
    else if (p->row.waits)
        p->status = EM_WAITING;
}

/* Put down the rows of an event, in the order in which they are summed. */
static void end_event(const em_model *m, em_place *p) {
    const int32_t *last = p->now.last;
    int n = 0, chords = p->now.slot == EM_CHORD_B;
    if (!chords && !p->now.joins) p->written[n++] = last[EM_ADVANCE];
    for (int slot = chords ? EM_CHORD_A : EM_PITCH; slot <= p->now.slot; slot++)
        p->written[n++] = last[slot];
    if (!chords && p->now.joins) {
        p->written[n++] = last[EM_ADVANCE];
        p->written[n++] = m->shape.vocab_size;
    }
    p->n_written = n;
    if (!chords) {
        p->now.n_given += given_now(p) != NULL;
        p->now.n_notes++;
    }
    p->now.slot = EM_ADVANCE;
    if (p->n_fed + 1 > m->shape.context) p->status = EM_FULL;
}

void em_push(const em_model *m, em_place *p, int choice) {
    int slot = p->now.slot, bar = 1 + m->shape.count[EM_ADVANCE];
    p->now.chosen[slot] = choice;
    if (slot == EM_ADVANCE) {
        if (choice >= bar) {
            end_bar(m, p);
            return;
        }
        p->now.slot = EM_PITCH;
        p->now.joins = choice == EM_SAME;
        if (p->now.joins) return;
        p->now.moment = no_notes(p);
        choice--;
    }
    int32_t id = m->shape.first[slot] + choice;
    p->ids[p->n_ids++] = id;
    p->now.last[slot] = id;
    if (slot == EM_PITCH) strike(&p->now.moment, id, p->row.reach);
    if (slot == EM_DURATION || slot == EM_CHORD_B)
        end_event(m, p);
    else
        p->now.slot = slot + 1;
}
